"""Faults in real tables of the ClickHouse engine, through rollup and frame: each gives the right outcome."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

import pandas as pd
import pytest
from clickhouse_connect.driver.client import Client

from devstack.data.event_faults import EventFaults
from devstack.data.sample_data import continue_events, load_events
from devstack.stack import Stack
from mindguard.alerts.alert import Release
from mindguard.connections import Connection, clickhouse_client, from_environment
from mindguard.errors import MindGuardError
from mindguard.settings import Settings, load_settings
from mindguard.settings.rota import CalendarSettings
from mindguard.settings.volume import KeyEvent, VolumeSettings
from mindguard.volume.days import Moment, day_start
from mindguard.volume.event_day import EventDay
from mindguard.volume.install import Difference, RollupDiffers, install, reconcile, require_equal
from mindguard.volume.series import TOTAL
from mindguard.volume.source import EventSource, EventsUnreadable
from tests.folders import engine_folder

TUESDAY = date(2026, 9, 15)
ONE_DAY = timedelta(days=1)
BEGAN = TUESDAY - timedelta(days=60)
EVENTS = 1_500_000


@pytest.fixture(scope="module")
def clickhouse() -> Iterator[Stack]:
    """A stack of its own: the shared one's events are not to be spoilt."""
    with (
        engine_folder("mindguard-volume-") as folder,
        Stack(folder, airflow=False, parts=("clickhouse",)) as started,
    ):
        yield started


@pytest.fixture(scope="module")
def connection(clickhouse: Stack) -> Connection:
    return from_environment("mindguard_events", clickhouse.environment())


@pytest.fixture(scope="module")
def client(connection: Connection) -> Client:
    """Sample events from the middle of July to the fifteenth of September, and the days after."""
    found = clickhouse_client(connection)
    load_events(found, events=EVENTS, days=62, seed=1, today=TUESDAY + 2 * ONE_DAY, progress=lambda line: None)
    return found


class Copy:
    """Sample events in a table of one's own, with faults and a rollup."""

    def __init__(self, client: Client, database: str) -> None:
        self.client = client
        settings = load_settings()
        own = settings.volume.model_copy(update={"table": f"{database}.events"})
        self.settings = settings.model_copy(update={"volume": own})
        self.faults = EventFaults(client, own.table)
        self.source = EventSource(client, own, settings.zone)

    def at(self, day: date, hour: float = 0) -> datetime:
        return day_start(day, self.settings.zone) + timedelta(hours=hour)

    def frame(
        self,
        day: date = TUESDAY,
        *,
        as_of: datetime | None = None,
        settings: Settings | None = None,
        releases: tuple[Release, ...] = (),
    ) -> pd.DataFrame:
        """Half an hour after the day, unless another moment is asked for; by event name."""
        install(self.source)
        used = settings or self.settings
        at = as_of or self.at(day, 24.5)
        return EventDay(self.source, used, Moment(day, at), releases=releases).frame.set_index("event_name")

    def funnels(self) -> pd.DataFrame:
        """The funnels of the same day, half an hour after it."""
        return EventDay(self.source, self.settings, Moment(TUESDAY, self.at(TUESDAY, 24.5))).funnels()


@pytest.fixture
def copy(client: Client) -> Iterator[Copy]:
    database = f"copy_{uuid.uuid4().hex[:8]}"
    client.command(f"CREATE DATABASE {database}")
    client.command(f"CREATE TABLE {database}.events AS mindguard.events")
    client.command(f"INSERT INTO {database}.events SELECT * FROM mindguard.events")
    yield Copy(client, database)
    client.command(f"DROP DATABASE {database} SYNC")


def paged(frame: pd.DataFrame) -> list[str]:
    return list(frame.index[frame["page"]])


def test_a_day_without_fault_pages_nobody(copy: Copy) -> None:
    frame = copy.frame()
    assert paged(frame) == []
    assert len(frame) == len(copy.settings.key_events) + 1
    assert frame.loc["app_open", ["state", "verdict_dod", "verdict_net"]].to_list() == ["tracked", "ok", "ok"]
    funnels = copy.funnels()
    assert "below" not in set(funnels["verdict"])
    assert len(funnels) == 7


def test_one_event_that_loses_sixty_percent(copy: Copy) -> None:
    copy.faults.drop(copy.at(TUESDAY), copy.at(TUESDAY, 24), names=["task_view"], share=0.6)
    frame = copy.frame()
    assert paged(frame) == ["task_view"]
    assert frame.loc["task_view", "day_over_day"] == pytest.approx(0.4, abs=0.05)
    assert frame.loc["task_view", "onset"] - copy.at(TUESDAY) < timedelta(hours=2)  # nights are quiet
    assert json.loads(frame.loc["task_view", "cause"])["main"] is None  # lost everywhere alike


