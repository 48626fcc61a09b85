"""The result of an examination: one line for each thing that was examined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from mindguard.doctor.texts import CHECKS, Said
from mindguard.errors import ConnectionMissing, MindGuardError, library_missing
from mindguard.fetch import explained
from mindguard.masking import mask_secrets
from mindguard.texts import Locale, within

Status = Literal["pass", "warn", "error", "unknown", "unused"]

_TOLERATED_SKEW_S = 30.0


@dataclass(frozen=True)
class Diagnosis:
    """The result for one thing that was examined.

    Attributes:
        status: `unknown` if it could not be found out, for instance for lack of a right that no run needs; `unused` if
            nothing is there, and no setting needs it.
        what: a connection id or a table.
        check: the subject of the examination, in a word or two.
        text: what was found and, if something is wrong, what to set; in English, and if it is `Said` also in Chinese.
    """

    status: Status
    what: str
    check: str
    text: str

    def as_dict(self) -> dict[str, str]:
        """Return the diagnosis as plain values for JSON."""
        return {name: str(value) for name, value in vars(self).items()}

    def within(self, locale: Locale) -> Diagnosis:
        """Return the diagnosis in the reader's language."""
        check = CHECKS.get(self.check, self.check) if locale == "zh" else self.check
        return replace(self, check=check, text=within(self.text, locale))


def tried(what: str, check: str, findings: Iterator[Diagnosis]) -> Iterator[Diagnosis]:
    """Yield the findings, and an error instead of an exception, which must not hide what other checks find."""
    try:
        yield from findings
    except ConnectionMissing as error:
        yield Diagnosis("error", what, check, Said("missing", conn_id=error.conn_id, hint=how_to_add(error)))
    except MindGuardError as error:
        yield Diagnosis("error", what, check, str(error))
    except ModuleNotFoundError as error:
        yield Diagnosis("unknown", what, check, library_missing(error))
    except Exception as error:  # noqa: BLE001 - see the docstring
        why = " ".join(mask_secrets(explained(error)).split())
        yield Diagnosis("error", what, check, Said("check_broke", why=why))


def how_to_add(error: ConnectionMissing) -> str:
    """Return what to do about a connection that is missing, where it was looked for."""
    key = "add_in_airflow" if error.in_airflow else "set_variable"
    return Said(key, variable=f"AIRFLOW_CONN_{error.conn_id.upper()}")


def clock(what: str, remote: datetime, local: datetime) -> Diagnosis:
    """Compare two clocks.

    Args:
        what: connection id.
        remote: the server's time, aware.
        local: this machine's time, aware.
    """
    skew_s = abs((remote - local).total_seconds())
    if skew_s > _TOLERATED_SKEW_S:
        return Diagnosis("warn", what, "clock", Said("clocks_differ", seconds=f"{skew_s:.0f}"))
    return Diagnosis("pass", what, "clock", Said("clocks_agree", seconds=f"{skew_s:.1f}"))
