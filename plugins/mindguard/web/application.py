"""The routes of the pages. Only the API server loads them, at the first request: see `mindguard.web.pages`."""

from __future__ import annotations

import hmac
import secrets
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, FastAPI, Form, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException as HTTPError

from mindguard.airflow.clients import connection
from mindguard.alerts.acknowledgement import LinkInvalid, incident_of
from mindguard.alerts.incidents.silences import SilenceStore
from mindguard.alerts.incidents.silencing import labels_of_incident
from mindguard.alerts.incidents.store import IncidentMissing, IncidentStateError, IncidentStore
from mindguard.alerts.incidents.timeline import shown_timeline
from mindguard.alerts.matchers import Matcher, SilenceRefused, source_matchers
from mindguard.connections import postgres_conninfo
from mindguard.database.session import StoreUnavailable
from mindguard.doctor.record import latest as latest_examination
from mindguard.errors import ConnectionMissing, MindGuardError
from mindguard.masking import mask_secrets, printable
from mindguard.monitors.metrics import CONTENT_TYPE, collected, exposition
from mindguard.monitors.store import MonitorStore
from mindguard.settings import Settings, load_settings, settings_for_alerts
from mindguard.volume.findings import SEVERITIES
from mindguard.volume.page.render import render_page
from mindguard.volume.page.store import days_with_page, read_page
from mindguard.web.rendering import render

_LONGEST_NAME = 60
_LATEST = 200
_STORES: dict[str, IncidentStore] = {}


