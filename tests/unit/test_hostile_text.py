"""Hostile text on every way in.

No exception leaves that is not a refusal in one line, nothing else is lost, and what comes of it can be stored and
shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import importlib
import json
import logging
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import httpx
import pandas as pd
import pytest
from confluent_kafka import KafkaException
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from devstack.feishu_sandbox import contract
from mindguard.airflow.exception_text import text_of
from mindguard.alerts import releases as releases_of
from mindguard.alerts.acknowledgement import LinkInvalid, incident_of
from mindguard.alerts.alert import Alert
from mindguard.alerts.dag_runs.failures import Run, task_failure
from mindguard.alerts.dag_runs.rest_api import AirflowRefused, AirflowRest, AirflowUnreachable
from mindguard.alerts.rota.ical import RotaUnreadable, plan_of
from mindguard.alerts.rota.rota import Rota, gaps, next_in_line, on_duty
from mindguard.alerts.severity import Severity
from mindguard.connections import Connection
from mindguard.documents import faults
from mindguard.errors import MindGuardError, SettingsError
from mindguard.feishu import card
from mindguard.feishu import message as message_of
from mindguard.feishu.answers import code_and_msg, error_of
from mindguard.feishu.plain_text import render_text
from mindguard.fetch import from_json
from mindguard.masking import name_of, printable
from mindguard.monitors import run
from mindguard.monitors.findings import outcome_of
from mindguard.monitors.sources.base import table
from mindguard.monitors.sources.http import Http, _Answer, _texts
from mindguard.monitors.sources.kafka import Kafka
from mindguard.monitors.sources.prometheus import Prometheus
from mindguard.settings import Settings, load_settings
from mindguard.settings.rota import RotaSettings
from mindguard.units import amount
from mindguard.volume import run as suites_run
from mindguard.volume import suites as suites_of
from mindguard.volume.days import Moment
from mindguard.volume.page.render import render_page
from mindguard.volume.suites import Suite, SuiteUnsound, read_suite

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
SECRET = "example-secret-0123456789"
T = TypeVar("T")

# The same examples each time and few of them: the whole file takes seconds. The named ones are always among them.
bounded = hypothesis_settings(
    max_examples=25, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)

NAMED = (
    "",
    "\x00",
    "/api\x00\x1b[31m",
    "\ud800",
    "\udfff\ud800",
    "\u202eabc\u2066",
    "\ufeff\u2028\u2029\x85",
    "x" * 100_000,
    "😀" * 30_000,
    "[" * 100_000,
    '{"a":' * 20_000,
    "NaN",
    "-Infinity",
    "9" * 5_000,
    "1e999999",
    "<at id=all></at>",
    "**[x](javascript:alert(1))**",
    "<script>alert(1)</script>",
    "{{ template }}",
    '{"tag": "button", "url": "https://h"}',
    f"password={SECRET}",
    f"postgresql://u:{SECRET}@h/d",
    "%s %(a)s %",
    "2026-13-45",
    "9999-12-31",
)
TEXT = st.sampled_from(NAMED) | st.text(st.characters(exclude_categories=()), max_size=200)
NUMBERS = st.sampled_from([0, -1, 10**400, -(10**30), True, None]) | st.floats()
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
RAW = TEXT.map(lambda text: text.encode("utf-8", "surrogatepass"))
BODIES = RAW | st.binary(max_size=200) | JSON.map(lambda content: json.dumps(content).encode())


def acceptable(alert: Alert) -> None:
    """The alert can be stored, and Feishu would take its card and its text, in which nothing is dangerous."""
    stored = json.dumps(alert.to_json(), allow_nan=False, ensure_ascii=False)
    assert "\\u0000" not in stored
    stored.encode()  # no lone surrogate
    back = Alert.from_json(json.loads(stored))
    for locale in ("zh", "en"):
        shown = card.render_card(back, locale=locale, zone=ZONE, now=NOW)  # type: ignore[arg-type]
        text = render_text(back, locale=locale, zone=ZONE)  # type: ignore[arg-type]
        assert "<at" not in text
        for message in (message_of.hook_message(shown), message_of.text_message(text)):
            assert message_of.fits(message)
            assert contract.check_message(message) == contract.SUCCESS
            assert SECRET not in json.dumps(message)


def one_line(error: MindGuardError) -> None:
    assert len(str(error).splitlines()) <= 1
    str(error).encode()


class Rows:
    """A source whose monitor `hostile` returns what a test says, and whose others are well."""

    def __init__(self, rows: Sequence[dict[str, Any]] | Exception) -> None:
        self.rows = rows

    def measure(self, monitor: Any, params: Any) -> Any:
        rows = self.rows if monitor.name == "hostile" else [{"value": 0.0}]
        if isinstance(rows, Exception):
            raise rows
        columns = list(dict.fromkeys(name for row in rows for name in row))
        return table(monitor, columns, [[row.get(name) for name in columns] for row in rows]) if rows else []

    def close(self) -> None:
        pass


PLAIN = {"snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]}}


def multipart(value: bytes, named: bytes = b'name="by"') -> bytes:
    """Return a form whose only field has this value."""
    return b"--b\r\nContent-Disposition: form-data; " + named + b"\r\n\r\n" + value + b"\r\n--b--\r\n"


def of_kind(kind: str, **more: Any) -> Settings:
    common = {"kind": kind, "source": "postgres", "query": "m.sql", **more}
    return Settings.model_validate(
        {
            "snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]},
            "monitors": [
                {"name": "hostile", **common},
                {"name": "well", "kind": "rate", "source": "postgres", "query": "m.sql", "error_above": 0.1},
            ],
        }
    )


RATE = of_kind("rate", error_above=0.01)
FRESHNESS = of_kind("freshness", error_after_s=60)


def measured(settings: Settings, source: Any) -> None:
    """Run the monitors: the one that is well passes, and what is found can be stored and shown."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "prepare", lambda *_: lambda: source)
        results = run.run_monitors(settings, lambda name: Connection(name, "postgres"), now=NOW, memory=None)
    assert [each.status for each in results if each.monitor == "well"] == ["pass"]
    mine = [each for each in results if each.monitor == "hostile"]
    assert mine
    for each in mine:
        for text in (each.dimension, each.note):
            assert "\x00" not in text
            assert len(text.encode()) <= 4_000
    outcome = outcome_of(settings, settings.monitors, results, known=(), log_url="https://h/log")
    for finding in outcome.findings:
        assert len(finding.recovery_key) < 1_000
        acceptable(finding.alert)


