"""Where Redis can be: behind Sentinels, in a cluster, behind TLS, and with few rights."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from valkey.exceptions import ValkeyError

from apps.billing.limits import Demand
from apps.billing.limits.redis.address import Address, parse_address, slot_of
from apps.billing.limits.redis.books import LimitsBooks, client_of, is_vulnerable
from apps.billing.limits.redis.limits import LoadedBudget, RedisLimits
from chatvault.lib.errors import BudgetExhausted
from tests.billing.limits_clocked import budget, quota
from tests.providers.upstream.certificates import Certificates
from tests.servers.valkey import ValkeyServer, free_port

ROOT = Path(__file__).resolve().parent.parent.parent
ACL = ROOT / "deploy" / "redis" / "users.acl"
SCOPES = (budget(100, "total"), quota("requests", 5), quota("concurrency", 9, id=2))


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Callable[..., ValkeyServer]]:
    """Starts servers that end with the test."""
    started: list[ValkeyServer] = []

    def start(**options: str) -> ValkeyServer:
        folder = tmp_path / f"server{len(started)}"
        folder.mkdir()
        server = ValkeyServer(folder, **options)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.kill()


async def spend(address: Address, prefix: str = "chatvault") -> LimitsBooks:
    """One process reserves, settles and is refused; ingest books; all through this address."""
    client = client_of(address, timeout_s=2)
    books = LimitsBooks(client, prefix)
    books.build(1, [LoadedBudget(1, "total", 0, ((0, 30, 1),))], [], books.run_id())

    async def load(_: object) -> list[LoadedBudget]:
        return []

    limits = RedisLimits(address=address, prefix=prefix, owner="n/o", load=load, timeout_s=2)
    await limits.start()
    assert limits.is_up
    await limits.reserve(b"a" * 16, SCOPES, Demand(1, 60))
    await limits.renew(b"a" * 16)
    await limits.extend(b"a" * 16, 10)
    await limits.settle(b"a" * 16, tokens=1, nano_usd=70)
    with pytest.raises(BudgetExhausted):
        await limits.reserve(b"b" * 16, SCOPES, Demand(1, 1))
    assert books.sums([(1, 0)])[1, 0].spent_nano == 100
    assert books.post([(1, 0, 100, 2)], [("n/o", b"a" * 16)]) == 1
    assert books.audit([1], 100)[1] == 0
    books.warnings()
    books.clean_up()
    books.publish()
    await limits.stop()
    return books


async def test_the_rights_in_the_acl_file_suffice_and_are_few(servers, tmp_path):
    """S23: of an installation's own keys everything, of the server nothing."""
    lines = ACL.read_text().splitlines()
    words = {"default": "", "chatvault": " >for-tests-only", "chatvault-queue": " >for-tests-too"}
    named = [line.replace("default off", "default on >of-the-test ~* &* +@all") for line in lines]
    users = tmp_path / "users.acl"
    users.write_text("".join(line + words[line.split()[1]] + "\n" for line in named))
    made = ValkeyServer(tmp_path, program="redis-server", aclfile=str(users))
    made.login = {"password": "of-the-test"}
    server = made.start()
    try:
        url = f"redis://chatvault:for-tests-only@127.0.0.1:{server.port}/0"
        await spend(parse_address(url))
        with redis.from_url(url) as client:
            _cache_works(client)
            for words_of in (
                ("FLUSHALL",),
                ("CONFIG", "GET", "*"),
                ("KEYS", "*"),
                ("GET", "chatvault"),
                ("SET", "celery", "1"),
                ("EVAL", "return 1", "0"),
                ("ACL", "LIST"),
                ("SCRIPT", "FLUSH"),
                ("SUBSCRIBE", "other"),
            ):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.execute_command(*words_of)
        _queue_works(url)
        queue = f"redis://chatvault-queue:for-tests-too@127.0.0.1:{server.port}/0"
        _queue_works(queue)
        with redis.from_url(queue) as client, pytest.raises(redis.exceptions.NoPermissionError):
            client.hgetall("chatvault:{limits}:epoch")
    finally:
        server.kill()


def _cache_works(client: redis.Redis) -> None:
    """What Django's cache asks for."""
    client.set("chatvault:web:1:a", 1, nx=True, ex=60)
    assert client.exists("chatvault:web:1:a")
    assert client.incr("chatvault:web:1:a") == 2
    client.expire("chatvault:web:1:a", 30)
    assert client.get("chatvault:web:1:a") == b"2"
    client.delete("chatvault:web:1:a")


def _queue_works(url: str) -> None:
    """What Celery asks of its broker, with our prefix."""
    from kombu import Connection

    options = {"global_keyprefix": "chatvault:celery:"}
    with Connection(url, transport_options=options) as connection:
        queue = connection.SimpleQueue("celery")
        queue.put({"task": "one"})
        message = queue.get(timeout=5)
        assert message.payload == {"task": "one"}
        message.ack()
        queue.close()


