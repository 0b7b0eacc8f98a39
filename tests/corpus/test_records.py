"""The corpus is read completely: every record is of a kind, and the unfit ones are counted."""

from collections import Counter

import pytest

from tests.corpus.records import CORPUS, Kind, load

pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=f"there is no corpus at {CORPUS}")

# Why records are not replayed, and how many: the table must not grow silently.
NOT_REPLAYED = {
    "the Responses API is another interface": 97,
    "vector stores are not proxied": 1,
    "files are not proxied": 2,
    "counting tokens is not proxied": 9,
    "context caches are not proxied": 1,
    "uploads are not proxied": 2,
    "Bedrock and its event streams are the litellm family's": 73,
    "Cohere is the litellm family's": 7,
}
# Providers that said nothing of usage: a stream that broke off, and a model that never does.
SILENT = [
    "test_embeddings/TestGoogle.test_instrumentation#0",
    "test_groq/test_tool_use_failed_error_streaming#0",
]


def test_every_record_is_of_a_kind():
    kinds = Counter(record.kind for record in load())
    assert kinds[Kind.UNFIT] == sum(NOT_REPLAYED.values())
    assert sum(kinds.values()) == 485


def test_records_that_are_not_replayed():
    assert Counter(r.unfit_reason for r in load() if r.kind is Kind.UNFIT) == NOT_REPLAYED


def test_usage_is_read_from_every_finished_answer():
    silent = [
        record.id
        for record in load()
        if record.kind is not Kind.UNFIT and not record.is_error and record.tokens is None
    ]
    assert silent == SILENT