TIMES = st.sampled_from(
    [
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=ZoneInfo("Asia/Shanghai")),
        NOW,
        NOW.replace(tzinfo=None),
        "x",
    ]
)


@bounded
@given(
    st.lists(
        st.fixed_dictionaries({"value": NUMBERS | TEXT, "dimension": TEXT | RAW, "note": TEXT | RAW, "base": NUMBERS}),
        max_size=4,
    )
)
@example([{"value": 1.0, "dimension": text, "note": text} for text in NAMED])
@example([{"value": float("nan"), "dimension": "a"}, {"value": float("inf"), "dimension": "b"}])
@example([{"value": 10**400}])
@example([{"value": 1e308, "base": 1e308}])
@example([{"value": 5.0, "base": 1e308}])
def test_rows_of_a_source(rows: list[dict[str, Any]]) -> None:
    measured(RATE, Rows(rows))


@bounded
@given(st.lists(st.fixed_dictionaries({"newest": TIMES, "source_now": TIMES, "note": TEXT}), max_size=2))
@example([{"newest": datetime.min.replace(tzinfo=ZoneInfo("Asia/Shanghai"))}])
@example([{"newest": datetime.max.replace(tzinfo=UTC), "source_now": datetime.min.replace(tzinfo=UTC)}])
@example([{"newest": datetime.min.replace(tzinfo=UTC), "source_now": datetime.max.replace(tzinfo=UTC)}])
@example([{"value": 1e300}])
@example([{"value": float("inf")}])
@example([{"value": float("nan")}])
@example([{"value": -1e300}])
def test_times_of_a_source(rows: list[dict[str, Any]]) -> None:
    measured(FRESHNESS, Rows(rows))


