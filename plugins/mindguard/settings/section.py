"""The base of every section of the settings, and checks that several sections share."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from mindguard.documents import at_place


class Section(BaseModel):
    """A part of the settings file. Unknown keys and values of the wrong type are refused."""

    # Strict, because YAML has types: `days: true` or `timezone: 8` is a mistake. Lists are still read as tuples.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, str_min_length=1)


def distinct_names(names: Sequence[str], *at: str) -> set[str]:
    """Return the names as a set.

    Args:
        names: the names of the entries of a list.
        at: the place of the list below the section that is validated.

    Raises:
        PydanticCustomError: a name is listed twice.
    """
    for number, name in enumerate(names):
        if name in names[:number]:
            raise at_place(f"listed twice: {name}", *at, number)
    return set(names)
