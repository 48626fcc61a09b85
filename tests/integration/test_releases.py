"""The latest releases from a table and from an address, and every way in which they cannot be had: no alert waits."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mindguard.alerts.alert import Release
from mindguard.alerts.releases import ReleasesUnreadable, latest_releases, read_releases
from mindguard.alerts.rota.ical import RotaUnreadable, load_rota
from mindguard.connections import Connection, from_environment
from mindguard.errors import ConnectionMissing
from mindguard.fetch import FetchFailed, within
from mindguard.settings import Settings
from tests.connections import connection_of

SECRET = "s3cr3t-Path"
TABLE = """
CREATE TABLE public.releases (
    version text, released_at timestamptz, share numeric, rolled_back boolean, note text
);
INSERT INTO public.releases VALUES
    ('1.0.0', '2026-11-01 10:00+08', 1, false, NULL),
    ('1.3.0', '2026-11-23 10:00+08', 0.05, NULL, 'grey'),
    ('1.1.0', '2026-11-10 10:00+08', NULL, true, ''),
    ('1.2.0', '2026-11-20 10:00+08', 1, false, '')
"""
LISTED = (
    Release("1.3.0", datetime(2026, 11, 23, 2, tzinfo=UTC), 0.05, note="grey"),
    Release("1.2.0", datetime(2026, 11, 20, 2, tzinfo=UTC), 1.0),
    Release("1.1.0", datetime(2026, 11, 10, 2, tzinfo=UTC), rolled_back=True),
)
JSON = [
    {"version": "1.1.0", "released_at": "2026-11-10T10:00:00+08:00", "rolled_back": True, "note": None},
    {"version": "1.3.0", "released_at": "2026-11-23T02:00:00Z", "share": 0.05, "note": "grey", "author": "x"},
    {"version": "1.2.0", "released_at": "2026-11-20T10:00:00+08:00", "share": 1},
    {"version": "1.0.0", "released_at": "2026-11-01T10:00:00+08:00"},
]


def settings_of(**releases: str) -> Settings:
    snapshot = {"bucket": "b", "tables": [{"name": "public.t"}]}
    return Settings.model_validate({"snapshot": snapshot, "releases": releases})


def unused(conn_id: str) -> Connection:
    raise AssertionError(f"{conn_id} is not asked for")


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """`serve(body, status=200, drip_s=0)` gives an address that answers so; a drip is one byte at a time."""
    servers = []

    def start(body: bytes, status: int = 200, drip_s: float = 0) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                for byte in body if drip_s else ():
                    time.sleep(drip_s)
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                if not drip_s:
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/{SECRET}/releases.json"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def resolve(fresh_database: str) -> Callable[[str], Connection]:
    with psycopg.connect(fresh_database) as connection:
        connection.execute(TABLE)

    def look_up(conn_id: str) -> Connection:
        if conn_id != "mindguard_app":
            raise ConnectionMissing(conn_id)
        return connection_of(fresh_database, conn_id)

    return look_up


def test_the_shipped_query_gives_the_last_three(resolve: Callable[[str], Connection]) -> None:
    assert latest_releases(settings_of(query="sql/postgres/select_releases.sql"), resolve) == LISTED


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("select pg_sleep(60)", "no answer within"),
        ("select 1 as version", "released_at"),
        ("select 'v' as version, timestamp '2026-11-01' as released_at", "no time zone"),
        ("select 'v' as version, now() as released_at, 5 as share", "share 5 is not between 0 and 1"),
        ("delete from public.releases returning version", "syntax error"),
        ("select lo_create(0) as version", "read-only"),
        ("select", "the query returns no column"),
        ("select 'a' as version; select 'b' as version", "syntax error"),
        ("select generate_series(1, 100000000) as version", "more than 10,000 rows"),
    ],
)
def test_a_query_that_gives_no_releases_costs_a_warning(
    statement: str, said: str, resolve: Callable[[str], Connection], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    query = tmp_path / "select_releases.sql"
    query.write_text(statement)
    limit_s = 1 if said == "no answer within" else 60
    assert latest_releases(settings_of(query=str(query)), resolve, timeout_s=limit_s) == ()
    assert said in caplog.text
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_missing_connection_or_file_costs_a_warning(
    resolve: Callable[[str], Connection], caplog: pytest.LogCaptureFixture
) -> None:
    query = "sql/postgres/select_releases.sql"
    assert latest_releases(settings_of(query=query, connection="nowhere"), resolve) == ()
    assert latest_releases(settings_of(query="sql/nowhere.sql"), resolve) == ()
    assert "AIRFLOW_CONN_NOWHERE" in caplog.text
    assert "cannot read sql/nowhere.sql: No such file" in caplog.text


def test_a_database_that_is_away_costs_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    gone = {"AIRFLOW_CONN_MINDGUARD_APP": f"postgres://u:{SECRET}@127.0.0.1:1/d"}
    settings = settings_of(query="sql/postgres/select_releases.sql")
    assert latest_releases(settings, lambda conn_id: from_environment(conn_id, gone)) == ()
    assert "connection" in caplog.text
    assert SECRET not in caplog.text


def test_json_from_an_address(serve: Callable[..., str]) -> None:
    assert latest_releases(settings_of(url=serve(json.dumps(JSON).encode())), unused) == LISTED


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"body": b"", "status": 404}, "HTTP 404"),
        ({"body": b"<html>"}, "releases: the answer is not JSON –"),
        ({"body": b"\xff\xfe\x00"}, "releases: the answer is not JSON –"),
        ({"body": b"[" * 100_000}, "releases: the answer is not JSON –"),
        ({"body": b'[{"version": "1", "released_at": "2026-11-01T00:00:00Z", "share": NaN}]'}, "share nan"),
        ({"body": b'{"releases": []}'}, "not a list"),
        ({"body": b'["1.0"]'}, "is not a valid release"),
        ({"body": b'[{"version": "1.0"}]'}, "is not a valid release: released_at: missing –"),
        ({"body": b"[" + b" " * 100 + b"]", "drip_s": 0.2}, "no answer within 0.5 s"),
    ],
)
def test_an_address_without_releases_costs_a_warning_that_hides_it(
    answer: dict[str, Any], said: str, serve: Callable[..., str], caplog: pytest.LogCaptureFixture
) -> None:
    assert latest_releases(settings_of(url=serve(**answer)), unused, timeout_s=0.5) == ()
    assert said in caplog.text
    assert SECRET not in caplog.text


def test_nothing_listens(caplog: pytest.LogCaptureFixture) -> None:
    settings = settings_of(url=f"http://127.0.0.1:1/{SECRET}")
    assert latest_releases(settings, unused) == ()
    assert "127.0.0.1: the connection is refused" in caplog.text
    assert SECRET not in caplog.text
    assert settings.releases
    with pytest.raises(ReleasesUnreadable):
        read_releases(settings.releases, settings, unused)


def test_without_the_setting_nothing_is_asked() -> None:
    assert latest_releases(settings_of(url="http://127.0.0.1:1/").model_copy(update={"releases": None}), unused) == ()


def test_what_is_fetched_passes_its_value_and_its_error() -> None:
    assert within(5, lambda: None) is None
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 / 0)
    forever = threading.Event()
    with pytest.raises(FetchFailed, match=r"within 0\.1 s"):
        within(0.1, forever.wait)
    forever.set()


def test_a_rota_from_an_address(serve: Callable[..., str]) -> None:
    calendar = (
        b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART;VALUE=DATE:20261124\r\n"
        b"SUMMARY:A\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )

    def rota_at(url: str) -> Any:
        snapshot = {"bucket": "b", "tables": [{"name": "public.t"}]}
        return load_rota(
            Settings.model_validate({"snapshot": snapshot, "rota": {"people": [{"name": "A"}], "ical": url}})
        )

    assert len(rota_at(serve(calendar)).plan(datetime(2026, 11, 24, tzinfo=UTC).date())) == 1
    with pytest.raises(RotaUnreadable, match=r"127\.0\.0\.1: HTTP 500") as caught:
        rota_at(serve(b"", status=500))
    assert SECRET not in str(caught.value)