class Mute(Exception):
    def __str__(self) -> str:
        raise TypeError("it says nothing")


@bounded
@given(TEXT.map(RuntimeError) | TEXT.map(MindGuardError) | st.just(Mute()))
@example(Mute())
def test_errors_of_a_source(error: Exception) -> None:
    measured(RATE, Rows(error))


@bounded
@given(st.sampled_from([200, 400, 401, 503]), BODIES)
@example(200, b"[" * 100_000)
@example(200, b'{"status": "success", "data": {"resultType": "scalar", "result": [0, "' + b"9" * 5000 + b'"]}}')
@example(200, b'{"status": "success", "data": {"resultType": "vector", "result": [' + b"9" * 5000 + b"]}}")
@example(200, b'{"status": "success", "warnings": "\\ud800", "data": 1}')
@example(200, b'{"status": "error", "errorType": "\\ud800\\u0000", "error": {"a": [null]}}')
def test_an_answer_of_prometheus(status: int, body: bytes) -> None:
    class Answering(Prometheus):
        def _get(self, promql: str, timeout_s: float) -> tuple[int, bytes]:
            return status, body

    source = Answering(Connection("p", "prometheus", host="127.0.0.1"))
    monitors = [{"name": "hostile", "kind": "rate", "source": "prometheus", "promql": "up", "error_above": 0.01}]
    asked = RATE.model_validate({"snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]}, "monitors": monitors})
    with contextlib.suppress(MindGuardError):
        source.measure(asked.monitors[0], {})
    measured(RATE, _Both(source, asked.monitors[0]))


class _Both(Rows):
    """Lets the monitor `hostile` ask a source of its own."""

    def __init__(self, source: Any, monitor: Any) -> None:
        super().__init__([])
        self.source, self.monitor = source, monitor

    def measure(self, monitor: Any, params: Any) -> Any:
        if monitor.name == "hostile":
            return self.source.measure(self.monitor, params)
        return super().measure(monitor, params)


@bounded
@given(
    st.none() | TEXT | st.sampled_from(["idna", "punycode", "undefined", "hex", "utf-7", "unicode_escape", "a\x00"]),
    BODIES,
)
@example("idna", b"\xff.example")
@example("undefined", b"x")
@example("punycode", b"\xff")
@example("a\x00b", b"x")
@example("unicode_escape", rb"\x")
@example(None, b'<meta charset="idna">')
@example(None, b'<meta charset="undefined">')
@example(None, rb"\ud800\u0000")
def test_a_page_of_a_heartbeat(charset: str | None, body: bytes) -> None:
    class Answering(Http):
        def _get(self, url: str, timeout_s: float) -> _Answer:
            return _Answer(200, True, charset, body)

    asked = Settings.model_validate(
        {
            "snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]},
            "monitors": [
                {"name": "hostile", "kind": "heartbeat", "source": "http", "url": "https://h", "expect": "正"}
            ],
        }
    )
    (reading,) = Answering().measure(asked.monitors[0], {})
    assert reading.down, "the page is read, and the word is not in it"


OFFSETS = st.sampled_from([-1001, -1, 0, 1, 5, 2**63 - 1])
TOPICS = ("t", "\x00\u202e", "x" * 6_000)


class HostileError:
    """An error of the client with any code and any text."""

    def __init__(self, code: int, text: str) -> None:
        self.code, self.str = lambda: code, lambda: text


ERRORS = st.builds(HostileError, st.sampled_from([-195, -191, -185, -1, 0, 3, 7, 15, 29, 69, 1_000]), TEXT)


class HostileMessage:
    """A message, or an error in its place."""

    def __init__(self, topic: str | None, partition: int, error: HostileError | None, at: tuple[int, int]) -> None:
        self.topic, self.partition = lambda: topic, lambda: partition
        self.error, self.timestamp = lambda: error, lambda: at


TIMESTAMPS = st.tuples(
    st.sampled_from([0, 1, 2]), st.sampled_from([-1, 0, 1, 1_795_000_000_000, 2**53, 2**63 - 1, -(2**63)])
)
MESSAGES = st.builds(
    HostileMessage, st.sampled_from([*TOPICS, None]), st.integers(-1, 3), st.none() | ERRORS, TIMESTAMPS
)


class HostileKafka(Kafka):
    """A source whose clients answer as a test draws it."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw
        self._admin = self  # type: ignore[assignment]
        self._readers = {True: self, False: self}  # type: ignore[dict-item]
        partitions = st.dictionaries(
            st.integers(0, 3), st.sampled_from([-1, 1]).map(lambda n: SimpleNamespace(leader=n))
        )
        known = st.builds(SimpleNamespace, error=st.none() | ERRORS, partitions=partitions)
        self._topics = draw(st.dictionaries(st.sampled_from(TOPICS), known))

    def list_consumer_group_offsets(self, requests: Any, **_: Any) -> Any:
        def answered(place: Any) -> Any:
            facts = {"offset": self._draw(OFFSETS), "leader_epoch": self._draw(st.none() | OFFSETS)}
            return SimpleNamespace(
                topic=place.topic, partition=place.partition, error=self._draw(st.none() | ERRORS), **facts
            )

        (request,) = requests
        places = [answered(each) for each in request.topic_partitions]
        return {request.group_id: self._future(SimpleNamespace(topic_partitions=places))}

    def list_offsets(self, places: Any, **_: Any) -> Any:
        return {
            each: self._future(self._draw(st.builds(SimpleNamespace, offset=OFFSETS, leader_epoch=OFFSETS)))
            for each in places
        }

    def _future(self, answer: Any) -> Any:
        future = Future[Any]()
        if error := self._draw(st.none() | ERRORS):
            future.set_exception(KafkaException(error))
        else:
            future.set_result(answer)
        return future

    def assign(self, places: Any) -> None:
        pass

    def unassign(self) -> None:
        pass

    def poll(self, timeout: float) -> Any:
        return self._draw(st.none() | MESSAGES)

    def close(self) -> None:
        pass


@bounded
@given(st.data())
def test_answers_of_kafkas_client(data: st.DataObject) -> None:
    lines = [{"name": "hostile", "kind": "freshness", "source": "kafka", "group": "\x00\u202e", "topics": TOPICS}]
    asked = RATE.model_validate({**PLAIN, "monitors": [{**lines[0], "timeout_s": 0.05}]})
    measured(FRESHNESS, _Both(HostileKafka(data.draw), asked.monitors[0]))


@hypothesis_settings(bounded, max_examples=8)  # Great Expectations is slow
@given(
    st.lists(st.tuples(TEXT | NUMBERS | st.binary(max_size=9), NUMBERS | TEXT), min_size=1, max_size=4),
    st.sampled_from(["expect_column_values_to_be_between", "expect_column_values_to_be_in_set"]),
)
@example([(text, 5) for text in NAMED if "\ud800" not in text], "expect_column_values_to_be_between")
@example([(text, text) for text in NAMED if "\ud800" not in text], "expect_column_values_to_be_in_set")
@example([(b"\xff\x00", 10**400)], "expect_column_values_to_be_between")
def test_keys_and_values_of_a_suites_rows(rows: list[tuple[Any, Any]], kind: str) -> None:
    bounds = {"max_value": 3} if kind.endswith("between") else {"value_set": ["well"]}
    expectation = {"type": kind, "severity": "critical", "kwargs": {"column": "v", **bounds}}
    suites = {}
    for name in ("hostile", "well"):
        meta = {"query": "q.sql", "connection": "app", "key": ["k"]}
        suites[name] = Suite.model_validate({"name": name, "meta": meta, "expectations": [expectation]})
    frames = SimpleNamespace(
        settings=RATE,
        moment=Moment(NOW.date(), NOW),
        of=lambda suite: pd.DataFrame(rows if suite.name == "hostile" else [("a", 9)], columns=["k", "v"]),
        details=lambda suite: {},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suites_run, "sound_suite", lambda name, folder: suites[name])
        patch.setattr(suites_of, "irrefutable", lambda *_: [])  # each suite would be tried on many frames
        done = suites_run.run_suites(list(suites), frames)  # type: ignore[arg-type]
    assert "well" in {each.suite.name for each in done.checked}
    for why in done.broken.values():
        one_line(why)
    told = suites_run.outcome_of(done, RATE)
    assert any(each.recovery_key.startswith("volume:well:") for each in told.findings)
    for finding in told.findings:
        assert len(finding.recovery_key.encode()) <= 2_000
        acceptable(finding.alert)
    for recovery in told.recoveries:
        assert len(recovery.recovery_key.encode()) <= 2_000
    page = json.dumps([each.to_json() for each in suites_run.sections(done, RATE)], allow_nan=False, ensure_ascii=False)
    page.encode()
    assert SECRET not in page
    render_page(json.loads(page), day=NOW.date(), locale="zh", zone=ZONE)


PEOPLE = st.fixed_dictionaries(
    {"name": TEXT}, optional={"feishu_id": TEXT | st.just("ou_1"), "phone": TEXT | st.just("+86 100"), "email": TEXT}
)


@bounded
@given(
    st.lists(PEOPLE, min_size=1, max_size=3, unique_by=lambda person: person["name"]),
    TEXT,
    st.lists(st.sampled_from(["00:00", "09:00", "23:59", "24:00"]) | TEXT, min_size=2, max_size=2),
    st.sampled_from([date(2026, 1, 5), date.min, date.max]) | TEXT,
)
@example([{"name": "\x00\ud800"}], "\x00\ud800", ["00:00", "24:00"], date(2026, 1, 5))
@example([{"name": "x" * 100_000}, {"name": "<at id=all></at>"}], "x" * 100_000, ["00:00", "24:00"], date(2026, 1, 5))
@example([{"name": "A"}], "s", ["00:00", "24:00"], date.min)
@example([{"name": "A"}], "s", ["00:00", "24:00"], date.max)
def test_people_and_shifts(people: list[dict[str, str]], shift: str, hours: list[str], starting: Any) -> None:
    names = [person["name"] for person in people]
    shifts = [
        {"name": shift, "from": hours[0], "to": hours[1], "rotation": names, "starting": starting, "backup": "next"}
    ]
    try:
        asked = Settings.model_validate({**PLAIN, "rota": {"people": people, "shifts": shifts}})
    except ValidationError as error:
        faults(error)
        return
    assert asked.rota
    rota = Rota.of(asked.rota, ZONE)
    duty = on_duty(rota, NOW)
    next_in_line(rota, NOW, 1)
    for gap in gaps(rota, NOW):
        str(gap)
    acceptable(Alert("t", Severity.P1, "s", NOW, "f", duty=duty.people, mention=True))


@bounded
@given(
    BODIES,
    st.sampled_from(["application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain", ""]),
    st.sampled_from(["", "utf-7", "unicode_escape", "undefined", "punycode", "utf-16"]),
)
@example(b"by=%00%1b%ff&by=a", "application/x-www-form-urlencoded", "")
@example(b"by=" + b"a" * 100_000, "application/x-www-form-urlencoded", "")
@example(b"by=%ed%a0%80", "application/x-www-form-urlencoded", "")
@example(b"by=" + b"%00" * 60, "application/x-www-form-urlencoded", "")
@example(b"a=b&" * 5_000 + b"by=a", "application/x-www-form-urlencoded", "")
@example(multipart(rb"\ud800"), "multipart/form-data; boundary=b", "unicode_escape")
@example(multipart(rb"\ud800" * 61), "multipart/form-data; boundary=b", "unicode_escape")
@example(multipart(b"a"), "multipart/form-data; boundary=b", "undefined")
@example(multipart(b"a", named=b'name="by"; filename="f"'), "multipart/form-data; boundary=b", "")
@example(multipart(b"\xff\xfe"), "multipart/form-data; boundary=b", "")
@pytest.mark.enable_socket  # an event loop has a pair of them
def test_a_name_in_the_form_of_the_acknowledgement(pages: Any, body: bytes, kind: str, charset: str) -> None:
    kept: list[str] = []

    def acknowledge(number: int, *, by: str, now: datetime) -> Any:
        kept.append(by)
        return SimpleNamespace(
            name="I-1",
            state="acknowledged",
            alert=Alert("t", Severity.P1, "s", NOW, "f"),
            opened_at=NOW,
            acknowledged_by=name_of(by),
            acknowledged_at=NOW,
            resolved_at=None,
        )

    header = f"{kind}; charset={charset}" if charset else kind
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "load_settings", lambda: RATE)
        patch.setattr(pages, "incident_of", lambda *_, **__: 1)
        patch.setattr(pages, "_store", lambda _: SimpleNamespace(acknowledge=acknowledge))
        answer = asyncio.run(posted(pages.application(), body, header))
    assert answer.status_code in (200, 400, 422)
    assert (answer.status_code == 200) == bool(kept)
    for name in kept:
        assert 0 < len(name) <= 60
        assert printable(name) == name
        assert name not in answer.text or html.escape(name) == name


async def posted(app: Any, body: bytes, kind: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://h") as client:
        return await client.post("/acknowledge?token=t", content=body, headers={"Content-Type": kind})


@pytest.fixture(scope="module")
def pages() -> Any:
    """The pages' module, which takes Airflow's API server seconds to load."""
    return importlib.import_module("mindguard.web.application")


@bounded
@given(TEXT, TEXT)
def test_an_exception_in_a_callback(text: str, name: str) -> None:
    error = type(name.replace("\x00", "").encode("utf-8", "replace").decode() or "E", (Exception,), {})(text)
    said = text_of(error)
    finding = task_failure(
        Run(dag_id=text, run_id=name, run_type="manual", started_at=NOW, own_values=True, run_after=NOW),
        name,
        severity=Severity.P1,
        happened_at=NOW,
        log_url=text,
        locale="zh",
        error=said.line,
        detail=said.traceback,
        tries=10**30,
    )
    acceptable(finding.alert)


def calendar(event: str) -> bytes:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "BEGIN:VEVENT", "UID:1", event, "END:VEVENT", "END:VCALENDAR", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogatepass")


WHEN = "DTSTART:20261124T000000Z\r\nDTEND:20261125T000000Z"


@bounded
@given(
    BODIES
    | TEXT.map(lambda text: calendar(f"{WHEN}\r\nSUMMARY:{text[:5000]}"))
    | TEXT.map(lambda text: calendar(f"{WHEN}\r\nRRULE:FREQ=DAILY;INTERVAL={text[:200]}"))
    | TEXT.map(lambda text: calendar(f"DTSTART;TZID={text[:200]}:20261124T000000\r\nSUMMARY:A"))
    | TEXT.map(lambda text: calendar(f"{WHEN}\r\nATTENDEE;CN={text[:200]}:mailto:{text[:200]}"))
)
@example(calendar(f"{WHEN}\r\nSUMMARY:\x00\ud800,A\r\nCATEGORIES:\x00"))
@example(calendar(f"{WHEN}\r\nRRULE:FREQ=DAILY;INTERVAL=0"))
@example(calendar("DTSTART;VALUE=DATE:20261124\r\nDTEND;VALUE=DATE:45000901"))
@example(calendar(f"{WHEN}\r\n" + "\r\n".join(["BEGIN:VALARM"] * 2000)))
def test_a_calendar(ical: bytes) -> None:
    people = RotaSettings.model_validate({"people": [{"name": "A"}], "ical": "x"}).people
    try:
        plan = plan_of(ical, people, ZONE, work_s=0.3)
        for day in (date(2026, 11, 24), date.max - timedelta(days=3)):
            plan(day)
    except RotaUnreadable as error:
        one_line(error)


SETTINGS = "snapshot: {bucket: b, tables: [{name: public.t}]}\n"


@bounded
@given(
    RAW
    | JSON.map(lambda content: f"{SETTINGS}monitors: {json.dumps(content)}".encode())
    | JSON.map(lambda content: f"{SETTINGS}rota: {json.dumps(content)}".encode())
    | TEXT.map(lambda text: f"{SETTINGS}timezone: {text}".encode("utf-8", "surrogatepass"))
    | TEXT.map(lambda text: f"{SETTINGS}timezone: {json.dumps(text)}".encode())
)
@example(b"\xff\xfe")
@example(b"&a [*a]")
@example(f"{SETTINGS}timezone: ..".encode())
@example(f"{SETTINGS}timezone: 2026-13-45".encode())
def test_a_settings_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mindguard.yaml"
    path.write_bytes(content)
    try:
        load_settings(path)
    except SettingsError as error:
        one_line(error)


SUITE = "name: s\nmeta: {frame: key_events}\nexpectations:\n"


@bounded
@given(
    RAW
    | JSON.map(lambda content: f"{SUITE}- {json.dumps(content)}".encode())
    | TEXT.map(lambda text: f"{SUITE}- {{type: {text}, severity: info}}".encode("utf-8", "surrogatepass"))
)
@example(b"name: 2026-13-45")
@example(b"name: " + b"[" * 1_000)
@example(b"\xff\xfe")
@example(b"name: " + b"9" * 5_000)
@example(b"name: !!int x")
def test_a_file_of_a_suite(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(content)
    try:
        read_suite(path)
    except SuiteUnsound as error:
        one_line(error)


@bounded
@given(BODIES)
@example(b'[{"version": "\\ud800\\u0000", "released_at": "2026-11-01T00:00:00+08:00"}]')
@example(b'[{"version": "1", "released_at": "0001-01-01T00:00:00+14:00"}]')
@example(b'[{"version": "1", "released_at": "9999-12-31T23:59:59-14:00"}]')
@example(b"[" * 100_000)
def test_a_list_of_releases(body: bytes) -> None:
    asked = Settings.model_validate(
        {
            "snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]},
            "releases": {"url": "https://h/releases.json"},
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(releases_of, "download", lambda url, timeout_s: body)
        found = releases_of.latest_releases(asked, lambda name: Connection(name, "postgres"))
    acceptable(Alert("t", Severity.P1, "s", NOW, "f", releases=found))


@bounded
@given(BODIES, st.sampled_from([200, 400, 429, 500]))
@example(b"[" * 100_000, 200)
@example(b'{"code": ' + b"9" * 5_000 + b"}", 200)
@example(b'{"code": true, "msg": "\\ud800\\u0000"}', 200)
def test_an_answer_of_feishu(body: bytes, status: int) -> None:
    code, msg = code_and_msg(body)
    if error := error_of("h", status, code, msg, 1):
        one_line(error)


@bounded
@given(TEXT)
@example("\ud800")
@example("é" * 60)
def test_a_token_of_a_link(token: str) -> None:
    connection = Connection("c", "feishu", password=SECRET)
    with pytest.raises(LinkInvalid):
        incident_of(token, RATE, lambda _: connection, now=NOW)


@bounded
@given(BODIES)
@example(b"[" * 100_000)
@example(b'{"access_token": "\\n\\u0000", "dags": [], "total_entries": 0}')
@example(b'{"access_token": "a", "dags": [{}], "total_entries": 1}')
@example(b'{"access_token": "a", "dags": [{"dag_id": "d", "timetable_summary": null, "tags": 3}]}')
@example(b'{"access_token": "a", "dags": [], "total_entries": "x"}')
def test_an_answer_of_airflow(body: bytes) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=body))
    try:
        with AirflowRest("http://h", "u", "p", transport=transport) as api:
            api.dags("mindguard")
    except MindGuardError as error:
        one_line(error)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


# What the tests above have found, each with the right outcome.


def test_an_error_that_says_nothing_does_not_cost_the_whole_time_of_a_run() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "prepare", lambda *_: lambda: Rows(Mute()))
        results = run.run_monitors(RATE, lambda name: Connection(name, "postgres"), now=NOW, memory=None, time_box_s=20)
    assert [(each.monitor, each.status, each.note) for each in results] == [
        ("hostile", "unknown", "Mute"),
        ("well", "pass", ""),
    ]


@pytest.mark.parametrize(("value", "shown"), [(1e300, "1.0e+300 s"), (float("inf"), "inf s"), (90.0, "1 min 30 s")])
def test_an_age_that_is_no_time_is_shown_as_a_number(value: float, shown: str) -> None:
    assert amount(value, "s") == shown


def test_json_that_is_nested_too_deeply_is_not_json() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        from_json(b"[" * 100_000)
    assert code_and_msg(b"[" * 100_000) == (None, "")


def test_feishus_message_is_shown_without_what_cannot_be_shown() -> None:
    assert code_and_msg(b'{"code": 1, "msg": "a\\ud800\\u0000"}') == (1, "a?")
    assert len(code_and_msg(json.dumps({"code": 1, "msg": "x" * 10_000}).encode())[1]) == 500


@pytest.mark.parametrize("content", ["name: 2026-13-45", "name: " + "[" * 1_000, "name: !!int x"])
def test_a_suite_that_the_yaml_library_stumbles_over_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "s.yaml").write_text(content)
    with pytest.raises(SuiteUnsound, match=r"^s\.yaml is not YAML: "):
        read_suite(tmp_path / "s.yaml")


def test_a_release_in_a_year_that_no_zone_can_show_is_refused() -> None:
    with pytest.raises(releases_of.ReleasesUnreadable, match="the year 1 is no time of a release"):
        releases_of._release({"version": "1", "released_at": "0001-01-01T00:00:00+14:00"})


@pytest.mark.parametrize("name", ["idna", "undefined", "hex", "a\x00b"])
def test_a_page_in_an_encoding_that_cannot_be_used_is_read_as_utf_8(name: str) -> None:
    assert next(_texts(_Answer(200, True, name, "正常".encode()))) == "正常"


@pytest.mark.parametrize("answer", [{"dags": [{}], "total_entries": 1}, {"dags": 3}, {}], ids=str)
def test_an_answer_that_is_not_airflows_is_one_line(answer: dict[str, Any]) -> None:
    content = {"access_token": "a"} | answer
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=content))
    with (
        AirflowRest("http://h", "u", "p", transport=transport) as api,
        pytest.raises(AirflowUnreachable, match="gave an answer that is not Airflow's"),
    ):
        api.dags("mindguard")


def test_a_token_that_no_header_can_carry_is_none() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"access_token": "a\nb"}))
    with pytest.raises(AirflowRefused, match="gave no token"):
        AirflowRest("http://h", "u", "p", transport=transport).__enter__()
