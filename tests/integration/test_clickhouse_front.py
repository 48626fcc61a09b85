"""The ClickHouse front, as the ordinary client and Airflow's own hook see it."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import clickhouse_connect
import lz4.frame
import pandas as pd
import pyarrow as pa
import pytest
from backports import zstd
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
USER, PASSWORD = "mindguard", "p:ass/wörd '\""
TRICKY = 'it\'s "quoted" `tick` \\ back\tslash\n第二行 🙂 {x:String} %s'


@dataclass
class Front:
    process: subprocess.Popen[str]
    port: int
    path: Path

    def client(self, **options: Any) -> Client:
        return clickhouse_connect.get_client(
            host="127.0.0.1", port=self.port, username=USER, password=PASSWORD, **options
        )

    def request(
        self, query: dict[str, str], body: bytes | Iterator[bytes] = b"", **headers: str
    ) -> http.client.HTTPResponse:
        """Make one bare request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        sent = {"Authorization": f"Basic {token}"} | {name.replace("_", "-"): v for name, v in headers.items()}
        connection.request("POST", f"/?{urlencode(query)}", body, sent, encode_chunked=not isinstance(body, bytes))
        return connection.getresponse()

    def is_running(self, query: str) -> bool:
        """Return whether the engine is at work on the query."""
        return query in self.request({"query": "SELECT query FROM system.processes"}).read().decode().split("\\n\n")