def application() -> FastAPI:
    """Return the application with all routes.

    The signed link needs no login. Prometheus needs a token of its own, since Airflow's tokens expire within a day. For
    everything else, Airflow's auth manager decides.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    reader, editor = Depends(requires_access_dag("GET")), Depends(requires_access_dag("PUT"))
    page: dict[str, Any] = {"response_class": HTMLResponse, "response_model": None}
    app.get("/acknowledge", **page)(show_link)
    app.post("/acknowledge", **page)(follow_link)
    app.get("/metrics", dependencies=[Depends(_with_the_metrics_token)], response_model=None)(show_metrics)
    app.get("/incidents", dependencies=[reader], **page)(show_incidents)
    app.get("/incidents.json", dependencies=[reader], response_model=None)(list_incidents)
    app.get("/incidents/{name}", dependencies=[reader], **page)(show_incident)
    app.post("/incidents/{name}/acknowledge", dependencies=[editor, Depends(_from_these_pages)], **page)(acknowledge)
    changes = [editor, Depends(_from_these_pages)]
    app.post("/incidents/{name}/silence", dependencies=changes, **page)(silence_source)
    app.get("/silences", dependencies=[reader], **page)(show_silences)
    app.post("/silences/{name}/end", dependencies=changes, **page)(end_silence)
    app.get("/reports", dependencies=[reader], **page)(show_reports)
    app.get("/reports/{day}", dependencies=[reader], **page)(show_report)
    app.get("/doctor", dependencies=[reader], **page)(show_examination)
    app.add_exception_handler(StoreUnavailable, _store_is_down)
    app.add_exception_handler(IncidentMissing, _no_such_incident)
    app.add_exception_handler(SilenceRefused, _silence_refused)
    app.add_exception_handler(RequestValidationError, _no_such_page)
    app.add_exception_handler(HTTPError, _refused)
    app.add_exception_handler(MindGuardError, _unusable)
    return app


def show_link(token: str = "") -> HTMLResponse:
    """Show the incident of a signed link, and a button. Opening a link, as previews do, changes nothing."""
    settings = load_settings()
    try:
        incident = _store(settings).get(incident_of(token, settings, connection, now=datetime.now(UTC)))
    except (LinkInvalid, IncidentMissing):
        return _page("acknowledge.html", settings, status=403, incident=None)
    return _page("acknowledge.html", settings, incident=incident)


def follow_link(by: Annotated[str, Form(max_length=_LONGEST_NAME)], token: str = "") -> HTMLResponse:
    """Acknowledge the incident of a signed link in the name that was given."""
    settings = load_settings()
    try:
        number = incident_of(token, settings, connection, now=datetime.now(UTC))
        incident = _acknowledged(settings, number, by=by)
    except (LinkInvalid, IncidentMissing):
        return _page("acknowledge.html", settings, status=403, incident=None)
    return _page("acknowledge.html", settings, incident=incident)


def show_incidents(*, latest: bool = False) -> HTMLResponse:
    """Show the unresolved incidents, or the latest in any state."""
    settings = load_settings()
    return _page("incidents.html", settings, incidents=_listed(settings, latest=latest), latest=latest)


def list_incidents(*, latest: bool = False) -> JSONResponse:
    """Return the unresolved incidents, or the latest in any state, for programs."""
    incidents = _listed(load_settings(), latest=latest)
    return JSONResponse({"incidents": [_summary(incident) for incident in incidents]})


def show_incident(name: str) -> HTMLResponse:
    """Show one incident with its timeline."""
    settings = load_settings()
    incident = _store(settings).get(name)
    return _page(
        "incident.html",
        settings,
        incident=incident,
        timeline=shown_timeline(incident, settings.locale),
        matchers=_matchers(incident),
        longest_h=settings.alerts.silence_max_hours,
    )


def show_metrics() -> Response:
    """Return the figures for Prometheus. If the incident store is down, the only figure says so."""
    settings = load_settings()
    incidents = _store(settings)
    registry = collected(settings, incidents, MonitorStore.of(incidents.database, settings), now=datetime.now(UTC))
    return Response(exposition(registry), media_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})


def acknowledge(name: str, user: GetUserDep) -> RedirectResponse:
    """Acknowledge an incident in the name of the user who is logged in, and show it."""
    _acknowledged(load_settings(), name, by=user.get_name())
    return RedirectResponse(f"../{name}", status_code=303)


def silence_source(
    name: str,
    user: GetUserDep,
    hours: Annotated[float, Form(gt=0, allow_inf_nan=False)],
    why: Annotated[str, Form(max_length=500)],
    *,
    including_p0: Annotated[bool, Form()] = False,
) -> RedirectResponse:
    """Silence the source of an incident from now on, in the name of the user who is logged in."""
    settings, now = load_settings(), datetime.now(UTC)
    incident = _store(settings).get(name)
    longest = timedelta(hours=settings.alerts.silence_max_hours)
    _silences(settings).add(
        _matchers(incident),
        starts_at=now,
        ends_at=now + min(timedelta(hours=min(hours, 1e6)), 2 * longest),
        by=user.get_name(),
        why=why,
        now=now,
        longest=longest,
        including_p0=including_p0,
    )
    return RedirectResponse("../../silences", status_code=303)


def show_silences(*, everything: bool = False) -> HTMLResponse:
    """Show the silences that are active or coming, or all of them."""
    settings, now = load_settings(), datetime.now(UTC)
    found = _silences(settings).list(now=now, everything=everything, limit=_LATEST)
    return _page("silences.html", settings, silences=found, everything=everything, now=now)


def end_silence(name: str, user: GetUserDep) -> RedirectResponse:
    """End a silence in the name of the user who is logged in."""
    _silences(load_settings()).end(name, by=user.get_name(), now=datetime.now(UTC))
    return RedirectResponse("../../silences", status_code=303)


def show_reports() -> HTMLResponse:
    """Show the days whose checks have a page."""
    settings = load_settings()
    return _page("reports.html", settings, days=days_with_page(_store(settings).database), severities=SEVERITIES)


def show_report(day: date) -> HTMLResponse:
    """Show the results of one day's checks."""
    settings, nonce = load_settings(), secrets.token_urlsafe(16)
    sections = read_page(_store(settings).database, day)
    html = render_page(
        sections, day=day, locale=settings.locale, zone=settings.zone, nonce=nonce, all_days="../reports"
    )
    return _answer(html, nonce, 200 if sections else 404)


def show_examination() -> HTMLResponse:
    """Show what doctor found when it last ran as a DAG, what is wrong first."""
    settings = load_settings()
    found = latest_examination(_store(settings).database)
    order = ("error", "warn", "unknown", "pass", "unused")
    findings = sorted(found.findings, key=lambda each: order.index(each.status)) if found else []
    return _page("doctor.html", settings, examined=found, findings=findings)


def _with_the_metrics_token(request: Request) -> None:
    """Refuse a request without the password of `connections.metrics` as its bearer token."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        password = connection(load_settings().connections.metrics).password
    except ConnectionMissing:
        password = ""
    # Without a password nobody is let in. The time of the comparison reveals nothing about the password.
    if not password or scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), password.encode()):
        raise HTTPException(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})


def _from_these_pages(request: Request) -> None:
    """Refuse a form that another site's page sends with the user's cookie."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "from another site")


