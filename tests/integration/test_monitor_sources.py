"""Sources beside the databases: Prometheus, the store of snapshots, each with its faults."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from devstack.stack import Stack
from mindguard.connections import Connection
from mindguard.monitors.result import Result
from mindguard.monitors.run import run_monitors
from mindguard.settings import Settings
from mindguard.snapshots.storage.manifest import Manifest, SourceIdentity, StoredObject, Table
from mindguard.snapshots.storage.proof import Proof, store_proof
from mindguard.snapshots.storage.store import Store
from tests.processes import free_port
from tests.stored_objects import overwrite
from tests.waiting import wait_until


def measured(connection: Connection, *, snapshot: dict[str, Any] | None = None, **facts: Any) -> list[Result]:
    plain = {"bucket": "b", "tables": [{"name": "public.t"}], **(snapshot or {})}
    settings = Settings.model_validate({"snapshot": plain, "monitors": [{"name": "m", **facts}]})
    return run_monitors(settings, lambda conn_id: connection, now=datetime.now(UTC), memory=None)


# Prometheus


class FakePrometheus(BaseHTTPRequestHandler):
    """Answers as its query says."""

    def do_GET(self) -> None:
        parameters = parse_qs(urlsplit(self.path).query)
        asked = parameters["query"][0]
        if asked.startswith("{"):
            said: dict[str, Any] = {"status": "success", "data": {"resultType": "scalar", "result": [0, "0.001"]}}
            self.send_response(200)
            self.end_headers()
            if (parameters.get("partial_response"), parameters.get("deny_partial_response")) != (["false"], ["1"]):
                said["warnings"] = ["nobody asked for the whole"]
            self.wfile.write(json.dumps(said | json.loads(asked)).encode())
            return
        if asked == "slow":
            time.sleep(0.6)
        self.send_response(200 if asked != "refused" else 401)
        self.end_headers()
        self.wfile.write(b"<html>" if asked in {"html", "refused"} else json.dumps({"status": "gone"}).encode())

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def fake_prometheus() -> Iterator[Connection]:
    server = HTTPServer(("127.0.0.1", 0), FakePrometheus)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Connection("p", "http", host="127.0.0.1", port=server.server_port)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"warnings": ["fetching series from store 10.0.0.7: connection refused"]}, "store 10.0.0.7"),
        ({"warnings": ["PromQL warning: encountered a mix of histograms and floats", "b" * 900]}, "a mix of"),
        ({"warnings": "results truncated"}, "partial"),
        ({"isPartial": True}, "isPartial"),
    ],
    ids=["thanos", "annotation", "text", "victoriametrics"],
)
def test_a_partial_answer_is_neither_good_nor_bad(
    more: dict[str, Any], words: str, fake_prometheus: Connection
) -> None:
    (result,) = measured(fake_prometheus, kind="rate", source="prometheus", promql=json.dumps(more), error_above=0.01)
    assert (result.status, result.reason) == ("unknown", "partial")
    assert words in result.note
    assert len(result.note) < 400


def test_a_whole_answer_is_asked_for_and_remarks_do_not_make_it_partial(fake_prometheus: Connection) -> None:
    more = {"infos": ["PromQL info: metric might not be a counter"], "isPartial": False}
    (result,) = measured(fake_prometheus, kind="rate", source="prometheus", promql=json.dumps(more), error_above=0.01)
    assert (result.status, result.value) == ("pass", 0.001)


def vector(*series: dict[str, Any]) -> str:
    return json.dumps({"data": {"resultType": "vector", "result": [*series]}})


TWO = vector({"metric": {"__name__": "a"}, "value": [0, "0.9"]}, {"metric": {"__name__": "b"}, "value": [0, "0"]})
ONE = vector({"metric": {}, "value": [0, "500"]})


@pytest.mark.parametrize(
    ("promql", "base_promql", "words"),
    [
        (TWO, ONE, "promql: several series have the same labels"),
        (ONE, TWO, "base_promql: several series have the same labels"),
        (vector({"metric": {}, "histogram": [0, {"count": "3"}]}), ONE, "the expression returns a histogram"),
    ],
    ids=["shares", "bases", "histogram"],
)
def test_series_of_which_one_would_be_lost(
    promql: str, base_promql: str, words: str, fake_prometheus: Connection
) -> None:
    (result,) = measured(
        fake_prometheus,
        kind="rate",
        source="prometheus",
        promql=promql,
        base_promql=base_promql,
        min_base=1,
        error_above=0.01,
    )
    assert (result.status, result.reason) == ("unknown", "failed")
    assert words in result.note


@pytest.mark.parametrize(
    ("promql", "reason", "words"),
    [
        ("html", "failed", "not an answer of Prometheus"),
        ("refused", "failed", "HTTP 401 – check login and password"),
        ("other", "failed", "not an answer of Prometheus"),
        ("slow", "timeout", "no answer within 0.2 s"),
    ],
)
def test_what_is_no_prometheus(promql: str, reason: str, words: str) -> None:
    server = HTTPServer(("127.0.0.1", 0), FakePrometheus)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connection = Connection("p", "http", host="127.0.0.1", port=server.server_port)
    (result,) = measured(connection, kind="rate", source="prometheus", promql=promql, error_above=0.01, timeout_s=0.2)
    server.shutdown()
    server.server_close()
    assert (result.status, result.reason) == ("unknown", reason)
    assert words in result.note


def test_a_prometheus_that_does_not_listen() -> None:
    connection = Connection("p", "http", host="http://127.0.0.1", port=free_port())
    (result,) = measured(connection, kind="rate", source="prometheus", promql="up", error_above=0.01)
    assert (result.status, result.reason) == ("unknown", "unreachable")


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """The real server, where it is installed."""
    program = shutil.which("prometheus")
    if not program:
        pytest.skip("prometheus is not installed")
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "prometheus.yml").write_text("{}\n")
    port = free_port()
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with subprocess.Popen(
        [program, *options, f"--web.listen-address=127.0.0.1:{port}"], stderr=subprocess.DEVNULL
    ) as process:
        try:
            ready = f"http://127.0.0.1:{port}/-/ready"
            wait_until(lambda: answers(ready), 30, "Prometheus is not ready")
            yield Connection("p", "http", host="127.0.0.1", port=port)
        finally:
            process.kill()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize(
    ("promql", "results"),
    [
        ("vector(0.02)", {"": ("error", "above", 0.02)}),
        ("0.005", {"": ("pass", "", 0.005)}),
        ("vector(0) / 0", {"": ("unknown", "no_value", None)}),
        (
            'label_replace(vector(0), "path", "/a", "", "") or label_replace(vector(1), "path", "/b", "", "")',
            {"path=/a": ("pass", "", 0.0), "path=/b": ("error", "above", 1.0)},
        ),
        ("no_such_metric", {"": ("unknown", "failed", None)}),
        ("up[5m]", {"": ("unknown", "failed", None)}),
        ("sum(", {"": ("unknown", "failed", None)}),
    ],
)
def test_expressions(promql: str, results: dict[str, tuple[Any, ...]], prometheus: Connection) -> None:
    found = measured(prometheus, kind="rate", source="prometheus", promql=promql, error_above=0.01)
    assert {each.dimension: (each.status, each.reason, each.value) for each in found} == results, found


def test_more_series_than_people_can_look_at_are_one_unknown(prometheus: Connection) -> None:
    promql = " or ".join(f'label_replace(vector(1), "n", "{number}", "", "")' for number in range(201))
    (result,) = measured(prometheus, kind="rate", source="prometheus", promql=promql, error_above=0.01)
    assert (result.status, result.reason) == ("unknown", "failed")
    assert "more than 200 dimensions" in result.note


PATHS = 'label_replace(vector({a}), "path", "/a", "", "") or label_replace(vector({b}), "path", "/b", "", "")'


@pytest.mark.parametrize(
    ("promql", "base_promql", "results"),
    [
        ("vector(0) / 0", "vector(0)", {"": ("unknown", "low_base", None)}),
        ("vector(0) / 0", "vector(500)", {"": ("unknown", "no_value", None)}),
        ("vector(0.5)", "2", {"": ("unknown", "low_base", 0.5)}),
        ("vector(0.5)", "vector(100)", {"": ("error", "above", 0.5)}),
        ("vector(0.5)", "vector(0) / 0", {"": ("unknown", "no_value", 0.5)}),
        ("no_such_metric", "vector(3)", {"": ("unknown", "low_base", None)}),
        ("no_such_metric", "vector(300)", {"": ("unknown", "no_value", None)}),
        ("vector(0.5)", "no_such_metric", {"": ("unknown", "failed", None)}),
        (
            PATHS.format(a=0.5, b=0.5),
            PATHS.format(a=99, b=100),
            {"path=/a": ("unknown", "low_base", 0.5), "path=/b": ("error", "above", 0.5)},
        ),
        (
            PATHS.format(a=0.5, b=0.5),
            "vector(100)",
            {"path=/a": ("error", "above", 0.5), "path=/b": ("error", "above", 0.5)},
        ),
        (
            'label_replace(vector(0.5), "path", "/a", "", "")',
            'label_replace(vector(500), "host", "h", "", "")',
            {"": ("unknown", "failed", None)},
        ),
    ],
)
def test_a_base_of_its_own(
    promql: str, base_promql: str, results: dict[str, tuple[Any, ...]], prometheus: Connection
) -> None:
    found = measured(
        prometheus,
        kind="rate",
        source="prometheus",
        promql=promql,
        base_promql=base_promql,
        min_base=100,
        error_above=0.01,
    )
    values = {
        each.dimension: (
            each.status,
            each.reason,
            None if each.value is None or each.value != each.value else each.value,
        )
        for each in found
    }
    assert values == results, found


def test_an_age_by_prometheus(prometheus: Connection) -> None:
    (result,) = measured(prometheus, kind="freshness", source="prometheus", promql="vector(time() - (time() - 301))")
    assert (result.status, result.value) == ("error", 301)


# Snapshots


def keep(store: Store, at: datetime, *, proven: bool) -> str:
    """A snapshot of nothing."""
    snapshot_id = f"{at:%Y%m%dT%H%M%SZ}-aaaaaa"
    manifest = Manifest(
        snapshot_id=snapshot_id,
        taken_at=at,
        source=SourceIdentity(
            database="d", server_version=180006, system_identifier=None, lsn="0/1", exported_snapshot="3-1"
        ),
        tables=(
            Table(name="public.t", kind="table", columns=(), part_by="ctid", rows=0, fingerprint="0" * 32, parts=()),
        ),
        enums=(),
        sequences=(),
        schema_dump=StoredObject(key=f"schema/{'c' * 64}.dump", sha256="c3" * 32, bytes=5),
    )
    key = store.layout.manifest_key(at.date(), snapshot_id)
    store.create_sealed(key, manifest.to_bytes())
    if proven:
        store_proof(Proof(snapshot_id=snapshot_id, proven_at=at, seconds=1, tables={}, server_version=1), store, key)
    return snapshot_id


def test_the_age_of_the_newest_snapshot_that_is_proven(
    stack: Stack, store: Store, backup_connection: Connection
) -> None:
    def result() -> Result:
        (found,) = measured(
            backup_connection,
            snapshot={"bucket": store.bucket},
            kind="freshness",
            source="snapshots",
            error_after_s=93_600,
        )
        return found

    now = datetime.now(UTC).replace(microsecond=0)
    assert (result().status, result().reason, result().note) == ("unknown", "not_proven_yet", "")
    first = keep(store, now - timedelta(hours=1), proven=False)
    assert (result().status, result().reason, result().note) == ("unknown", "not_proven_yet", first)
    first = keep(store, now - timedelta(hours=28), proven=False)
    assert (result().status, result().reason, result().note) == ("error", "not_proven_yet", first)
    old = keep(store, now - timedelta(hours=27), proven=True)
    late = result()
    assert (late.status, late.reason, late.note) == ("error", "above", old)
    assert late.value == pytest.approx(27 * 3600, abs=60)
    good = keep(store, now - timedelta(hours=2), proven=True)
    newer = now - timedelta(minutes=90)
    damaged = store.layout.manifest_key(newer.date(), keep(store, newer, proven=True))
    overwrite(store, damaged, b"{}")
    assert (result().status, result().note) == ("pass", good)


def test_a_bucket_that_is_not_there(backup_connection: Connection) -> None:
    (result,) = measured(backup_connection, snapshot={"bucket": "no-such-bucket"}, kind="freshness", source="snapshots")
    assert (result.status, result.reason) == ("unknown", "failed")
    assert "no-such-bucket" in result.note