def start(path: Path, *, port: int = 0, password: str | None = PASSWORD) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "devstack.clickhouse.front", "--path", str(path), "--port", str(port)]
    environment = {**os.environ, "FRONT_PASSWORD": password} if password is not None else os.environ
    return subprocess.Popen(
        [*command, "--user", USER, "--password-env", "FRONT_PASSWORD"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )


def wait_ready(process: subprocess.Popen[str], path: Path) -> Front:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise AssertionError(process.communicate(timeout=10)[1])
    return Front(process, int(line.rpartition(":")[2]), path)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    path = tmp_path_factory.mktemp("clickhouse") / "data"
    process = start(path)
    try:
        yield wait_ready(process, path)
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.fixture
def client(front: Front) -> Iterator[Client]:
    with front.client() as client:
        yield client


@pytest.fixture
def table(client: Client, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"t_{abs(hash(request.node.name))}"
    client.command(f"CREATE TABLE {name} (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    yield name
    client.command(f"DROP TABLE {name}")


# --- refusals ---------------------------------------------------------------------------------------------


def test_wrong_password_is_refused(front: Front) -> None:
    with pytest.raises(DatabaseError, match=r"516.*Authentication failed"):
        clickhouse_connect.get_client(host="127.0.0.1", port=front.port, username=USER, password="no")
    answer = front.request({"query": "SELECT 1"}, Authorization="Basic !!!")
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (403, "516")
    assert PASSWORD not in answer.read().decode()


@pytest.mark.parametrize("user", ["", "default", "MINDGUARD"])
def test_wrong_user_is_refused(front: Front, user: str) -> None:
    answer = front.request({"query": "SELECT 1"}, Authorization="", X_ClickHouse_User=user, X_ClickHouse_Key="secret")
    assert answer.status == 403


def test_the_other_ways_to_say_who_one_is(front: Front) -> None:
    as_sent = PASSWORD.encode().decode("latin-1")
    by_headers = front.request(
        {"query": "SELECT 1"}, Authorization="", X_ClickHouse_User=USER, X_ClickHouse_Key=as_sent
    )
    assert by_headers.read() == b"1\n"
    by_url = front.request({"query": "SELECT 1", "user": USER, "password": PASSWORD}, Authorization="")
    assert by_url.read() == b"1\n"


@pytest.mark.parametrize(
    ("statement", "code", "status"),
    [
        ("SELECT FROM WHERE", 62, 400),
        ("", 62, 400),
        ("SELECT * FROM no_such_table", 60, 404),
        ("SELECT no_such_column", 47, 404),
        ("SELECT no_such_function(1)", 46, 404),
        ("SELECT * FROM no_such_database.t", 81, 404),
        ("SELECT 1 SETTINGS no_such_setting = 1", 115, 404),
        ("SELECT throwIf(1)", 395, 500),
        ("INSERT INTO no_such_table FORMAT CSV\n1,2", 60, 404),
    ],
)
def test_error_codes_and_statuses_are_those_of_clickhouse(front: Front, statement: str, code: int, status: int) -> None:
    answer = front.request({}, statement.encode())
    assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (status, str(code))
    assert answer.read().startswith(f"Code: {code}. DB::Exception: ".encode())


def test_client_raises_with_the_code(client: Client) -> None:
    with pytest.raises(DatabaseError, match="code: 62") as syntax:
        client.query("SELECT 1 FROM (")
    with pytest.raises(DatabaseError, match="code: 60") as unknown:
        client.query("SELECT * FROM no_such_table")
    assert (syntax.value.code, unknown.value.code) == (62, 60)
    assert client.query("SELECT 1").result_rows == [(1,)], "the connection is still of use"


def test_unknown_setting_is_refused_and_leaves_the_session_usable(front: Front) -> None:
    with front.client() as client:
        answer = front.request({"query": "SELECT 1", "no_such_setting": "1", "session_id": "odd"})
        assert (answer.status, answer.headers["X-ClickHouse-Exception-Code"]) == (404, "115")
        assert front.request({"query": "SELECT 1", "session_id": "odd"}).read() == b"1\n"
        assert client.ping()


# --- reading ----------------------------------------------------------------------------------------------


def test_query_in_all_shapes(client: Client) -> None:
    rows = client.query("SELECT number AS n, toString(n) AS s FROM numbers(3)")
    assert rows.result_rows == [(0, "0"), (1, "1"), (2, "2")]
    assert rows.column_names == ("n", "s")
    frame = client.query_df("SELECT number AS n, '好' AS s FROM numbers(2)")
    assert isinstance(frame, pd.DataFrame)
    assert frame["s"].tolist() == ["好", "好"]
    arrow = client.query_arrow("SELECT number AS n FROM numbers(1000)")
    assert isinstance(arrow, pa.Table)
    assert arrow["n"].to_pylist() == list(range(1000))
    assert client.command("SELECT 41 + 1") == 42
    with client.raw_stream("SELECT number FROM numbers(3)", fmt="CSV") as stream:
        assert stream.read() == b"0\n1\n2\n"
    with client.query_row_block_stream("SELECT number FROM numbers(200000)") as blocks:
        assert sum(len(block) for block in blocks) == 200_000
    assert json.loads(client.raw_query("SELECT 1 AS n", fmt="JSON"))["data"] == [{"n": 1}]


def test_no_rows_and_columns_only(client: Client, table: str) -> None:
    assert client.query(f"SELECT * FROM {table}").result_rows == []
    assert client.query(f"SELECT * FROM {table} LIMIT 0").column_names == ("n", "s")
    assert client.command(f"SELECT n FROM {table}") == ""


def test_types_survive(client: Client) -> None:
    moment = datetime(2026, 11, 24, 3, 4, 5, 678000, tzinfo=UTC)
    row = client.query(
        "SELECT toDateTime64('2026-11-24 03:04:05.678', 3, 'UTC') AS t, toDecimal64('1.10', 2) AS d, NULL AS n,"
        " toLowCardinality('ios') AS l, [1, 2]::Array(UInt8) AS a, map('k', 'v') AS m",
        query_tz="UTC",
        tz_mode="aware",
    ).first_row
    assert row[0] == moment
    assert str(row[1]) == "1.10"
    assert row[2:] == (None, "ios", [1, 2], {"k": "v"})


@pytest.mark.parametrize("text", [TRICKY, "", "\\N", "'", "\\'", "\0", "你好" * 20_000])
def test_parameters_are_bound_not_pasted(client: Client, text: str) -> None:
    sql = "SELECT {text:String} AS one, {many:Array(String)} AS many, {none:Nullable(String)} AS none"
    row = client.query(sql, parameters={"text": text, "many": [text, "b"], "none": None}).first_row
    assert row == (text, [text, "b"], None)


def test_parameters_of_other_types(client: Client) -> None:
    moment = datetime(2026, 11, 24, 3, 4, 5, tzinfo=UTC)
    row = client.query(
        "SELECT {n:Int64}, toUnixTimestamp({t:DateTime('UTC')}), {d:Date}, {x:Float64}",
        parameters={"n": -1, "t": moment, "d": moment.date(), "x": 0.5},
    ).first_row
    assert row == (-1, int(moment.timestamp()), moment.date(), 0.5)


def test_response_headers(front: Front) -> None:
    answer = front.request({"query": "SELECT number FROM numbers(5) FORMAT JSONEachRow", "query_id": "q-1"})
    answer.read()
    summary = json.loads(answer.headers["X-ClickHouse-Summary"])
    assert answer.headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert answer.headers["X-ClickHouse-Query-Id"] == "q-1"
    assert answer.headers["X-ClickHouse-Timezone"]
    assert summary["result_rows"] == "5"
    assert front.request({}, b"DROP TABLE IF EXISTS nothing").headers["X-ClickHouse-Format"] is None
    assert front.request({"default_format": "CSV"}, b"SELECT 'a'").read() == b'"a"\n'


def test_ping_needs_no_password(front: Front, client: Client) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=5)
    for path in ("/ping", "/"):
        connection.request("GET", path)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"Ok.\n")
    assert client.ping()


# --- writing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_a_million_rows_in_many_blocks_are_all_stored(front: Front, compress: str | bool) -> None:
    numbers = list(range(1_000_000)) if compress == "lz4" else list(range(300_000))
    with front.client(compress=compress) as client:
        client.command("CREATE OR REPLACE TABLE million (n UInt64) ENGINE = MergeTree ORDER BY n")
        summary = client.insert("million", [numbers], column_names=["n"], column_oriented=True)
        assert summary.written_rows == len(numbers)
        counted = client.query("SELECT count(), uniqExact(n), sum(n) FROM million").first_row
        assert counted == (len(numbers), len(numbers), sum(numbers))
        client.command("DROP TABLE million")


def test_insert_in_all_shapes(client: Client, table: str) -> None:
    client.insert(table, [[1, TRICKY]], column_names=["n", "s"])
    client.insert_df(table, pd.DataFrame({"n": [2], "s": ["好"]}))
    client.insert_arrow(table, pa.table({"n": pa.array([3], pa.uint64()), "s": ["arrow"]}))
    client.raw_insert(table, ["n", "s"], "4,csv\n5,csv\n", fmt="CSV")
    client.raw_insert(table, ["n", "s"], gzip.compress(b"6,gz\n"), fmt="CSV", compression="gzip")
    client.command(f"INSERT INTO {table} VALUES (7, 'FORMAT CSV\n')")
    client.command(f"INSERT INTO {table} SELECT 8, 'select FORMAT Native' FROM numbers(1)")
    stored = dict(client.query(f"SELECT n, s FROM {table}").result_rows)
    assert sorted(stored) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert (stored[1], stored[7]) == (TRICKY, "FORMAT CSV\n")


@pytest.mark.parametrize("piece", [1, 7, 100_000])
@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd", "lz4"])
def test_chunked_bodies_of_several_frames(front: Front, client: Client, table: str, encoding: str, piece: int) -> None:
    compress = {"identity": bytes, "gzip": gzip.compress, "zstd": zstd.compress, "lz4": lz4.frame.compress}
    parts = [f"INSERT INTO {table} (n, s) FORMAT TabSeparated\n".encode()]
    parts += [f"{n}\tline {n}\n".encode() for n in range(50)]
    body = b"".join(compress[encoding](part) for part in parts)
    pieces = (body[at : at + piece] for at in range(0, len(body), piece))
    answer = front.request({}, pieces, Content_Encoding=encoding, Transfer_Encoding="chunked")
    assert (answer.status, answer.read()) == (200, b"")
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "50"
    assert client.command(f"SELECT count() FROM {table} WHERE s = concat('line ', toString(n))") == 50


def test_bad_data_is_refused_and_the_connection_survives(client: Client, table: str) -> None:
    with pytest.raises((DatabaseError, StreamFailureError), match=r"Cannot parse|CANNOT_PARSE|INCORRECT_DATA"):
        client.raw_insert(table, ["n", "s"], "one,two\n" * 300_000, fmt="CSV")
    assert client.command(f"SELECT count() FROM {table}") == 0


def test_a_cut_off_body_stores_nothing(front: Front, client: Client, table: str) -> None:
    lines = f"INSERT INTO {table} (n, s) FORMAT CSV\n1,a\n2,b\n".encode()
    cut = lz4.frame.compress(lines)[:-9]
    assert front.request({}, cut, Content_Encoding="lz4").status == 500
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode())
    with socket.create_connection(("127.0.0.1", front.port)) as bare:
        bare.sendall(b"POST / HTTP/1.1\r\nAuthorization: Basic " + token)
        bare.sendall(b"\r\nContent-Length: 1000\r\n\r\n" + lines)
        bare.shutdown(socket.SHUT_WR)
        assert bare.recv(100) == b""
    assert client.command(f"SELECT count() FROM {table}") == 0