def _store(settings: Settings) -> IncidentStore:
    """Return the store that all requests share, with one small pool; a new one if the connection has changed."""
    ops = connection(settings.connections.ops)
    return _STORES.setdefault(postgres_conninfo(ops), IncidentStore.of(ops))


def _silences(settings: Settings) -> SilenceStore:
    return SilenceStore(_store(settings).database)


def _matchers(incident: Any) -> tuple[Matcher, ...]:
    """Return the matchers for an incident's source."""
    return source_matchers(labels_of_incident(incident))


def _listed(settings: Settings, *, latest: bool) -> list[Any]:
    states = ("open", "acknowledged", "resolved") if latest else ("open", "acknowledged")
    return _store(settings).list(states=states, limit=_LATEST)


def _acknowledged(settings: Settings, incident_id: Any, *, by: str) -> Any:
    """Acknowledge an incident unless it is resolved, and return it."""
    name = " ".join(printable(by).split())
    if not name:
        raise HTTPException(422, "a name is needed")
    store = _store(settings)
    try:
        return store.acknowledge(incident_id, by=name, now=datetime.now(UTC))
    except IncidentStateError:
        return store.get(incident_id)


def _page(template: str, settings: Settings, *, status: int = 200, **values: Any) -> HTMLResponse:
    nonce = secrets.token_urlsafe(16)
    html = render(template, locale=settings.locale, zone=settings.zone, nonce=nonce, **values)
    return _answer(html, nonce, status)


def _answer(html: str, nonce: str, status: int) -> HTMLResponse:
    # The address of a signed link is a credential, so it must not be sent to other pages as the referrer.
    headers = {
        "Content-Security-Policy": f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self';"
        " base-uri 'none'; frame-ancestors 'self'",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(html, status_code=status, headers=headers)


def _store_is_down(request: Request, error: Exception) -> HTMLResponse:
    return _message(request, 503, "store_down")


def _no_such_incident(request: Request, error: Exception) -> HTMLResponse:
    return _message(request, 404, "no_incident", link="incidents")


def _silence_refused(request: Request, error: Exception) -> HTMLResponse:
    return _message(request, 422, "silence_refused")


def _no_such_page(request: Request, error: Exception) -> HTMLResponse:
    return _message(request, 422, "no_page", link="incidents")


def _unusable(request: Request, error: Exception) -> HTMLResponse:
    """Say which connection is missing or what is wrong with the settings, but only to people who have logged in."""
    detail = "" if request.url.path.endswith("/acknowledge") else mask_secrets(printable(str(error)))
    return _message(request, 503, "unusable", detail=detail)


def _refused(request: Request, error: Exception) -> Response:
    """Answer a person with a page, and a program as FastAPI does."""
    status = getattr(error, "status_code", 500)
    headers = getattr(error, "headers", None)
    if request.url.path.endswith((".json", "/metrics")):
        return JSONResponse({"detail": getattr(error, "detail", "")}, status_code=status, headers=headers)
    title = {401: "no_login", 403: "no_right", 404: "no_page"}.get(status, "refused")
    answer = _message(request, status, title, link={401: "airflow", 404: "incidents"}.get(status, ""))
    answer.headers.update(headers or {})
    return answer


def _message(request: Request, status: int, title: str, *, link: str = "", detail: str = "") -> HTMLResponse:
    """Return a page with one message, and a link to one of these pages by its name, or to `airflow`."""
    root = request.scope.get("root_path", "")
    address = f"{root.rpartition('/')[0]}/" if link == "airflow" else f"{root}/{link}"
    values = {"title": title, "help": f"{title}_help", "link": link, "address": address, "detail": detail}
    return _page("message.html", settings_for_alerts(), status=status, **values)


def _summary(incident: Any) -> dict[str, Any]:
    return {
        "id": incident.name,
        "state": incident.state,
        "severity": incident.alert.severity,
        "title": incident.alert.title,
        "subject": incident.alert.subject,
        "fingerprint": incident.alert.fingerprint,
        "occurrences": incident.occurrences,
        "flaps": incident.flaps,
        "silence": f"S-{incident.silenced_by}" if incident.silenced_by else "",
        "opened_at": incident.opened_at.isoformat(),
        "acknowledged_by": incident.acknowledged_by,
        "escalated_to": incident.escalated_to,
        "resolved_at": incident.resolved_at and incident.resolved_at.isoformat(),
    }
