"""The severity of an incident: how bad it is, and how soon someone must answer.

Source: operations document, section 4.1 (告警分级). Data loss joins P0 and an unproven snapshot P1, since the
document's section 5.4 requires the backups but does not grade their loss.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from mindguard.alerts.texts import TEXTS
from mindguard.texts import Locale


class Severity(StrEnum):
    """P0 (worst) to P2; compares and prints as its name."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"

    @property
    def respond_within(self) -> timedelta:
        """Time from the event until a person must have taken it: 15 minutes, 30 minutes, 4 hours."""
        return timedelta(minutes=_RESPOND_WITHIN_MINUTES[self])

    def label(self, locale: Locale) -> str:
        """Return one word for the urgency."""
        return TEXTS.say(f"severity_label_{self}", locale)

    def meaning(self, locale: Locale) -> str:
        """Return which incidents have this severity, for a person who has not read the operations document."""
        return TEXTS.say(f"severity_meaning_{self}", locale)


_RESPOND_WITHIN_MINUTES = {Severity.P0: 15, Severity.P1: 30, Severity.P2: 240}