# --- sessions ---------------------------------------------------------------------------------------------


def test_temporary_tables_and_settings_belong_to_the_session(front: Front) -> None:
    with front.client(session_id="one") as one, front.client(session_id="two") as two:
        one.command("CREATE TEMPORARY TABLE mine (n Int32)")
        one.command("INSERT INTO mine VALUES (1)")
        one.command("SET max_block_size = 1234")
        assert one.query("SELECT n FROM mine").result_rows == [(1,)]
        with pytest.raises(DatabaseError, match="code: 60"):
            two.query("SELECT n FROM mine")
        setting = "SELECT getSetting('max_block_size')"
        assert one.command(setting) == 1234
        assert one.query(setting, settings={"max_block_size": 99}).first_row == (99,)
        assert one.command(setting) == 1234, "a setting of one query ends with it"
        assert two.command(setting) != 1234


def test_database_of_a_request_ends_with_it(front: Front) -> None:
    query = "SELECT currentDatabase()"
    assert front.request({"query": query, "session_id": "db", "database": "system"}).read() == b"system\n"
    assert front.request({"query": query, "session_id": "db"}).read() == b"default\n"
    front.request({"query": "USE system", "session_id": "db"}).read()
    assert front.request({"query": query, "session_id": "db"}).read() == b"system\n"
    assert front.request({"query": query}).read() == b"default\n"
    missing = front.request({"query": query, "database": "nowhere"})
    assert missing.headers["X-ClickHouse-Exception-Code"] == "81"


