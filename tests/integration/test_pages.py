"""The pages in Airflow's API server: acknowledgement by signed link without a login, the incidents only with one."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from devstack.airflow_api import AirflowAPI
from devstack.parts.airflow import SWEEPER
from devstack.stack import Stack
from mindguard.alerts.acknowledgement import sign
from mindguard.alerts.alert import Alert, Fact, fingerprint
from mindguard.alerts.finding import Finding, Recovery
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.severity import Severity
from mindguard.connections import Connection, from_environment
from mindguard.settings import load_settings
from mindguard.volume.page.render import Section
from mindguard.volume.page.store import days_with_page, write_page
from tests.integration.outage import incident_store_down

pytestmark = pytest.mark.timeout(300)

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def store(airflow_stack: Stack) -> IncidentStore:
    return IncidentStore.of(from_environment("mindguard_ops", airflow_stack.environment()))


@pytest.fixture
def client(airflow_stack: Stack) -> httpx.Client:
    """A visitor without any login."""
    assert airflow_stack.site
    return httpx.Client(base_url=f"{airflow_stack.site.url}/mindguard", trust_env=False, timeout=30)


@pytest.fixture
def login(airflow_stack: Stack) -> dict[str, str]:
    """The header of a logged-in user."""
    return {"Authorization": airflow_stack.airflow_api()._client.headers["Authorization"]}


@pytest.fixture
def incident(store: IncidentStore) -> str:
    """Shown id of a new open incident."""
    subject, now = f"page.{uuid.uuid4().hex[:8]}", datetime.now(UTC)
    alert = Alert(
        title=f"Disk full {HOSTILE}",
        severity=Severity.P1,
        subject=subject,
        happened_at=now,
        fingerprint=fingerprint("test", subject),
        facts=(Fact("error", "password=not-a-real-password-1234"),),
        detail="postgresql://demo:not-a-real-password-1234@db.example/mindguard",
    )
    store.record([Finding(alert, source="test", recovery_key=f"test:{subject}")], now=now)
    return next(each.name for each in store.list() if each.alert.subject == subject)


@pytest.fixture
def link(airflow_stack: Stack, incident: str) -> str:
    return a_link(airflow_stack, incident, datetime.now(UTC) + timedelta(hours=1))


def a_link(stack: Stack, incident: str, expires: datetime) -> str:
    def resolve(conn_id: str) -> Connection:
        return from_environment(conn_id, stack.environment())

    return sign(int(incident.removeprefix("I-")), load_settings(), resolve, expires=expires)


def test_opening_the_link_changes_nothing_and_the_button_acknowledges(
    client: httpx.Client, store: IncidentStore, incident: str, link: str
) -> None:
    page = client.get("/acknowledge", params={"token": link})
    assert page.status_code == 200
    assert incident in page.text
    assert HOSTILE not in page.text
    assert store.get(incident).state == "open"

    pressed = client.post("/acknowledge", params={"token": link}, data={"by": "  on-call\nengineer "})
    assert pressed.status_code == 200
    found = store.get(incident)
    assert (found.state, found.acknowledged_by) == ("acknowledged", "on-call engineer")

    again = client.post("/acknowledge", params={"token": link}, data={"by": "somebody else"})
    assert "on-call engineer" in again.text
    assert store.get(incident).acknowledged_by == "on-call engineer"


def test_the_link_of_an_incident_that_is_over_says_so(
    client: httpx.Client, store: IncidentStore, incident: str, link: str
) -> None:
    store.recover([Recovery(store.get(incident).recovery_key, at=datetime.now(UTC))], now=datetime.now(UTC))
    pressed = client.post("/acknowledge", params={"token": link}, data={"by": "on-call engineer"})
    assert pressed.status_code == 200
    assert "告警已恢复" in pressed.text
    assert store.get(incident).state == "resolved"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_link_that_is_not_ours_or_too_old_shows_nothing(
    method: str, client: httpx.Client, airflow_stack: Stack, store: IncidentStore, incident: str, link: str
) -> None:
    """All invalid links get the same answer, which reveals nothing about any incident."""
    expired = a_link(airflow_stack, incident, datetime.now(UTC) - timedelta(minutes=1))
    middle = len(link) // 2
    other = link[:middle] + ("A" if link[middle] != "A" else "B") + link[middle + 1 :]
    answers = [
        client.request(method, "/acknowledge", params={"token": token}, data={"by": "x"} if method == "POST" else None)
        for token in (expired, other, "", "x", link + "x", "I-1")
    ]
    assert {answer.status_code for answer in answers} == {403}
    bodies = {answer.text.partition("<body")[2] or answer.text.partition("</style>")[2] for answer in answers}
    assert len(bodies) == 1
    assert incident not in bodies.pop()
    assert store.get(incident).state == "open"


def test_nobody_is_acknowledged_without_a_name(
    client: httpx.Client, store: IncidentStore, incident: str, link: str
) -> None:
    for name in ("", "  \n ", "x" * 61):
        assert client.post("/acknowledge", params={"token": link}, data={"by": name}).status_code == 422
    assert store.get(incident).state == "open"


def test_pages_are_for_no_cache_no_frame_of_others_and_no_script(client: httpx.Client, link: str) -> None:
    headers = client.get("/acknowledge", params={"token": link}).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path", ["/incidents", "/incidents.json", "/incidents/I-1", "/silences", "/reports", "/reports/2026-09-15"]
)
def test_pages_need_a_login(path: str, client: httpx.Client) -> None:
    assert client.get(path).status_code == 401


def test_acknowledging_in_airflow_needs_a_login_and_a_page_of_ours(
    client: httpx.Client, login: dict[str, str], store: IncidentStore, incident: str
) -> None:
    path = f"/incidents/{incident}/acknowledge"
    assert client.post(path).status_code == 401
    assert client.post(path, headers=login | {"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert store.get(incident).state == "open"
    done = client.post(path, headers=login | {"Sec-Fetch-Site": "same-origin"})
    assert done.status_code == 303
    assert done.next_request is not None
    assert done.next_request.url.path == f"/mindguard/incidents/{incident}"
    assert store.get(incident).acknowledged_by == "admin"


def test_silencing_a_source_and_ending_that_need_a_login_and_a_page_of_ours(
    client: httpx.Client, login: dict[str, str], airflow_stack: Stack, store: IncidentStore, incident: str
) -> None:
    assert airflow_stack.site
    reader = AirflowAPI(airflow_stack.site.url, SWEEPER, airflow_stack.site.password_of(SWEEPER))
    reads = {"Authorization": reader._client.headers["Authorization"]}
    path, form = f"/incidents/{incident}/silence", {"hours": "2", "why": f"new disk {HOSTILE}"}
    assert client.post(path, data=form).status_code == 401
    assert client.post(path, data=form, headers=reads).status_code == 403
    assert client.post(path, data=form, headers=login | {"Sec-Fetch-Site": "cross-site"}).status_code == 403
    for wrong in ({"hours": "1000"}, {"hours": "1e300"}, {"hours": "nan"}, {"hours": "0"}, {"why": "  "}):
        assert client.post(path, data=form | wrong, headers=login).status_code == 422
    assert store.get(incident).silenced_by is None

    done = client.post(path, data=form, headers=login)
    assert done.status_code == 303
    assert done.next_request is not None
    assert done.next_request.url.path == "/mindguard/silences"
    number = store.get(incident).silenced_by
    shown = client.get("/silences", headers=reads).text
    assert f"S-{number}" in shown
    assert HOSTILE not in shown
    assert "静默至" in client.get(f"/incidents/{incident}", headers=reads).text

    end = f"/silences/S-{number}/end"
    assert client.post(end, headers=reads).status_code == 403
    assert client.post(end, headers=login | {"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post(end, headers=login).status_code == 303
    assert store.get(incident).silenced_by is None
    assert client.post(end, headers=login).status_code == 422  # it is over already
    assert f"S-{number}" in client.get("/silences", params={"everything": True}, headers=reads).text


def test_who_may_only_read_cannot_acknowledge(
    client: httpx.Client, airflow_stack: Stack, store: IncidentStore, incident: str
) -> None:
    assert airflow_stack.site
    reader = AirflowAPI(airflow_stack.site.url, SWEEPER, airflow_stack.site.password_of(SWEEPER))
    header = {"Authorization": reader._client.headers["Authorization"]}
    assert incident in client.get("/incidents", headers=header).text
    assert client.post(f"/incidents/{incident}/acknowledge", headers=header).status_code == 403
    assert store.get(incident).state == "open"


def test_the_incidents_with_their_timeline_and_no_secrets(
    client: httpx.Client, login: dict[str, str], store: IncidentStore, incident: str
) -> None:
    listed = client.get("/incidents", headers=login).text
    assert incident in listed
    assert HOSTILE not in listed
    (summary,) = [
        each for each in client.get("/incidents.json", headers=login).json()["incidents"] if each["id"] == incident
    ]
    assert (summary["state"], summary["severity"]) == ("open", "P1")

    page = client.get(f"/incidents/{incident}", headers=login).text
    assert "not-a-real-password" not in page
    assert "时间线" in page
    assert "<td>发生</td>" in page

    store.recover([Recovery(store.get(incident).recovery_key, at=datetime.now(UTC))], now=datetime.now(UTC))
    assert incident not in client.get("/incidents", headers=login).text
    assert incident in client.get("/incidents", params={"latest": True}, headers=login).text


def test_an_incident_that_does_not_exist(client: httpx.Client, login: dict[str, str]) -> None:
    for name in ("I-999999", "I-x", "x"):
        answer = client.get(f"/incidents/{name}", headers=login)
        assert answer.status_code == 404
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "没有这个告警事件" in answer.text
        assert 'href="/mindguard/incidents"' in answer.text


def test_a_refusal_is_a_page_for_people_and_json_for_programs(client: httpx.Client, login: dict[str, str]) -> None:
    for path, status, said in (("/nowhere", 404, "没有这个页面"), ("/reports/yesterday", 422, "没有这个页面")):
        answer = client.get(path, headers=login)
        assert (answer.status_code, said in answer.text) == (status, True)
    unknown = client.get("/incidents").text
    assert "请先登录 Airflow" in unknown
    assert '<a href="/">打开 Airflow</a>' in unknown
    assert client.get("/incidents.json").json()["detail"]
    assert client.get("/metrics").json() == {"detail": "a bearer token is needed"}


def test_without_the_store_the_pages_say_so(
    client: httpx.Client, login: dict[str, str], link: str, airflow_stack: Stack
) -> None:
    with incident_store_down(airflow_stack):
        answers = [
            client.get("/incidents", headers=login),
            client.get("/acknowledge", params={"token": link}),
            client.post("/acknowledge", params={"token": link}, data={"by": "x"}),
        ]
    for answer in answers:
        assert answer.status_code == 503
        assert "事件库暂时无法访问" in answer.text
    assert client.get("/incidents", headers=login).status_code == 200


def a_section(suite: str, hour: int, **more: Any) -> Section:
    return Section(suite, more.pop("frame", "key_events"), datetime(2026, 9, 16, hour, tzinfo=UTC), **more)


def test_the_page_of_a_day_shows_the_newest_look_at_each_suite(
    client: httpx.Client, store: IncidentStore, login: dict[str, str]
) -> None:
    day = date(2026, 9, 15)
    for found in (
        a_section("event_volume", 3, unchecked=f"ClickHouse was down {HOSTILE}"),
        a_section("event_volume", 1, unchecked="looked at before that"),
        a_section("checkins", 1, evaluated=8, severity="warning"),
    ):
        write_page([found], database=store.database, day=day, keep_days=30)
    shown = client.get(f"/reports/{day}", headers=login)
    assert shown.status_code == 200
    assert "ClickHouse was down" in shown.text
    assert "looked at before that" not in shown.text
    assert HOSTILE not in shown.text
    assert "default-src 'none'" in shown.headers["Content-Security-Policy"]
    days = client.get("/reports", headers=login).text
    assert str(day) in days
    assert "未能检查" in days
    assert "P1" in days
    assert client.get("/reports/2026-09-14", headers=login).status_code == 404
    assert client.get("/reports/yesterday", headers=login).status_code == 422

    write_page([a_section("event_volume", 5)], database=store.database, day=day + timedelta(days=31), keep_days=30)
    # Other tests may have written pages of other days into the same database.
    left = {each.day for each in days_with_page(store.database)}
    assert day not in left
    assert day + timedelta(days=31) in left