def test_a_fall_on_one_platform_after_a_release_names_both(copy: Copy) -> None:
    copy.faults.drop(copy.at(TUESDAY, 8), copy.at(TUESDAY, 24), names=["checkin_submit"], platform="ios", share=1)
    releases = (Release("2.6.0", copy.at(TUESDAY, 7.5)), Release("2.5.0", copy.at(TUESDAY - 20 * ONE_DAY)))
    frame = copy.frame(releases=releases)
    assert paged(frame) == ["checkin_submit"]
    row = frame.loc["checkin_submit"]
    assert abs(row["onset"] - copy.at(TUESDAY, 8)) < timedelta(hours=1.5)
    cause = json.loads(row["cause"])
    assert (cause["main"]["dimension"], cause["main"]["value"]) == ("platform", "ios")
    assert cause["release"]["version"] == "2.6.0"


def test_all_events_lose_forty_percent(copy: Copy) -> None:
    copy.faults.drop(copy.at(TUESDAY), copy.at(TUESDAY, 24), share=0.4)
    frame = copy.frame()
    assert paged(frame) == [TOTAL]
    assert frame.loc["app_open", ["investigate", "folded_into"]].to_list() == [True, TOTAL]
    assert frame.loc[TOTAL, "cause"]


def test_an_event_that_vanishes_is_zero_and_its_funnel_shows_it(copy: Copy) -> None:
    copy.faults.drop(copy.at(TUESDAY), copy.at(TUESDAY, 24), names=["task_start"], share=1)
    copy.faults.drop(copy.at(TUESDAY), copy.at(TUESDAY, 24), names=["task_complete"], share=0.7)
    frame = copy.frame()
    assert frame.loc["task_start", ["state", "actual", "day_over_day"]].to_list() == ["tracked", 0, 0.0]
    assert paged(frame) == ["task_start"]
    assert frame.loc["task_complete", "folded_into"] == "task_start"
    funnels = copy.funnels()
    step = funnels.set_index("step").loc["task_start"]
    assert (step["verdict"], step["actual"]) == ("below", 0)
    assert step["gap"] == pytest.approx(frame.loc["task_start", "weekday_median"], rel=0.2)


def test_day_two_of_a_vanished_event_still_pages(copy: Copy) -> None:
    copy.faults.drop(copy.at(TUESDAY - ONE_DAY), copy.at(TUESDAY, 24), names=["task_view"], share=1)
    assert paged(copy.frame()) == ["task_view"]


def test_a_saturday_pages_nobody(copy: Copy) -> None:
    assert paged(copy.frame(TUESDAY - 3 * ONE_DAY)) == []


def test_a_holiday_pages_nobody(copy: Copy) -> None:
    """The settings call the day one; a third of everything stays away."""
    copy.faults.drop(copy.at(TUESDAY), copy.at(TUESDAY, 24), share=0.35)
    own = CalendarSettings(holidays=(TUESDAY,))
    settings = copy.settings.model_copy(update={"volume": copy.settings.volume.model_copy(update={"calendar": own})})
    assert TOTAL in paged(copy.frame())
    frame = copy.frame(settings=settings)
    assert paged(frame) == []
    assert frame.loc["app_open", "verdict_dod"] == "below"  # and the bare rule would have


def test_a_rare_event_is_inconclusive_and_never_ok(copy: Copy) -> None:
    copy.faults.drop(copy.at(TUESDAY), copy.at(TUESDAY, 24), names=["sos_click"], share=0.6)
    row = copy.frame().loc["sos_click"]
    assert row["low_volume"]
    assert row["window_days"] == 7
    assert row["verdict_net"] == "inconclusive"
    assert not row["page"]


def test_a_rare_event_that_stays_away_for_a_week_pages(copy: Copy) -> None:
    copy.faults.drop(copy.at(TUESDAY - 6 * ONE_DAY), copy.at(TUESDAY, 24), names=["sos_click"], share=1)
    row = copy.frame().loc["sos_click"]
    assert (row["state"], row["actual"], row["verdict_net"], row["page"]) == ("tracked", 0, "below", True)


