"""The servers are real, empty at the start, and gone at the end."""

import psycopg
import valkey


def test_postgres_is_real_and_empty(postgres_url):
    with psycopg.connect(postgres_url) as connection:
        version, tables = connection.execute(
            "SELECT current_setting('server_version_num')::int,"
            " (SELECT count(*) FROM pg_tables WHERE schemaname = 'public')"
        ).fetchone()
    assert version >= 160000
    assert tables == 0


def test_a_database_can_be_made_again(postgres_server):
    url = postgres_server.make_database("again")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t ()")
    with psycopg.connect(postgres_server.make_database("again")) as connection:
        assert connection.execute("SELECT to_regclass('t')").fetchone() == (None,)


def test_postgres_keeps_its_data_and_its_port_when_it_is_killed(own_postgres):
    own_postgres.make_database("kept")
    own_postgres.execute("CREATE TABLE t AS SELECT 7 AS n", database="kept")
    port, pid = own_postgres.port, own_postgres.pid
    own_postgres.kill()
    assert not own_postgres.answers()
    own_postgres.start()
    assert (own_postgres.port, own_postgres.pid != pid) == (port, True)
    with psycopg.connect(own_postgres.tcp_url("kept")) as connection:
        assert connection.execute("SELECT n FROM t").fetchone() == (7,)


def test_postgres_can_be_paused_and_stopped(own_postgres):
    with psycopg.connect(own_postgres.tcp_url(), autocommit=True) as connection:
        own_postgres.pause()
        assert not own_postgres.answers()
        own_postgres.resume()
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert own_postgres.end_connections("postgres") >= 1
    own_postgres.stop()
    assert not own_postgres.is_running
    assert own_postgres.start().answers()


def test_valkey_is_flushed_for_each_test(valkey_server, valkey_url):
    with valkey.from_url(valkey_url) as client:
        client.set("a", 1)
        assert client.eval("return redis.call('incrby', KEYS[1], 2)", 1, "a") == 3
    valkey_server.flush()
    with valkey.from_url(valkey_server.socket_url) as client:
        assert client.dbsize() == 0


def test_valkey_comes_back_empty_after_a_kill(valkey_server):
    with valkey.from_url(valkey_server.url) as client:
        client.set("a", 1)
    before = valkey_server.pid
    valkey_server.kill()
    valkey_server.start()
    assert valkey_server.pid != before
    with valkey.from_url(valkey_server.url) as client:
        assert client.get("a") is None
