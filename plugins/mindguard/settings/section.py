"""The base of every section of the settings, and checks that several sections share."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the settings file. Unknown keys and values of the wrong type are refused."""

    # Strict, because YAML has types: `days: true` or `timezone: 8` is a mistake. Lists are still read as tuples.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, str_min_length=1)


def distinct_names(names: Iterable[str]) -> set[str]:
    """Return the names as a set.

    Raises:
        ValueError: a name is listed twice.
    """
    listed = list(names)
    if twice := sorted({name for name in listed if listed.count(name) > 1}):
        raise ValueError(f"listed twice: {', '.join(twice)}")
    return set(listed)