def test_a_pipeline_that_is_always_two_hours_late_is_no_fall(copy: Copy) -> None:
    copy.faults.delay(copy.at(BEGAN), copy.at(TUESDAY, 24), seconds=7200)
    frame = copy.frame()
    assert paged(frame) == []
    assert frame.loc["app_open", "actual"] < 0.95 * copy.frame(as_of=copy.at(TUESDAY, 48)).loc["app_open", "actual"]


def test_one_late_day_is_a_fall_until_it_lands(copy: Copy) -> None:
    copy.faults.delay(copy.at(TUESDAY, 12), copy.at(TUESDAY, 24), names=["task_view"], seconds=6 * 3600)
    assert paged(copy.frame()) == ["task_view"]
    assert paged(copy.frame(as_of=copy.at(TUESDAY, 36))) == []


def test_the_running_day_is_compared_with_yesterday_at_the_same_age(copy: Copy) -> None:
    day = TUESDAY + ONE_DAY
    morning = copy.frame(day, as_of=copy.at(day, 15))
    assert paged(morning) == []
    row = morning.loc["app_open"]
    assert row["actual"] < 0.7 * copy.frame(day).loc["app_open", "actual"]
    assert row["day_over_day"] == pytest.approx(1, abs=0.15)
    copy.faults.drop(copy.at(day, 9), copy.at(day, 24), names=["task_view"], share=0.9)
    assert paged(copy.frame(day, as_of=copy.at(day, 15))) == ["task_view"]


@pytest.mark.parametrize("seconds", [86_400, 40 * 365 * -86_400, -14 * 86_400, 10 * 365 * 86_400])
def test_phones_with_a_wrong_clock_are_counted_when_they_land(copy: Copy, seconds: int) -> None:
    before = copy.frame().loc["app_open", "actual"]
    copy.faults.shift_clock(copy.at(TUESDAY), copy.at(TUESDAY, 24), share=0.3, seconds=seconds)
    frame = copy.frame()
    assert paged(frame) == []
    assert frame.loc["app_open", "actual"] == pytest.approx(before, rel=0.01)
    counts = copy.source.counts(["app_open"], day=TUESDAY, as_of=copy.at(TUESDAY, 24.5))
    today = counts[(counts["day"] == TUESDAY) & (counts["event_name"] == "app_open")].iloc[0]
    assert today["misdated"] == pytest.approx(0.3 * before, rel=0.3)


def test_a_new_event_is_new(copy: Copy) -> None:
    copy.faults.rename(copy.at(TUESDAY, 10), copy.at(TUESDAY, 24), name="task_view", into="mood_share")
    more = (*copy.settings.key_events, KeyEvent(name="mood_share"), KeyEvent(name="never_sent"))
    frame = copy.frame(settings=copy.settings.model_copy(update={"key_events": more}))
    assert frame.loc["mood_share", ["state", "verdict_dod", "verdict_net"]].to_list() == [
        "new",
        "inconclusive",
        "inconclusive",
    ]
    assert frame.loc["never_sent", ["state", "verdict_dod"]].to_list() == ["never_seen", "inconclusive"]
    assert paged(frame) == []


def test_a_day_that_was_loaded_twice_is_told_and_the_next_one_pages_nobody(copy: Copy) -> None:
    monday = TUESDAY - ONE_DAY
    copy.faults.load_twice(copy.at(monday), copy.at(monday, 24))
    frame = copy.frame()
    assert frame.loc["app_open", "verdict_dod"] == "below"
    assert paged(frame) == []
    by_day = {each.day: each for each in reconcile(copy.source, [monday, TUESDAY])}
    assert by_day[monday].duplicates == by_day[monday].raw_events / 2
    assert by_day[TUESDAY].duplicates == 0


# The rollup


def differences(copy: Copy) -> list[Difference]:
    return reconcile(copy.source, [TUESDAY - 2 * ONE_DAY, TUESDAY - ONE_DAY, TUESDAY])


def test_the_rollup_counts_what_the_raw_table_holds_also_after_the_second_install(copy: Copy) -> None:
    for _ in range(2):
        assert install(copy.source) == ["202607", "202608", "202609"]
        require_equal(differences(copy))
        (counted,) = copy.client.query(f"SELECT sum(events) FROM {copy.source.name('_rollup')}").result_rows[0]
        assert counted == EVENTS


def test_new_events_reach_the_rollup_by_themselves(copy: Copy) -> None:
    install(copy.source)
    copy.faults.rename(copy.at(TUESDAY), copy.at(TUESDAY, 24), name="task_view", into="task_viewed")
    require_equal(differences(copy))
    counts = copy.source.counts(["task_viewed"], day=TUESDAY, as_of=copy.at(TUESDAY, 48))
    assert "task_viewed" in set(counts["event_name"])