def test_a_session_runs_one_query_at_a_time_and_expires(front: Front) -> None:
    slow = threading.Thread(target=lambda: front.request({"query": "SELECT sleep(2)", "session_id": "busy"}).read())
    slow.start()
    wait_until(lambda: front.is_running("SELECT sleep(2)"), 10, "the query has not begun", poll_s=0.02)
    locked = front.request({"query": "SELECT 1", "session_id": "busy"})
    slow.join()
    assert locked.headers["X-ClickHouse-Exception-Code"] == "373"
    short = {"session_id": "short", "session_timeout": "0"}
    front.request({"query": "CREATE TEMPORARY TABLE gone (n Int8)", **short}).read()
    time.sleep(0.05)
    expired = front.request({"query": "SELECT * FROM gone", **short, "session_check": "1"})
    assert expired.headers["X-ClickHouse-Exception-Code"] == "372"


# --- many at once -----------------------------------------------------------------------------------------


def test_eight_clients_at_once(front: Front) -> None:
    with front.client() as client:
        client.command("CREATE OR REPLACE TABLE shared (who UInt8, n UInt64) ENGINE = MergeTree ORDER BY n")

    def work(who: int) -> int:
        with front.client() as own:
            for turn in range(5):
                own.insert("shared", [[who, n] for n in range(turn * 100, turn * 100 + 100)], ["who", "n"])
                assert own.query("SELECT {who:UInt8}", parameters={"who": who}).first_row == (who,)
            return int(own.command(f"SELECT count() FROM shared WHERE who = {who}"))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [500] * 8
    with front.client() as client:
        assert client.command("SELECT count() FROM shared") == 4000
        client.command("DROP TABLE shared")


