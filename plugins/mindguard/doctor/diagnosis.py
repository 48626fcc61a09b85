"""What an examination says: one line for each thing that was looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from mindguard.errors import MindGuardError
from mindguard.masking import mask_secrets

Status = Literal["pass", "warn", "error", "unknown"]

_TOLERATED_SKEW_S = 30.0


@dataclass(frozen=True)
class Diagnosis:
    """One thing that was looked at.

    Attributes:
        status: `unknown` is what could not be found out, for instance for want of a right that no run needs.
        what: connection id or table.
        check: what was looked at there, in a word or two.
        text: what was found and, unless it is fine, what to set.
    """

    status: Status
    what: str
    check: str
    text: str

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)


def tried(what: str, check: str, findings: Iterator[Diagnosis]) -> Iterator[Diagnosis]:
    """The findings, and an error instead of the exception that ends them: it must not hide what others find."""
    try:
        yield from findings
    except MindGuardError as error:
        yield Diagnosis("error", what, check, str(error))
    except Exception as error:  # noqa: BLE001 - as above
        text = mask_secrets(f"could not be checked, the check itself broke: {type(error).__name__}: {error}")
        yield Diagnosis("error", what, check, " ".join(text.split()))


def clock(what: str, theirs: datetime, ours: datetime) -> Diagnosis:
    """Compare two clocks; both times aware."""
    skew_s = abs((theirs - ours).total_seconds())
    if skew_s > _TOLERATED_SKEW_S:
        return Diagnosis("warn", what, "clock", f"clocks differ by {skew_s:.0f} s – synchronise both machines with NTP")
    return Diagnosis("pass", what, "clock", f"clocks agree within {skew_s:.1f} s")
