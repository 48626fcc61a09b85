"""One run of suites over one day: the judgement, what it finds, and what the day's page shows."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from mindguard.alerts.finding import Outcome
from mindguard.errors import MindGuardError
from mindguard.settings import Settings
from mindguard.volume.findings import Context, findings, recoveries
from mindguard.volume.frames import Frames, Moment
from mindguard.volume.page.render import Section, section, unchecked
from mindguard.volume.suites import Suite, SuiteUnsound, ValidationResult, find_suite, suites_dir, validate

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


class SuitesUnchecked(MindGuardError):
    """Some suites could not be checked, so nothing is known of what they watch."""


@dataclass(frozen=True)
class Checked:
    """One suite's answer, and the rows that it judged."""

    suite: Suite
    result: ValidationResult
    frame: pd.DataFrame


@dataclass(frozen=True)
class Run:
    """What came of some suites.

    Attributes:
        history: see `Frames.history`; empty where no suite asked for product events.
        broken: why suites could not be checked, by name.
    """

    moment: Moment
    checked: tuple[Checked, ...] = ()
    history: Mapping[str, Sequence[tuple[date, int]]] = field(default_factory=dict)
    broken: Mapping[str, MindGuardError] = field(default_factory=dict)

    def check(self) -> None:
        """Raise SuitesUnchecked if a suite could not be checked."""
        if self.broken:
            raise SuitesUnchecked(f"{len(self.broken)} not checked: {'; '.join(map(str, self.broken.values()))}")

    @property
    def may_pass_later(self) -> bool:
        """Whether another try may check what could not be checked: not where only suites' own files are at fault."""
        return not all(isinstance(error, SuiteUnsound) for error in self.broken.values())

    def summary(self) -> dict[str, Any]:
        """Return figures and references for XCom; the rows stay here."""
        return {
            "date": self.moment.day.isoformat(),
            "as_of": self.moment.as_of.isoformat(),
            "page": f"/mindguard/reports/{self.moment.day}",
            "suites": {
                each.suite.name: {
                    "rows": each.result.rows,
                    "evaluated": each.result.evaluated,
                    "failed": each.result.failed,
                    "severity": each.result.severity,
                }
                for each in self.checked
            },
        }


def run_suites(names: Collection[str], frames: Frames) -> Run:
    """Judge one day by some suites, and report to nobody. A suite that cannot be checked does not stop the others.

    Args:
        names: of the suites.
        frames: of the day; they carry the settings, and which days had incidents.
    """
    settings = frames.settings
    checked: list[Checked] = []
    broken: dict[str, MindGuardError] = {}
    for name in names:
        try:
            suite = find_suite(name, suites_dir(settings))
            frame = frames.of(suite)
            result = validate(suite, frame)
        except MindGuardError as error:
            log.error("%s: %s", name, error)
            broken[name] = error
            continue
        for failure in result.failures:
            about = "/".join(failure.key) or "all rows"
            log.info("%s: %s %s: %s %s", name, failure.severity, about, failure.expectation, failure.value)
        checked.append(Checked(suite, result, frame))
    history = frames.history() if any(each.suite.meta.frame for each in checked) else {}
    return Run(frames.moment, tuple(checked), history, broken)


def outcome_of(run: Run, settings: Settings, page: str = "") -> Outcome:
    """Say what is wrong, and what is well again.

    Args:
        run: over one day.
        settings: for the language and the time zone.
        page: address of the day's page.
    """
    context = _context(run, settings, page)
    each = [(checked.suite, checked.result, checked.frame, context) for checked in run.checked]
    return Outcome(
        tuple(finding for about in each for finding in findings(*about)),
        tuple(recovery for about in each for recovery in recoveries(*about)),
    )


def sections(run: Run, settings: Settings) -> list[Section]:
    """What the day's page shows of the run."""
    context = _context(run, settings)
    return [
        *(section(each.suite, each.result, each.frame, context) for each in run.checked),
        *(unchecked(name, error, run.moment.as_of) for name, error in run.broken.items()),
    ]


def _context(run: Run, settings: Settings, page: str = "") -> Context:
    moment = run.moment
    return Context(moment.day, moment.as_of, settings.zone, settings.locale, run.history, page)
