"""How fast journals become rows: `python -m benchmarks.ingest` (PostgreSQL of its own, a minute).

`store` compares the two ways in which PostgreSQL can be given a batch: one JSON document a table,
or COPY. `whole` is everything that ingest does, from the journal's bytes to the commit.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks import guide

REQUESTS = int(os.environ.get("REQUESTS", "60000"))
BATCH = 1_000
ROUNDS = 15


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="chatvault-bench-") as home:
        _run(home)


def _run(home: str) -> None:
    from tests.servers.postgres import running_postgres

    os.environ |= {"CHATVAULT_HOME": home, "DJANGO_SETTINGS_MODULE": "chatvault.settings"}
    if "--sqlite" in sys.argv:
        _measure(Path(home))
        return
    with running_postgres(shared_buffers="128MB") as server:
        os.environ["DATABASE_URL"] = server.make_database("bench")
        _measure(Path(home))


def _measure(home: Path) -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", verbosity=0)
    print(f"{connection.vendor}, {os.cpu_count()} CPUs, batches of {BATCH} requests")
    if connection.vendor == "postgresql" and "--whole" not in sys.argv:
        _store()
    _whole(home)


def _closed(count: int):
    """Twelve clients with five keys each ask eight models; a half of it has two tags."""
    from apps.providers.adapters.contract import Usage
    from apps.usage.open_requests import Closed, OpenRequests
    from chatvault.lib.ids import uuid7_bytes
    from tests.usage.samples import end, intent, settle, start

    known = OpenRequests()
    now_ms = int(time.time() * 1000)
    for number in range(count):
        one = uuid7_bytes()
        at_ms = now_ms - (count - number) * 10  # a hundred requests a second
        client = number * 7 % 12
        key = client * 5 + number % 5
        model = number * 3 % 8
        took_ms = 120 + number * 7919 % 9_000
        tags = (("env", "prod"), ("project", f"p{client}")) if number % 2 else ()
        records = (
            intent(
                one,
                at_ms=at_ms,
                key_id=key + 1,
                client_id=21 + client,
                team_id=31 + client // 3,
                alias=f"model-{model}",
                tags=tags,
            ),
            start(one, at_ms=at_ms, deployment_id=51 + model),
            end(one, at_ms=at_ms + took_ms),
        )
        for record in records:
            known.apply(record, "bench")
        usage = Usage(900 + number % 700, 40 + number % 90, number % 500)
        last = settle(
            one,
            at_ms=at_ms + took_ms,
            deployment_id=51 + model,
            usage=usage,
            latency_ms=took_ms,
            first_token_ms=took_ms // 4,
        )
        closed = known.apply(last, "bench")
        assert isinstance(closed, Closed)
        yield closed


def _store() -> None:
    from django.db import transaction

    from apps.usage import rows, store
    from apps.usage.names import Names

    def copied(requests, attempts, charges, others) -> int:
        fresh = store.insert_charges(charges)
        store.insert(requests)
        store.insert(attempts)
        store.insert(others)
        return len(fresh)

    def as_json(requests, attempts, charges, others) -> int:
        fresh = _json_insert(charges, " ON CONFLICT DO NOTHING RETURNING request_id")
        for batch in (requests, attempts, others):
            _json_insert(batch)
        return len(fresh)

    for name, way in (("JSON", as_json), ("COPY", copied), ("JSON", as_json), ("COPY", copied)):
        speeds, cpu = [], []
        for _ in range(ROUNDS):
            closed = list(_closed(BATCH))
            made = [rows.request_row(one, Names()) for one in closed]
            entries = [rows.ledger_rows(row, row.started_at) for row in made]
            batch = (
                made,
                [row for one in closed for row in rows.attempt_rows(one.request, Names())],
                [charge for charge, *_ in entries],
                [entry for _, *others in entries for entry in others],
            )
            count = sum(map(len, batch))
            began, began_cpu = time.perf_counter(), time.process_time()
            with transaction.atomic():
                assert way(*batch) == BATCH
            speeds.append(count / (time.perf_counter() - began))
            cpu.append((time.process_time() - began_cpu) / count)
        print(
            f"store {name}: {statistics.median(speeds):,.0f} rows/s, "
            f"of it here {statistics.median(cpu) * 1e6:.1f} µs of CPU a row"
        )


def _json_insert(batch, ending: str = ""):
    import msgspec
    from django.db import connection

    from apps.usage import store

    kind = type(batch[0])
    model = store._TABLES[kind]
    names = ", ".join(kind.__struct_fields__)
    types = ", ".join(
        f"{name} {model._meta.get_field(name).db_type(connection)}"
        for name in kind.__struct_fields__
    )
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({names}) SELECT {names} "
            f"FROM json_to_recordset(%s::json) AS batch({types}){ending}",
            [msgspec.json.encode(batch).decode()],
        )
        return cursor.fetchall() if ending else []


def _whole(home: Path) -> None:
    from apps.billing.models import LedgerEntry
    from apps.usage.follow import Follower
    from apps.usage.models import Attempt, RequestLog
    from apps.usage.records import encode_frame
    from apps.usage.segments import new_owner

    folder = home / "journal"
    folder.mkdir()
    path = folder / f"{new_owner()}-00000001.cvj"
    frames = []
    for one in _closed(REQUESTS):
        request = one.request
        frames += [request.intent, *request.starts.values(), *request.ends.values(), one.settle]
    path.write_bytes(b"".join(map(encode_frame, frames)))
    before = LedgerEntry.objects.count()
    began, began_cpu, began_there = time.perf_counter(), time.process_time(), _cpu_there()
    shipped = Follower(folder, threading.Event()).run_once()
    took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    there = _cpu_there() - began_there
    assert shipped == REQUESTS
    count = REQUESTS * 2 + LedgerEntry.objects.count() - before
    assert min(RequestLog.objects.count(), Attempt.objects.count()) >= REQUESTS
    print(
        f"whole: {shipped / took:,.0f} requests/s, {count / took:,.0f} rows/s, "
        f"of it here {cpu / shipped * 1e6:.0f} µs of CPU a request"
        + (f", in PostgreSQL {there / shipped * 1e6:.0f} µs" if there else "")
    )
    if "--write" in sys.argv:
        figures = {"requests_s": shipped / took, "rows_s": count / took, "batch": BATCH}
        figures["cpu_us_a_request"] = cpu / shipped * 1e6
        guide.keep("ingest", {name: round(value) for name, value in figures.items()})


def _cpu_there() -> float:
    """Seconds of CPU of the server's process that serves us; 0 where there is none."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return 0.0
    connection.ensure_connection()
    stat = Path(f"/proc/{connection.connection.info.backend_pid}/stat").read_text()
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
