"""The latest releases, which cards show because something may have changed shortly before it went wrong.

Source: operations document, section 5.2: the last three versions with their time, share of users and rollbacks.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mindguard import postgres_session
from mindguard.alerts.alert import Release
from mindguard.documents import faults, listed
from mindguard.errors import MindGuardError, about
from mindguard.fetch import TIMEOUT_S, download, explained, from_json, within
from mindguard.masking import mask_secrets
from mindguard.resources import include_dir
from mindguard.settings import Settings
from mindguard.settings.alerts import ReleasesSettings

if TYPE_CHECKING:
    from mindguard.connections import Connection, Resolve

log = logging.getLogger(__name__)

_LATEST = 3
_MOST_ROWS = 10_000
_FIRST_YEAR, _LAST_YEAR = 1970, 2200


class ReleasesUnreadable(MindGuardError):
    """The list of releases cannot be read or is incomplete."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"releases: {reason}", hint="correct `releases` in the settings, or the source that they name")


def latest_releases(settings: Settings, resolve: Resolve, *, timeout_s: float = TIMEOUT_S) -> tuple[Release, ...]:
    """Return the last three releases, newest first; if they cannot be read in time, log a warning and return none."""
    if settings.releases is None:
        return ()
    try:
        return read_releases(settings.releases, settings, resolve, timeout_s=timeout_s)
    except Exception as error:  # noqa: BLE001 - the alert matters more than its list of releases
        log.warning("%s", mask_secrets(str(error)))
        return ()


def read_releases(
    releases: ReleasesSettings, settings: Settings, resolve: Resolve, *, timeout_s: float = TIMEOUT_S
) -> tuple[Release, ...]:
    """Return the last three releases, newest first.

    Args:
        releases: the part of the settings that says where the releases are listed.
        settings: all settings.
        resolve: gives a connection by its id.
        timeout_s: time limit in seconds for the whole call.

    Raises:
        ReleasesUnreadable: they cannot be read in time, or are incomplete.
        ConnectionMissing: the query's connection is not configured.
    """
    # Airflow gives connections only to the task's own thread.
    connection = None if releases.url else resolve(releases.connection or settings.connections.app)
    rows: Any
    with about(connection.conn_id if connection else "", ReleasesUnreadable):
        try:
            if connection is None:
                rows = _parsed(download(str(releases.url), timeout_s=timeout_s))
            else:
                rows = within(timeout_s, lambda: _query(str(releases.query), connection, timeout_s))
        except ReleasesUnreadable:
            raise
        except OSError as error:
            raise ReleasesUnreadable(f"cannot read {releases.query}: {error.strerror}") from error
        except Exception as error:
            raise ReleasesUnreadable(mask_secrets(explained(error))) from error
    if not isinstance(rows, list):
        raise ReleasesUnreadable("not a list of objects")
    return tuple(sorted(map(_release, rows), key=lambda release: release.released_at, reverse=True)[:_LATEST])


def _parsed(content: bytes) -> Any:
    try:
        return from_json(content)
    except ValueError as error:  # also what is no text
        raise ReleasesUnreadable("the answer is not JSON") from error


def _query(query: str, connection: Connection, timeout_s: float) -> list[dict[str, Any]]:
    from psycopg.rows import dict_row

    from mindguard.connections import postgres_conninfo

    text = (include_dir() / query).read_text("utf-8")
    rows: list[dict[str, Any]]
    with postgres_session.connect(postgres_conninfo(connection), row_factory=dict_row, connect_timeout=3) as opened:
        opened.read_only = True
        # If the waiting thread gives up, the query must not run on for long.
        postgres_session.limit_transaction(opened, timeout_s)
        _, rows = postgres_session.read(opened, text, None, most=_MOST_ROWS + 1)
    if len(rows) > _MOST_ROWS:
        raise ReleasesUnreadable(f"the query returns more than {_MOST_ROWS:,} rows: let it return the latest")
    return rows


def _release(row: Any) -> Release:
    from pydantic import TypeAdapter, ValidationError

    try:
        given = {key: value for key, value in row.items() if value is not None}
        release = TypeAdapter(Release).validate_python(given)
    except AttributeError as error:
        raise ReleasesUnreadable(f"{row!r:.200} is not a valid release: not an object") from error
    except ValidationError as error:
        raise ReleasesUnreadable(f"{row!r:.200} is not a valid release: {listed(faults(error))}") from error
    if release.released_at.tzinfo is None:
        raise ReleasesUnreadable(f"{release.version}: its time has no time zone, such as +08:00")
    if not _FIRST_YEAR <= release.released_at.year <= _LAST_YEAR:
        # Others are no releases, and no zone can show the first and the last day that there is.
        raise ReleasesUnreadable(f"{release.version}: the year {release.released_at.year} is no time of a release")
    if release.share is not None and not 0 <= release.share <= 1:
        raise ReleasesUnreadable(f"{release.version}: share {release.share:g} is not between 0 and 1")
    return release
