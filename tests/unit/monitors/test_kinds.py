"""Each kind of monitor is measured by one DAG and has words of its own: a new kind cannot forget either."""

from __future__ import annotations

from typing import get_args

import pytest

from mindguard.monitors.self_check import GROUPS
from mindguard.monitors.texts import TEXTS
from mindguard.settings.monitors import NEEDS, Monitor

KINDS = {kind for each in get_args(get_args(Monitor)[0]) for kind in get_args(each.model_fields["kind"].annotation)}
SOURCES = {
    source
    for each in get_args(get_args(Monitor)[0])
    for source in get_args(each.model_fields["source"].annotation) or (each.model_fields["source"].default,)
}


def test_each_kind_is_measured_by_exactly_one_dag() -> None:
    measured = [kind for kinds in GROUPS.values() for kind in kinds]
    assert sorted(measured) == sorted(KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_kind_has_a_title(kind: str) -> None:
    assert "{name}" in TEXTS.words[kind]["zh"]


def test_each_source_says_what_it_needs() -> None:
    assert set(NEEDS) == SOURCES
