"""Examples from the public price pages of providers, worked out by hand, to the nano-dollar.

The prices are those that the pages named beside them had; a price that a page changes later does
not make an example wrong. Amounts are written out, never computed here.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from apps.billing.price_fields import read_bands, read_tiers, read_windows
from apps.billing.price_parts import conditions_of
from apps.billing.pricing import Price, Terms, bill, explain
from apps.billing.pricing.explain import SCALE
from apps.billing.words import short_places
from apps.providers.adapters.contract import Usage
from chatvault.lib.money import nano_from_usd, places_of, usd_from_nano

OPENAI = "https://platform.openai.com/docs/pricing"
ANTHROPIC = "https://docs.anthropic.com/en/docs/about-claude/pricing"
GEMINI = "https://ai.google.dev/gemini-api/docs/pricing"
DEEPSEEK = "https://api-docs.deepseek.com/quick_start/pricing"


def priced(*, bands: Any = (), service_tiers: Any = None, windows: Any = (), **usd: str) -> Price:
    """A price as documents write it."""
    conditions = conditions_of(
        read_bands(bands), read_tiers(service_tiers or {}), read_windows(windows)
    )
    rates = {name: nano_from_usd(amount) for name, amount in usd.items()}
    return Price(id=1, model="m", conditions=conditions, **{"output": 0, **rates})


class Example(NamedTuple):
    name: str
    page: str
    price: Price
    usage: Usage
    usd: str
    tier: str = ""
    at: str = "12:00"


HALF = {"percent": "50"}
GPT_4O = priced(
    input="2.50", cached_input="1.25", output="10",
    service_tiers={
        "batch": {"input": "1.25", "output": "5"},
        "priority": {"input": "4.25", "cached_input": "2.125", "output": "17"},
    },
)  # fmt: skip
GPT_4O_MINI = priced(input="0.15", cached_input="0.075", output="0.60")
O3 = priced(
    input="2", cached_input="0.50", output="8", per_search="0.01",
    service_tiers={
        "flex": {"input": "1", "cached_input": "0.25", "output": "4"},
        "priority": {"input": "3.50", "cached_input": "0.875", "output": "14"},
    },
)  # fmt: skip
GPT_5 = priced(
    input="1.25", cached_input="0.125", output="10", per_search="0.01",
    service_tiers={
        "batch": HALF,
        "flex": {"input": "0.625", "cached_input": "0.0625", "output": "5"},
        "priority": {"input": "2.50", "cached_input": "0.25", "output": "20"},
    },
)  # fmt: skip
GPT_5_4 = priced(
    input="2.50", cached_input="0.25", output="15",
    bands=[{"above": 272_000, "input": "5", "cached_input": "0.50", "output": "22.50"}],
    service_tiers={"batch": HALF},
)  # fmt: skip
REALTIME = priced(
    input="4", cached_input="0.40", output="16", audio_input="32", audio_output="64",
    image_input="5",
)  # fmt: skip
GPT_IMAGE_1 = priced(
    input="5", cached_input="1.25", image_input="10", output="40", image_output="40"
)
EMBEDDING = priced(input="0.02", service_tiers={"batch": HALF})
SONNET = priced(
    input="3", cache_write="3.75", cache_write_1h="6", cached_input="0.30", output="15",
    per_search="0.01",
    bands=[
        {"above": 200_000, "input": "6", "cache_write": "7.50", "cache_write_1h": "12",
         "cached_input": "0.60", "output": "22.50"}
    ],
    service_tiers={"batch": HALF},
)  # fmt: skip
HAIKU = priced(
    input="1", cache_write="1.25", cache_write_1h="2", cached_input="0.10", output="5",
    service_tiers={"batch": HALF},
)  # fmt: skip
OPUS = priced(
    input="5", cache_write="6.25", cache_write_1h="10", cached_input="0.50", output="25",
    service_tiers={"batch": HALF},
)  # fmt: skip
PRO = priced(
    input="1.25", cached_input="0.125", output="10", per_search="0.035",
    bands=[{"above": 200_000, "input": "2.50", "cached_input": "0.25", "output": "15"}],
    service_tiers={
        "batch": {"input": "0.625", "output": "5",
                  "bands": [{"above": 200_000, "input": "1.25", "output": "7.50"}]},
        "priority": {"input": "2.25", "cached_input": "0.225", "output": "18",
                     "bands": [{"above": 200_000, "input": "4.50", "cached_input": "0.45",
                                "output": "27"}]},
    },
)  # fmt: skip
FLASH = priced(
    input="0.30", audio_input="1", cached_input="0.03", output="2.50", per_search="0.035",
    service_tiers={"batch": {"input": "0.15", "audio_input": "0.50", "output": "1.25"}},
)  # fmt: skip
FLASH_LITE = priced(input="0.10", audio_input="0.30", cached_input="0.01", output="0.40")
FLASH_IMAGE = priced(input="0.30", output="2.50", image_output="30", service_tiers={"batch": HALF})
CHAT = priced(
    input="0.27", cached_input="0.07", output="1.10",
    windows=[
        {"from": "16:30", "to": "00:30", "input": "0.135", "cached_input": "0.035",
         "output": "0.55"}
    ],
)  # fmt: skip
REASONER = priced(
    input="0.55", cached_input="0.14", output="2.19",
    windows=[{"from": "16:30", "to": "00:30", "percent": "25"}],
)  # fmt: skip

EXAMPLES = [
    # 1,200 × 2.50 + 350 × 10 = 3,000 + 3,500 millionths
    Example("gpt-4o", OPENAI, GPT_4O, Usage(1_200, 350), "0.0065"),
    # 2,006 in, 1,920 of them cached: 86 × 2.50 + 1,920 × 1.25 + 300 × 10
    Example(
        "gpt-4o with cached input", OPENAI, GPT_4O,
        Usage(2_006, 300, cached_input_tokens=1_920), "0.005615",
    ),
    # one token in and one out: 0.15 + 0.60 millionths of a dollar
    Example("gpt-4o-mini, two tokens", OPENAI, GPT_4O_MINI, Usage(1, 1), "0.00000075"),
    # 13 × 0.15 + 1,011 × 0.075 + 7 × 0.60 = 1.95 + 75.825 + 4.20
    Example(
        "gpt-4o-mini, odd counts", OPENAI, GPT_4O_MINI,
        Usage(1_024, 7, cached_input_tokens=1_011), "0.000081975",
    ),
    Example("gpt-4o in a batch", OPENAI, GPT_4O, Usage(1_200, 350), "0.00325", "batch"),
    # 200 × 4.25 + 1,000 × 2.125 + 350 × 17 = 850 + 2,125 + 5,950
    Example(
        "gpt-4o, priority", OPENAI, GPT_4O,
        Usage(1_200, 350, cached_input_tokens=1_000), "0.008925", "priority",
    ),
    # reasoning tokens are billed as output: 500 × 2 + 2,300 × 8
    Example("o3, reasoning", OPENAI, O3, Usage(500, 2_300, reasoning_tokens=1_984), "0.0194"),
    Example(
        "o3, flex", OPENAI, O3,
        Usage(500, 2_300, cached_input_tokens=128, reasoning_tokens=1_984), "0.009604", "flex",
    ),
    # 1,000 × 3.50 + 1,000 × 14 + 2 searches × 0.01
    Example(
        "o3, priority, two searches", OPENAI, O3, Usage(1_000, 1_000, searches=2), "0.0375",
        "priority",
    ),
    # 10,000 × 1.25 + 2,000 × 10 = 0.0125 + 0.02
    Example("gpt-5", OPENAI, GPT_5, Usage(10_000, 2_000, reasoning_tokens=1_500), "0.0325"),
    # 2,320 × 1.25 + 7,680 × 0.125 + 2,000 × 10 = 2,900 + 960 + 20,000
    Example(
        "gpt-5 with cached input", OPENAI, GPT_5,
        Usage(10_000, 2_000, cached_input_tokens=7_680), "0.02386",
    ),
    Example(
        "gpt-5 in a batch, with cached input", OPENAI, GPT_5,
        Usage(10_000, 2_000, cached_input_tokens=7_680), "0.01193", "batch",
    ),
    Example("gpt-5, flex", OPENAI, GPT_5, Usage(10_000, 2_000), "0.01625", "flex"),
    Example("gpt-5, priority", OPENAI, GPT_5, Usage(10_000, 2_000), "0.065", "priority"),
    # a call of web search is $10 per 1,000: 3 × 0.01 + 9,000 × 1.25 + 800 × 10
    Example("gpt-5, three searches", OPENAI, GPT_5, Usage(9_000, 800, searches=3), "0.04925"),
    # 272,000 is not above it: 272,000 × 2.50 + 1,000 × 15
    Example("gpt-5.4 up to the limit", OPENAI, GPT_5_4, Usage(272_000, 1_000), "0.695"),
    # one token more: 272,001 × 5 + 1,000 × 22.50
    Example("gpt-5.4 above the limit", OPENAI, GPT_5_4, Usage(272_001, 1_000), "1.382505"),
    Example(
        "gpt-5.4 above the limit in a batch", OPENAI, GPT_5_4, Usage(272_001, 1_000),
        "0.6912525", "batch",
    ),
    # text 120 × 4 + 80 × 16, audio 900 × 32 + 1,250 × 64 = 480 + 1,280 + 28,800 + 80,000
    Example(
        "gpt-realtime, audio in and out", OPENAI, REALTIME,
        Usage(1_020, 1_330, audio_input_tokens=900, audio_output_tokens=1_250), "0.11056",
    ),
    # 600 cached × 0.40, 300 audio × 32, 850 image × 5, 100 text × 4, 200 × 16
    Example(
        "gpt-realtime, cached, audio and an image", OPENAI, REALTIME,
        Usage(1_850, 200, cached_input_tokens=600, audio_input_tokens=300,
              image_input_tokens=850), "0.01769",
    ),
    # 50 text × 5 + 323 image × 10 + 1,056 image × 40 = 250 + 3,230 + 42,240
    Example(
        "gpt-image-1, medium, from an image", OPENAI, GPT_IMAGE_1,
        Usage(373, 1_056, image_input_tokens=323, image_output_tokens=1_056), "0.04572",
    ),
    Example("dall-e-3, two images", OPENAI, priced(input="0", per_image="0.04"),
            Usage(images=2), "0.08"),
    # $0.006 a minute, 83.456 s
    Example("whisper-1", OPENAI, priced(input="0", per_second="0.0001"),
            Usage(duration_ms=83_456), "0.0083456"),
    Example("text-embedding-3-small", OPENAI, EMBEDDING, Usage(8_191), "0.00016382"),
    Example("text-embedding-3-small in a batch", OPENAI, EMBEDDING, Usage(8_191),
            "0.00008191", "batch"),
    # 21 × 3 + 393 × 15 = 63 + 5,895
    Example("Sonnet", ANTHROPIC, SONNET, Usage(21, 393), "0.005958"),
    # written for 5 minutes: 188,086 × 3.75 + 21 × 3 + 393 × 15
    Example(
        "Sonnet writes the cache", ANTHROPIC, SONNET,
        Usage(188_107, 393, cache_write_tokens=188_086), "0.7112805",
    ),
    # read: 188,086 × 0.30 + 21 × 3 + 393 × 15
    Example(
        "Sonnet reads the cache", ANTHROPIC, SONNET,
        Usage(188_107, 393, cached_input_tokens=188_086), "0.0623838",
    ),
    # 456 for 5 minutes and 100 for an hour: 456 × 3.75 + 100 × 6 + 1,800 × 0.30 + 2,048 × 3
    Example(
        "Sonnet writes both caches", ANTHROPIC, SONNET,
        Usage(4_404, 503, cached_input_tokens=1_800, cache_write_tokens=456,
              cache_write_1h_tokens=100), "0.016539",
    ),
    # a batch stacks with caching: half of the above
    Example(
        "Sonnet writes both caches in a batch", ANTHROPIC, SONNET,
        Usage(4_404, 503, cached_input_tokens=1_800, cache_write_tokens=456,
              cache_write_1h_tokens=100), "0.0082695", "batch",
    ),
    # 200,001 × 6 + 1,000 × 22.50
    Example("Sonnet, long context", ANTHROPIC, SONNET, Usage(200_001, 1_000), "1.222506"),
    # the length counts cached tokens: 150,000 × 0.60 + 60,000 × 6 + 1,000 × 22.50
    Example(
        "Sonnet, long context from the cache", ANTHROPIC, SONNET,
        Usage(210_000, 1_000, cached_input_tokens=150_000), "0.4725",
    ),
    Example("Sonnet, long context in a batch", ANTHROPIC, SONNET, Usage(200_001, 1_000),
            "0.611253", "batch"),
    # searches are not discounted in a batch: half of (6,039 × 3 + 931 × 15), and 0.01
    Example("Sonnet, one search in a batch", ANTHROPIC, SONNET, Usage(6_039, 931, searches=1),
            "0.026041", "batch"),
    # 10,000 conversations of 2,700 tokens in and 1,000 out: 27 × 1 + 10 × 5
    Example("Haiku, 10,000 conversations", ANTHROPIC, HAIKU, Usage(27_000_000, 10_000_000), "77"),
    Example("Haiku in a batch, one token", ANTHROPIC, HAIKU, Usage(1, 1), "0.000003", "batch"),
    # 50,000 × 10 for an hour, 1,000 × 5, 2,000 × 25
    Example(
        "Opus keeps an hour", ANTHROPIC, OPUS,
        Usage(51_000, 2_000, cache_write_1h_tokens=50_000), "0.555",
    ),
    Example("2.5 Pro", GEMINI, PRO, Usage(200_000, 1_000), "0.26"),
    Example("2.5 Pro above 200k", GEMINI, PRO, Usage(200_001, 1_000), "0.5150025"),
    # 100,000 × 0.25 cached + 150,000 × 2.50 + 1,000 × 15
    Example("2.5 Pro above 200k, cached", GEMINI, PRO,
            Usage(250_000, 1_000, cached_input_tokens=100_000), "0.415"),
    Example("2.5 Pro in a batch", GEMINI, PRO, Usage(200_000, 1_000), "0.13", "batch"),
    Example("2.5 Pro above 200k in a batch", GEMINI, PRO, Usage(200_001, 1_000),
            "0.25750125", "batch"),
    Example("2.5 Pro above 200k, priority", GEMINI, PRO, Usage(200_001, 1_000), "0.9270045",
            "priority"),
    # thinking is output; grounding is $35 per 1,000: 500 × 1.25 + 3,000 × 10 + 0.035
    Example("2.5 Pro, grounded", GEMINI, PRO,
            Usage(500, 3_000, reasoning_tokens=2_400, searches=1), "0.065625"),
    # 60 s of audio are 1,920 tokens: 1,920 × 1 + 80 × 0.30 + 200 × 2.50
    Example("2.5 Flash hears a minute", GEMINI, FLASH,
            Usage(2_000, 200, audio_input_tokens=1_920), "0.002444"),
    Example("2.5 Flash hears a minute in a batch", GEMINI, FLASH,
            Usage(2_000, 200, audio_input_tokens=1_920), "0.001222", "batch"),
    # an image is 258 tokens, priced as text: 258 × 0.10 + 42 × 0.10 + 100 × 0.40
    Example("2.5 Flash-Lite sees an image", GEMINI, FLASH_LITE,
            Usage(300, 100, image_input_tokens=258), "0.00007"),
    # an image of 1,290 tokens is $0.0387: 20 × 0.30 + 1,290 × 30
    Example("2.5 Flash Image", GEMINI, FLASH_IMAGE,
            Usage(20, 1_290, image_output_tokens=1_290), "0.038706"),
    Example("2.5 Flash Image in a batch", GEMINI, FLASH_IMAGE,
            Usage(20, 1_290, image_output_tokens=1_290), "0.019353", "batch"),
    Example("Imagen 4, four images", GEMINI, priced(input="0", per_image="0.04"),
            Usage(images=4), "0.16"),
    Example("Veo 3, eight seconds", GEMINI, priced(input="0", per_second="0.40"),
            Usage(duration_ms=8_000), "3.2"),
    # 3,000 × 0.27 + 7,000 × 0.07 + 1,000 × 1.10 = 810 + 490 + 1,100
    Example("deepseek-chat by day", DEEPSEEK, CHAT,
            Usage(10_000, 1_000, cached_input_tokens=7_000), "0.0024", at="16:29"),
    Example("deepseek-chat at night", DEEPSEEK, CHAT,
            Usage(10_000, 1_000, cached_input_tokens=7_000), "0.0012", at="16:30"),
    # 75 % off: a quarter of 1,000 × 0.55 + 4,000 × 2.19 = 550 + 8,760
    Example("deepseek-reasoner at night", DEEPSEEK, REASONER,
            Usage(1_000, 4_000, reasoning_tokens=3_500), "0.0023275", at="00:29"),
]  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES, ids=[each.name for each in EXAMPLES])
def test_a_worked_example_comes_out_to_the_nano_dollar(example: Example):
    hour, minute = map(int, example.at.split(":"))
    at_s = 20_454 * 86_400 + hour * 3_600 + minute * 60
    asked = (example.usage, example.price, Terms(), example.tier, at_s)
    owed = bill(*asked)
    assert usd_from_nano(owed.cost_nano) == Decimal(example.usd)
    assert owed.charged_nano == owed.cost_nano
    cost = [line for line in explain(*asked) if line.side == "cost"]
    assert sum(line.exact for line in cost) == owed.cost_nano * SCALE


def test_there_are_examples_of_each_provider_and_each_kind():
    pages = [each.page for each in EXAMPLES]
    assert min(pages.count(page) for page in (OPENAI, ANTHROPIC, GEMINI)) >= 10
    names = {each.name for each in EXAMPLES}
    assert len(names) == len(EXAMPLES) >= 25


@pytest.mark.parametrize(
    ("nanos", "exact", "short"),
    [
        ([], 2, 2),
        ([5_000_000_000, None], 2, 2),
        ([11_428_000_000, 50_870_000], 5, 4),
        ([1, 0], 9, 9),
    ],
    ids=["none", "dollars", "cents", "a-nano"],
)
def test_amounts_of_a_column_have_as_many_places(nanos, exact, short):
    assert places_of(nanos) == exact
    assert short_places(nanos) == short
