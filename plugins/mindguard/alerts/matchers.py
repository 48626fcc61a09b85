"""Says which incidents a silence is about: matchers over their labels, as a person writes them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from mindguard.alerts.alert import fingerprint as fingerprint_of
from mindguard.alerts.finding import RecoveryKey
from mindguard.alerts.severity import Severity
from mindguard.errors import MindGuardError
from mindguard.masking import printable

FIELDS = ("source", "monitor", "dimension", "suite", "table", "dag", "task", "subject", "severity")
"""The labels that a matcher may name; `kind` is another word for `source`."""

_SOURCES = {
    "monitor": {"monitor"},
    "suite": {"volume"},
    "dimension": {"monitor", "volume"},
    "table": {"monitor", "volume"},
    "dag": {"airflow"},
    "task": {"airflow"},
}
"""The sources whose incidents have a label; incidents of each source have the others."""

REPORTED_BY_MONITORS = ("source", "checker")
"""Names under which the monitors report their connections and each other, which are no monitor of the settings."""

_MOST = 10
_LONGEST = 500

_SPAN = re.compile(r"\+(?:(\d{1,4})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m)?")


class SilenceRefused(MindGuardError):
    """A silence cannot be made as it was asked for."""


class Matcher(NamedTuple):
    """One condition on an incident's label. A `*` in the value stands for any text."""

    field: str
    value: str

    def __str__(self) -> str:
        return f"{self.field}={self.value}"

    def matches(self, labels: Mapping[str, Sequence[str]]) -> bool:
        """Return whether one of the label's possible values is the matcher's."""
        return any(_like(self.value, value) for value in labels.get(self.field, ()))


def _like(pattern: str, value: str) -> bool:
    """Return whether a value is like a pattern. As a regular expression, one with many `*` could take for ever."""
    first, *rest = pattern.split("*")
    if not rest:
        return value == first
    *middle, last = rest
    at, end = len(first), len(value) - len(last)
    if at > end or not (value.startswith(first) and value.endswith(last)):
        return False
    for part in middle:
        at = value.find(part, at, end) + len(part)
        if at < len(part):
            return False
    return True


def parse_matchers(written: Sequence[str], *, including_p0: bool = False) -> tuple[Matcher, ...]:
    """Return the matchers in texts such as `monitor=api_errors`; an incident must meet all of them.

    Raises:
        SilenceRefused: a text is no matcher, a field is unknown or comes twice, or nothing could ever match.
    """
    found: dict[str, Matcher] = {}
    for text in written:
        name, equals, value = text.partition("=")
        field, value = name.strip().lower(), value.strip()
        field = "source" if field == "kind" else field
        if not equals or not value or field not in FIELDS:
            raise SilenceRefused(
                f"{printable(text)[:80]!r} is no matcher", hint=f"write FIELD=VALUE, with one of {', '.join(FIELDS)}"
            )
        if field in found:
            raise SilenceRefused(
                f"{field} is given twice, and an incident must meet every matcher",
                hint="use * in the value, or make two silences",
            )
        if value != printable(value) or len(value) > _LONGEST:
            raise SilenceRefused(
                f"the value of {field} is too long or not printable", hint=f"at most {_LONGEST} characters"
            )
        if field == "severity":
            value = value.upper()
            if value not in [each.value for each in Severity]:
                raise SilenceRefused(f"there is no severity {value!r}", hint="write P0, P1 or P2")
            if value == Severity.P0 and not including_p0:
                raise SilenceRefused(
                    "a P0 is silenced only if that is asked for", hint="add --including-p0 if nobody shall be called"
                )
        found[field] = Matcher(field, value)
    if not found:
        raise SilenceRefused("a silence without a matcher would silence everything", hint="add --match FIELD=VALUE")
    if len(found) > _MOST:
        raise SilenceRefused(f"a silence has at most {_MOST} matchers")
    _check_sources(found)
    return tuple(found.values())


