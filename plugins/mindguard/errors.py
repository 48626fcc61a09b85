"""Named errors. Each carries its facts and prints as one line that says what to do."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import islice

_LONGEST_LINE = 300


class MindGuardError(Exception):
    """The base of every error that the package raises deliberately; `str(error)` is one line for a person.

    Args:
        message: what is wrong, with the facts; never contains a secret.
        hint: what the reader can do about it.
        permanent: see the attribute; default: as the class says.

    Attributes:
        severity: the severity of a task that fails with this error, such as `P0`; None if it depends on the task.
        permanent: whether no further attempt can succeed before a person has changed something.
    """

    severity: str | None = None
    permanent: bool = False

    def __init__(self, message: str, *, hint: str = "", permanent: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.permanent = permanent or self.permanent

    def __str__(self) -> str:
        line = f"{self.message} – {self.hint}" if self.hint else self.message
        return " ".join(line.split())  # facts may contain line breaks


def library_missing(error: ModuleNotFoundError) -> str:
    """Return one line about a library that only other parts of the package than snapshots need."""
    return (
        f"this needs the library {str(error.name).partition('.')[0]}, which is not installed – "
        "install the extras `airflow` and `suites` of mindguard-ops; the snapshot commands do without"
    )


@contextmanager
def about(subject: str, kind: type[MindGuardError] = MindGuardError) -> Iterator[None]:
    """Let each error of the block begin with its subject, unless it names it already.

    Args:
        subject: a table, or the id of the connection that is used; if it is empty, errors stay as they are.
        kind: the errors that are about it.
    """
    try:
        yield
    except kind as error:
        if subject and not error.message.startswith(subject) and repr(subject) not in error.message:
            error.message = f"{subject}: {error.message}"
        raise


def one_line(text: str) -> str:
    """Return the first line of a text that somebody else wrote, without control characters and of limited length."""
    lines = (" ".join("".join(c if c.isprintable() else " " for c in line).split()) for line in text.splitlines())
    return next((line for line in lines if line), "")[:_LONGEST_LINE]


def first_few(items: Collection[str], *, most: int = 5, separator: str = ", ") -> str:
    """Return the first items in one line, and the number of the others, for an error that must not grow with them."""
    more = [f"and {len(items) - most} more"] if len(items) > most else []
    return separator.join([*islice(items, most), *more])


class SettingsError(MindGuardError):
    """The settings file is missing, cannot be read, or is not valid."""

    permanent = True


class ConnectionMissing(MindGuardError):
    """No connection is configured under this id.

    Args:
        conn_id: the id.
        in_airflow: whether Airflow was asked, which keeps connections in more places than variables.
    """

    permanent = True

    def __init__(self, conn_id: str, *, in_airflow: bool = False) -> None:
        variable = f"set AIRFLOW_CONN_{conn_id.upper()}"
        super().__init__(
            f"connection {conn_id!r} is not configured",
            hint=f"add it in Airflow or its secrets backend, or {variable}" if in_airflow else variable,
        )
        self.conn_id = conn_id
        self.in_airflow = in_airflow
