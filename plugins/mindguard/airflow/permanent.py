"""Errors that no further attempt can mend: the task fails at once, so that its card does not wait for retries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mindguard.errors import MindGuardError


@contextmanager
def not_retried(*kinds: type[MindGuardError]) -> Iterator[None]:
    """Let an error that is permanent, or of these kinds, end the task without retries.

    Raises:
        AirflowFailException: in place of such an error, with its words.
    """
    from airflow.sdk.exceptions import AirflowFailException

    try:
        yield
    except MindGuardError as error:
        if not (error.permanent or isinstance(error, kinds)):
            raise
        raise AirflowFailException(str(error)) from error
