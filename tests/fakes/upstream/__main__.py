"""The fake provider as a process of its own: `python -m tests.fakes.upstream --oracle FILE`.

Prints one JSON line with its port and addresses, then serves until SIGTERM or SIGINT.
"""

import argparse
import asyncio
import json
import signal
from pathlib import Path

from tests.fakes.upstream.fake import FakeUpstream


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--oracle", type=Path)
    options = parser.parse_args()
    fake = FakeUpstream(oracle_file=options.oracle)
    server = await fake.listen(options.port)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    where = {"port": fake.port, "openai_url": fake.openai_url, "anthropic_url": fake.anthropic_url}
    print(json.dumps(where | {"gemini_url": fake.gemini_url}), flush=True)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
