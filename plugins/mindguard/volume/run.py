"""One run of suites over one day: the validation results, the findings, and the sections of the day's page."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mindguard.alerts.finding import Finding, Outcome, Recovery
from mindguard.errors import MindGuardError
from mindguard.fetch import explained
from mindguard.masking import mask_secrets
from mindguard.settings import Settings
from mindguard.volume.days import Moment
from mindguard.volume.details import EventDetails
from mindguard.volume.findings import Context, findings, recoveries
from mindguard.volume.frames import Frames
from mindguard.volume.names import sound_suite
from mindguard.volume.page.render import Section, section, unchecked
from mindguard.volume.suites import (
    Suite,
    SuiteUnchecked,
    ValidationResult,
    validate,
)
from mindguard.volume.words import summary_line

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


class SuitesUnchecked(MindGuardError):
    """Some suites could not be checked, so nothing is known about what they judge."""


@dataclass(frozen=True)
class Checked:
    """One suite's result, the rows that it judged, and what is known about their events, by name."""

    suite: Suite
    result: ValidationResult
    frame: pd.DataFrame
    details: Mapping[str, EventDetails] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """The results of some suites on one day.

    Attributes:
        moment: the judged day, and until when events count.
        checked: the suites that could be checked.
        broken: by name, the reasons why the other suites could not be checked.
    """

    moment: Moment
    checked: tuple[Checked, ...] = ()
    broken: Mapping[str, MindGuardError] = field(default_factory=dict)

    def check(self) -> None:
        """Raise SuitesUnchecked if a suite could not be checked."""
        if self.broken:
            why = "; ".join(map(str, self.broken.values()))
            raise SuitesUnchecked(f"{len(self.broken)} not checked: {why}", permanent=not self.may_pass_later)

    @property
    def may_pass_later(self) -> bool:
        """Return whether another attempt may succeed, which is not so if a person must mend each of them."""
        return not all(error.permanent for error in self.broken.values())

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
    """Judge one day by some suites, without reporting it. A suite that cannot be checked does not stop the others.

    Args:
        names: names of the suites.
        frames: the day's frames; they also carry the settings and the days with incidents.
    """
    settings = frames.settings
    checked: list[Checked] = []
    broken: dict[str, MindGuardError] = {}
    for name in names:
        try:
            suite = sound_suite(name, settings)
            frame = frames.of(suite)
            judged = Checked(suite, validate(suite, frame), frame, frames.details(suite))
            _tell(judged, _context(frames.moment, judged, settings))  # what nobody can be told is not checked
        except MindGuardError as error:
            log.error("%s: %s", name, error)
            broken[name] = error
            continue
        except Exception as error:  # noqa: BLE001 - one suite's failure must not affect others
            broken[name] = SuiteUnchecked(f"{name}: {mask_secrets(explained(error))}")
            log.error("%s", broken[name])
            continue
        log.info("%s", summary_line(suite, judged.result, frame))
        checked.append(judged)
    return Run(frames.moment, tuple(checked), broken)


def outcome_of(run: Run, settings: Settings, page: str = "") -> Outcome:
    """Return the findings and recoveries of a run.

    Args:
        run: a run over one day.
        settings: the settings, which give the language and the time zone.
        page: address of the day's page; empty if people cannot reach it.
    """
    found: list[Finding] = []
    recovered: list[Recovery] = []
    for each in run.checked:
        try:
            told = _tell(each, _context(run.moment, each, settings, page))
        except Exception as error:  # noqa: BLE001 - one suite's failure must not affect others
            log.error("%s: nothing is reported of it: %s", each.suite.name, mask_secrets(explained(error)))
        else:
            found += told.findings
            recovered += told.recoveries
    return Outcome(tuple(found), tuple(recovered))


def sections(run: Run, settings: Settings) -> list[Section]:
    """Return the run's sections of the day's page. A suite that cannot be shown does not hide the others."""
    shown: list[Section] = []
    for each in run.checked:
        try:
            shown.append(section(each.suite, each.result, each.frame, _context(run.moment, each, settings)))
        except Exception as error:  # noqa: BLE001 - the same
            why = SuiteUnchecked(f"{each.suite.name}: it cannot be shown: {mask_secrets(explained(error))}")
            log.error("%s", why)
            shown.append(unchecked(each.suite.name, why, run.moment.as_of))
    return [*shown, *(unchecked(name, error, run.moment.as_of) for name, error in run.broken.items())]


def _tell(checked: Checked, context: Context) -> Outcome:
    facts = checked.suite, checked.result, checked.frame, context
    return Outcome(tuple(findings(*facts)), tuple(recoveries(*facts)))


def _context(moment: Moment, checked: Checked, settings: Settings, page: str = "") -> Context:
    return Context(moment.day, moment.as_of, settings.zone, settings.locale, checked.details, page)