async def test_a_server_behind_tls_is_verified(servers, tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
    authority = Certificates(ours)
    authority.server_context("localhost")  # writes key and certificate to one file
    port = free_port()
    servers(
        program="redis-server",
        tls_port=str(port),
        tls_cert_file=str(ours / "localhost.pem"),
        tls_key_file=str(ours / "localhost.pem"),
        tls_ca_cert_file=str(authority.authority),
        tls_auth_clients="no",
    )
    url = f"rediss://localhost:{port}/0"
    await spend(parse_address(url, ca_file=str(authority.authority)))
    limits = RedisLimits(
        address=parse_address(url, ca_file=str(Certificates(theirs).authority)),
        prefix="chatvault",
        owner="n/o",
        load=_nothing,
    )
    await limits.start(patience_s=0.3)
    assert not limits.is_up
    await limits.stop()


async def test_behind_sentinels_the_new_master_is_found_and_not_believed(servers, tmp_path):
    """F20: after a failover the limits are built anew before money is promised again."""
    master = servers()
    replica = servers()
    with replica.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", master.port)
    sentinel = Sentinel(tmp_path, master.port)
    try:
        address = parse_address(
            "", mode="sentinel", sentinels=(f"127.0.0.1:{sentinel.port}",), service="mymaster"
        )
        books = await spend(address)
        limits = RedisLimits(
            address=address, prefix="chatvault", owner="n/o", load=_nothing, retry_s=0.1
        )
        await limits.start()
        assert limits.is_up
        master.kill()
        await _until(lambda: not limits.is_up)
        await _until(lambda: _role(replica) == "master" and sentinel.master() == replica.port, 20)
        await asyncio.sleep(0.5)
        assert not limits.is_up
        fresh = LimitsBooks(client_of(address, timeout_s=2), "chatvault")
        epoch = fresh.look()
        assert epoch is None or not epoch.is_current
        fresh.build(2, [LoadedBudget(1, "total", 0, ((0, 100, 3),))], [], fresh.run_id())
        await _until(lambda: limits.is_up)
        with pytest.raises(BudgetExhausted):
            await limits.reserve(b"c" * 16, SCOPES[:1], Demand(1, 1))
        await limits.stop()
        books.close()
    finally:
        sentinel.stop()


async def test_in_a_cluster_all_keys_are_in_one_slot(servers):
    """Two nodes; the one that is asked first does not serve the slot."""
    nodes = [servers(cluster_enabled="yes", cluster_port=str(free_port())) for _ in range(2)]
    slot = slot_of("chatvault:{limits}")
    assert slot == slot_of("chatvault:{limits}:7:b:1") == slot_of("{limits}")
    first, second = [node.client() for node in nodes]
    halves = [(0, slot - 1), (slot, 16383)] if slot else [(1, 16383), (0, 0)]
    first.execute_command("CLUSTER", "ADDSLOTSRANGE", *halves[0])
    second.execute_command("CLUSTER", "ADDSLOTSRANGE", *halves[1])
    bus = second.config_get("cluster-port")["cluster-port"]
    first.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[1].port, bus)
    await _until(lambda: _is_joined(first) and _is_joined(second), 20)
    address = parse_address(f"redis://127.0.0.1:{nodes[0].port}", mode="cluster")
    await spend(address)
    assert second.dbsize() > 0
    assert first.dbsize() == 0


@pytest.mark.parametrize(
    ("version", "is_so"),
    [
        ("6.2.19", True),
        ("6.2.20", False),
        ("7.0.15", True),
        ("7.2.11", False),
        ("8.0.3", True),
        ("8.2.2", False),
        ("9.0.0", False),
    ],
)
def test_servers_with_a_known_hole_are_named(version, is_so):
    assert is_vulnerable(version) is is_so


def test_eviction_is_warned_of(servers):
    server = servers(maxmemory="100mb", maxmemory_policy="allkeys-lru")
    books = LimitsBooks(client_of(parse_address(server.url), timeout_s=2), "chatvault")
    assert any("noeviction" in text for text in books.warnings())
    books.close()


class Sentinel:
    """One Sentinel, which is enough to decide here."""

    def __init__(self, folder: Path, master_port: int) -> None:
        self.port = free_port()
        configuration = folder / "sentinel.conf"
        configuration.write_text(
            f"port {self.port}\ndir {folder}\n"
            f"sentinel monitor mymaster 127.0.0.1 {master_port} 1\n"
            "sentinel down-after-milliseconds mymaster 500\n"
            "sentinel failover-timeout mymaster 2000\n"
        )
        with (folder / "sentinel.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["redis-server", str(configuration), "--sentinel"], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 10
        while not self._knows():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def _knows(self) -> bool:
        """It has found the replica too, so that it can choose it."""
        try:
            with redis.Redis(port=self.port, socket_timeout=1) as client:
                return len(client.sentinel_slaves("mymaster")) == 1
        except redis.RedisError:
            return False

    def master(self) -> int:
        with redis.Redis(port=self.port, socket_timeout=1) as client:
            return int(client.sentinel_get_master_addr_by_name("mymaster")[1])

    def stop(self) -> None:
        os.kill(self._process.pid, signal.SIGTERM)
        self._process.wait(10)


async def _nothing(_: object) -> list[LoadedBudget]:
    return []


async def _until(is_so: Callable[[], bool], patience_s: float = 5.0) -> None:
    deadline = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def _role(server: ValkeyServer) -> str:
    """Empty while it does not say: a server that is promoted drops its connections."""
    try:
        with server.client() as client:
            return client.execute_command("ROLE")[0].decode()
    except (ValkeyError, OSError):
        return ""


def _is_joined(client) -> bool:
    info = client.execute_command("CLUSTER", "INFO")
    state = (
        info
        if isinstance(info, dict)
        else dict(line.split(":", 1) for line in info.decode().split() if ":" in line)
    )
    return state["cluster_state"] == "ok" and state["cluster_known_nodes"] == "2"