def test_a_short_query_does_not_wait_for_a_long_one(front: Front, client: Client) -> None:
    slow = threading.Thread(target=lambda: front.request({"query": "SELECT sleep(3)"}).read())
    slow.start()
    wait_until(lambda: front.is_running("SELECT sleep(3)"), 10, "the query has not begun", poll_s=0.02)
    client.query("SELECT 1")
    assert slow.is_alive()
    slow.join()


def test_small_queries_are_not_held_back_by_nagle(client: Client) -> None:
    client.query("SELECT 1")
    took_s = []
    for _ in range(20):
        began = time.monotonic()
        client.query("SELECT 1")
        took_s.append(time.monotonic() - began)
    assert min(took_s) < 0.03  # Nagle's algorithm delays each by 40 ms; a busy machine not every one


# --- Airflow ----------------------------------------------------------------------------------------------


def test_the_official_airflow_hook_works_unchanged(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.clickhousedb.hooks.clickhouse import ClickHouseHook

    connection = {
        "conn_type": "clickhouse",
        "host": "127.0.0.1",
        "port": front.port,
        "login": USER,
        "password": PASSWORD,
        "extra": {"session_settings": {"max_threads": 2}},
    }
    monkeypatch.setenv("AIRFLOW_CONN_FRONT_TEST", json.dumps(connection))
    hook = ClickHouseHook(clickhouse_conn_id="front_test")
    hook.run("CREATE OR REPLACE TABLE hooked (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    hook.bulk_insert_rows("hooked", [(1, "一"), (2, "it's")], ["n", "s"])
    assert hook.get_records("SELECT n, s FROM hooked ORDER BY n") == [(1, "一"), (2, "it's")]
    assert hook.get_first("SELECT s FROM hooked WHERE s = %(s)s", parameters={"s": "it's"}) == ("it's",)
    assert hook.get_client().command("SELECT getSetting('max_threads')") == 2
    hook.run("DROP TABLE hooked")


# --- start and stop ---------------------------------------------------------------------------------------


def test_a_locked_path_and_a_taken_port_are_one_clear_line(front: Front, tmp_path: Path) -> None:
    for path, port, expected in [
        (front.path, 0, "open in another process"),
        (tmp_path / "other", front.port, f"cannot listen on 127.0.0.1:{front.port}: Address already in use"),
    ]:
        process = start(path, port=port)
        output, errors = process.communicate(timeout=30)
        assert process.returncode == 1
        assert output == ""
        assert expected in errors
        assert len(errors.strip().splitlines()) == 1


def test_a_missing_password_is_one_clear_line(tmp_path: Path) -> None:
    process = start(tmp_path, password=None)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert errors == "clickhouse_front: environment variable FRONT_PASSWORD is not set\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_lets_the_running_query_end_and_keeps_the_data(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "data"
    process = start(path)
    front = wait_ready(process, path)
    client = front.client()
    client.command("CREATE TABLE kept (n UInt64) ENGINE = MergeTree ORDER BY n")
    client.insert("kept", [[1], [2]], column_names=["n"])
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: front.request({"query": "SELECT sleep(2)"}).read())
        wait_until(lambda: front.is_running("SELECT sleep(2)"), 10, "the query has not begun", poll_s=0.02)
        process.send_signal(number)
        assert running.result(timeout=10) == b"0\n"
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")

    again = start(path)
    try:
        with wait_ready(again, path).client() as second:
            assert second.command("SELECT sum(n) FROM kept") == 3
    finally:
        again.terminate()
        again.communicate(timeout=20)