def test_a_rollup_that_differs_is_an_error_that_names_the_day_and_install_repairs(copy: Copy) -> None:
    install(copy.source)
    copy.faults.drop(copy.at(TUESDAY), copy.at(TUESDAY, 24), share=0.1)
    with pytest.raises(RollupDiffers, match=r"1 day\(s\): 2026-09-15"):
        require_equal(differences(copy))
    install(copy.source)
    require_equal(differences(copy))


def test_raw_events_that_are_gone_stay_counted(copy: Copy) -> None:
    """The raw table may expire sooner than the history that the checks need."""
    install(copy.source)
    copy.client.command(f"ALTER TABLE {copy.source.name()} DROP PARTITION 202607")
    assert install(copy.source) == ["202608", "202609"]
    july = copy.source.counts(["app_open"], day=TUESDAY, as_of=copy.at(TUESDAY, 24.5))["day"].min()
    assert july.month == 7


def test_without_rollup_the_error_says_what_to_do(copy: Copy) -> None:
    with pytest.raises(EventsUnreadable, match="mindguard volume install"):
        copy.source.counts(["app_open"], day=TUESDAY, as_of=copy.at(TUESDAY, 24.5))


def test_an_empty_rollup_is_never_a_pass(copy: Copy) -> None:
    copy.client.command(f"TRUNCATE TABLE {copy.source.name()}")
    frame = copy.frame()
    assert set(frame["state"]) == {"never_seen"}
    assert set(frame["verdict_dod"]) == set(frame["verdict_net"]) == {"inconclusive"}


def test_other_column_names_and_plain_datetimes_work(client: Client) -> None:
    database = f"own_{uuid.uuid4().hex[:8]}"
    client.command(f"CREATE DATABASE {database}")
    client.command(
        f"CREATE TABLE {database}.`my events` ENGINE = MergeTree ORDER BY `at` AS"
        " SELECT toDateTime(event_time, 'UTC') AS `at`, toDateTime(ingest_time, 'UTC') AS landed,"
        " toString(event_name) AS `na``me`, platform AS `o's` FROM mindguard.events"
    )
    own = VolumeSettings(
        table=f"{database}.my events",
        event_time="at",
        ingest_time="landed",
        name="na`me",
        event_id=None,
        dimensions=("o's",),
    )
    source = EventSource(client, own, load_settings().zone)
    client.command(
        f"ALTER TABLE {source.name()} DELETE WHERE `na``me` = 'task_view' "
        f" AND toDate(`at`, 'Asia/Shanghai') = '{TUESDAY}'",
        settings={"mutations_sync": 1},
    )
    install(source)
    found = reconcile(source, [TUESDAY])
    require_equal(found)
    assert found[0].raw_events > 0
    settings = load_settings().model_copy(update={"volume": own})
    frame = EventDay(source, settings, Moment(TUESDAY, datetime(2026, 9, 16, tzinfo=UTC))).frame
    cause = json.loads(frame.loc[frame["investigate"], "cause"].iloc[0])
    assert {line["value"] for line in cause["losses"]["o's"]} >= {"ios", "android"}
    client.command(f"DROP DATABASE {database} SYNC")


# The client


@pytest.mark.parametrize("change", [{"port": 1}, {"password": "wrong"}])
def test_a_server_that_cannot_be_reached_is_one_line_without_the_password(
    connection: Connection, change: dict[str, object], replaced: Callable[..., Connection]
) -> None:
    with pytest.raises(MindGuardError, match="'mindguard_events' does not reach ClickHouse") as caught:
        clickhouse_client(replaced(connection, **change))
    assert connection.password not in str(caught.value)


@pytest.fixture
def replaced() -> Callable[..., Connection]:
    import dataclasses

    return dataclasses.replace


def test_the_hours_that_follow_the_sample_page_nobody(client: Client) -> None:
    today = TUESDAY + 2 * ONE_DAY
    live = Copy(client, "mindguard")
    after = live.at(today)
    for hour in (3.5, 9.5, 15.5, 20.5, 24.5):
        until = live.at(today, hour)
        continue_events(client, events=EVENTS, days=62, seed=1, today=today, after=after, until=until)
        frame = live.frame(today, as_of=until)
        assert paged(frame) == [], hour
        assert frame.loc[TOTAL, "day_over_day"] > 0.8, hour
        after = until