def _check_sources(matchers: Mapping[str, Matcher]) -> None:
    """Refuse matchers that no incident could meet together, since whoever counts on such a silence is called."""
    possible = [sources for field, sources in _SOURCES.items() if field in matchers]
    together = set.intersection(*possible) if possible else set()
    named = matchers.get("source")
    if possible and not any(named is None or named.matches({"source": (source,)}) for source in together):
        names = [str(matcher) for field, matcher in matchers.items() if field in _SOURCES or field == "source"]
        raise SilenceRefused(
            f"no incident meets {' and '.join(names)}",
            hint="source=monitor has monitor, dimension and table, source=volume suite, dimension and table, "
            "source=airflow dag and task; make a silence for each",
        )


def labels_of(
    *, source: str, recovery_key: str, subject: str, severity: str, fingerprint: str
) -> dict[str, tuple[str, ...]]:
    """Return an incident's labels, each with all values that it may have.

    Args:
        source: who reports.
        recovery_key: the incident's recovery key.
        subject: what the alert is about.
        severity: its severity.
        fingerprint: its identity, which tells a DAG from a task where the names have dots.
    """
    about = RecoveryKey.parse(recovery_key).about
    labels: dict[str, tuple[str, ...]] = {"source": (source,), "subject": (subject,), "severity": (severity,)}
    name, _, rest = about.partition(":")
    if source == "monitor":
        labels |= {"monitor": (name,), "dimension": (rest,), "table": (rest,)}
    elif source == "volume":
        suite = name.partition("/")[0]
        labels |= {"suite": (suite,), "dimension": (rest,), "table": (suite, *rest.split("/"))}
    elif source == "airflow":
        names, _, run = about.partition(" ")
        cuts = [(names, ""), *((names[: dot.start()], names[dot.end() :]) for dot in re.finditer(r"\.", names))]
        sure = [
            (dag, task)
            for dag, task in cuts
            if fingerprint in (fingerprint_of(dag, task), fingerprint_of(dag, task, run=run))
        ]
        labels |= {
            "dag": tuple(dag for dag, _ in sure or cuts),
            "task": tuple(task for _, task in sure or cuts if task),
        }
    return labels


def source_matchers(labels: Mapping[str, Sequence[str]]) -> tuple[Matcher, ...]:
    """Return the matchers for an incident's source: its monitor, suite or DAG, otherwise its subject."""
    for field in ("monitor", "suite", "dag"):
        if value := next(iter(labels.get(field, ())), ""):
            if field == "monitor" and value in REPORTED_BY_MONITORS:
                return Matcher(field, value), Matcher("dimension", labels["dimension"][0])
            return (Matcher(field, value),)
    return Matcher("source", labels["source"][0]), Matcher("subject", labels["subject"][0])


def moment_of(written: str, *, now: datetime, zone: ZoneInfo, after: datetime | None = None) -> datetime:
    """Return the time that a person wrote: `now`, `+2h`, `+1d12h`, or ISO, in the settings' zone if it names none.

    Args:
        written: the text.
        now: the present time, aware.
        zone: the zone of a time that names none.
        after: the moment from which `+2h` counts, aware; None: from now.

    Raises:
        SilenceRefused: the text is no time.
    """
    text = written.strip()
    if text.lower() == "now":
        return now
    try:
        if (found := _SPAN.fullmatch(text)) and any(found.groups()):
            days, hours, minutes = (int(number or 0) for number in found.groups())
            return (after or now) + timedelta(days=days, hours=hours, minutes=minutes)
        moment = datetime.fromisoformat(text)
        # A time at the edge of what can be written has no equal in another zone.
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(now.tzinfo)
    except (ValueError, OverflowError):
        raise SilenceRefused(
            f"{printable(written)[:60]!r} is not a time", hint="write now, +2h, +1d, or 2026-10-01T09:00+08:00"
        ) from None
