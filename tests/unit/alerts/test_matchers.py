"""What a silence is about: matchers as people write them, the labels of incidents, and times."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindguard.alerts.alert import fingerprint
from mindguard.alerts.matchers import Matcher, SilenceRefused, labels_of, moment_of, parse_matchers, source_matchers

NOW = datetime(2026, 11, 24, 3, 1, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")


def labels(source: str, about: str, *, identity: str = "", severity: str = "P1") -> dict[str, tuple[str, ...]]:
    return labels_of(
        source=source,
        recovery_key=f"{source}:{about}",
        subject=about,
        severity=severity,
        fingerprint=identity,
    )


def matches(written: str, of: dict[str, tuple[str, ...]]) -> bool:
    return all(matcher.matches(of) for matcher in parse_matchers(written.split(" "), including_p0=True))


@given(st.text("ab*", max_size=8), st.text("ab", max_size=8))
def test_a_star_stands_for_any_text(pattern: str, value: str) -> None:
    expected = re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), value) is not None
    assert Matcher("monitor", pattern).matches({"monitor": (value,)}) is expected


def test_many_stars_take_no_time() -> None:
    """As a regular expression this one would not end."""
    assert not Matcher("monitor", "*a" * 100 + "b").matches({"monitor": ("a" * 500,)})


@pytest.mark.parametrize(
    ("written", "source", "about", "expected"),
    [
        ("monitor=api_errors", "monitor", "api_errors:/login", True),
        ("monitor=api_errors dimension=/login", "monitor", "api_errors:/login", True),
        ("monitor=api_errors dimension=/pay", "monitor", "api_errors:/login", False),
        ("monitor=api", "monitor", "api_errors:/login", False),
        ("monitor=api*", "monitor", "api_errors:/login", True),
        ("dimension=a:b", "monitor", "api_errors:a:b", True),
        ("dimension=[a]?", "monitor", "api_errors:[a]?", True),
        ("dimension=a?", "monitor", "api_errors:ab", False),
        ("kind=monitor", "monitor", "api_errors:", True),
        ("source=volume", "monitor", "api_errors:", False),
        ("suite=event_volume", "volume", "event_volume:sos_click", True),
        ("table=checkins", "volume", "checkins:checkins/x", True),
        ("table=event_volume", "volume", "event_volume/unconfirmed", True),
        ("dag=etl", "airflow", "etl.load", True),
        ("dag=etl task=load", "airflow", "etl.load", True),
        ("dag=etl", "airflow", "etl manual__2026-11-24T03:00:00.5+00:00", True),
        ("dag=etl", "airflow", "etl2.load", False),
        ("task=load", "airflow", "etl", False),
        ("severity=p1", "airflow", "etl", True),
        ("severity=P2", "airflow", "etl", False),
        ("monitor=*", "airflow", "etl", False),
    ],
)
def test_matchers_are_about_the_labels(written: str, source: str, about: str, expected: bool) -> None:
    assert matches(written, labels(source, about)) is expected


def test_the_fingerprint_tells_a_dag_with_a_dot_from_a_task() -> None:
    task = labels("airflow", "a.b", identity=fingerprint("a", "b"))
    dag = labels("airflow", "a.b", identity=fingerprint("a.b", ""))
    assert matches("dag=a task=b", task)
    assert not matches("dag=a.b", task)
    assert matches("dag=a.b", dag)
    assert not matches("dag=a", dag)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ((), "silence everything"),
        (("monitor",), "is no matcher"),
        (("monitor=",), "is no matcher"),
        (("colour=red",), "is no matcher"),
        (("monitor=a", "monitor=b"), "given twice"),
        (("dag=etl", "monitor=a"), "no incident meets dag=etl and monitor=a"),
        (("source=airflow", "dimension=a"), "no incident meets"),
        (("suite=a", "task=b"), "no incident meets"),
        (("source=a", "kind=b"), "given twice"),
        (("severity=P7",), "no severity"),
        (("severity=P0",), "only if that is asked for"),
        (("subject=a\x00b",), "not printable"),
        (("subject=\ud800",), "not printable"),
        (("subject=" + "x" * 501,), "too long"),
    ],
)
def test_what_is_no_matcher_is_refused(written: tuple[str, ...], words: str) -> None:
    with pytest.raises(SilenceRefused, match=words):
        parse_matchers(written)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("now", NOW),
        ("+2h", NOW + timedelta(hours=2)),
        ("+1d12h30m", NOW + timedelta(days=1, hours=12, minutes=30)),
        ("2026-11-24T12:00", datetime(2026, 11, 24, 4, 0, tzinfo=UTC)),
        ("2026-11-24T12:00Z", datetime(2026, 11, 24, 12, 0, tzinfo=UTC)),
        ("2026-11-24T12:00+08:00", datetime(2026, 11, 24, 4, 0, tzinfo=UTC)),
    ],
)
def test_times_as_people_write_them(written: str, expected: datetime) -> None:
    assert moment_of(written, now=NOW, zone=SHANGHAI) == expected


def test_a_span_counts_from_the_beginning_of_the_silence() -> None:
    begins = NOW + timedelta(days=3)
    assert moment_of("+2h", now=NOW, zone=SHANGHAI, after=begins) == begins + timedelta(hours=2)


@pytest.mark.parametrize(
    "written",
    ["", "+", "soon", "2h", "-2h", "+2y", "25:00", "0001-01-01T00:00+23:00", "9999-12-31T23:59-23:00", "+9999d"],
)
def test_what_is_no_time_is_refused(written: str) -> None:
    if written == "+9999d":
        assert moment_of(written, now=NOW, zone=SHANGHAI) > NOW  # too long, which the store refuses
        return
    with pytest.raises(SilenceRefused, match="is not a time"):
        moment_of(written, now=NOW, zone=SHANGHAI)


@pytest.mark.parametrize(
    ("source", "about", "expected"),
    [
        ("monitor", "api_errors:/login", "monitor=api_errors"),
        ("monitor", "source:mindguard_app", "monitor=source dimension=mindguard_app"),
        ("monitor", "checker:freshness", "monitor=checker dimension=freshness"),
        ("volume", "event_volume:sos_click", "suite=event_volume"),
        ("airflow", "etl.load", "dag=etl.load"),
        ("test", "api", "source=test subject=api"),
    ],
)
def test_the_source_of_an_incident(source: str, about: str, expected: str) -> None:
    of = labels(source, about, identity=fingerprint("etl.load", ""))
    assert " ".join(map(str, source_matchers(of))) == expected
