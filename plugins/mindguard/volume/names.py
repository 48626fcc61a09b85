"""Names in a suite: columns, events, funnels and verdicts that it mentions are compared with those that there are.

A misspelt column or member cannot be judged, however often a check is repeated.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from typing import get_args

from mindguard.documents import meant
from mindguard.errors import first_few
from mindguard.resources import include_dir
from mindguard.settings import Settings
from mindguard.volume.frame import COLUMNS as EVENT_COLUMNS
from mindguard.volume.frame import State
from mindguard.volume.funnels import COLUMNS as FUNNEL_COLUMNS
from mindguard.volume.lenses import Verdict
from mindguard.volume.series import TOTAL
from mindguard.volume.suites import (
    DeclaredExpectation,
    Suite,
    SuiteUnsound,
    find_suite,
    named_columns,
    own_suites,
    suites_dir,
)

_OF_THE_INDEX = {"index"}
"""What a condition of pandas may name beside columns."""

_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_EVERYTHING = re.compile(r"(?:\bselect|\bdistinct|,)\s*\*|\bcolumns\s*\(", re.IGNORECASE)
_EVERYTHING_OF = re.compile(r"(\w+)\s*\.\s*\*")


def sound_suite(name: str, settings: Settings) -> Suite:
    """Return the suite with this name, whose names are known.

    Raises:
        SuiteUnsound: There is no such suite, its file breaks a rule, or it names what does not exist.
    """
    if not own_suites(settings):
        raise SuiteUnsound("there are no suites: the settings say so", hint="docs/suites.md says how to write one")
    suite = find_suite(name, suites_dir(settings))
    refuse_unknown_names(suite, settings)
    return suite


def refuse_unknown_names(suite: Suite, settings: Settings) -> None:
    """Refuse a suite that names a column, event, funnel, step or verdict that does not exist.

    The columns of a query are compared with its text, unless it takes all columns of a table. No connection is needed.

    Raises:
        SuiteUnsound: names each unknown name with its line, and the one that is probably meant.
    """
    found = [f"{suite.where()}: meta.key: {wrong}" for wrong in _unknown_columns(suite, suite.meta.key)]
    members = _members(suite, settings)
    for number, entry in enumerate(suite.expectations):
        wrongs = [*_unknown_columns(suite, named_columns(entry.kwargs)), *_of_condition(suite, entry, members)]
        found += [f"{suite.where(number)}: {wrong}" for wrong in wrongs]
    if found:
        raise SuiteUnsound(first_few(found, separator="; "))


def _unknown_columns(suite: Suite, columns: Collection[str]) -> Iterator[str]:
    for column in columns:
        known = FUNNEL_COLUMNS if suite.meta.frame == "funnels" else EVENT_COLUMNS
        if suite.meta.frame and column not in known:
            yield f"the frame {suite.meta.frame} has no column {column!r}{meant(column, known)}"
        if suite.meta.query:
            words = _words_of_query(suite.meta.query)
            if words and column.casefold() not in words:
                yield f"{suite.meta.query} returns no column {column!r}{meant(column, words)}"


def _words_of_query(query: str) -> set[str]:
    """Return all words of a query, among which its columns are; none if it takes all columns of a table."""
    text = _COMMENT.sub(" ", (include_dir() / query).read_text("utf-8"))
    named = {
        name.casefold() for name in re.findall(r"(\w+)\s+as\s+(?:not\s+)?(?:materialized\s*)?\(", text, re.IGNORECASE)
    }
    taken = {name.casefold() for name in _EVERYTHING_OF.findall(text)}
    if _EVERYTHING.search(text) or not taken <= named or not re.search(r"\bselect\b", text, re.IGNORECASE):
        return set()
    quoted = re.findall(r'"([^"]+)"|`([^`]+)`', text)
    return {word.casefold() for word in (*re.findall(r"\w+", text), *(a or b for a, b in quoted))}


def _members(suite: Suite, settings: Settings) -> Mapping[str, Collection[str]]:
    """Return the values that a column of the package's frames can have, by column."""
    if suite.meta.query:
        return {}
    verdicts = get_args(Verdict)
    if suite.meta.frame == "funnels":
        steps = list(dict.fromkeys(step for funnel in settings.funnels for step in funnel.steps))
        return {
            "funnel": [funnel.name for funnel in settings.funnels],
            **dict.fromkeys(("step", "upstream"), steps),
            "first_broken": ["", *steps],
            "verdict": verdicts,
        }
    events = [TOTAL] if suite.meta.frame == "all_traffic" else [event.name for event in settings.key_events]
    return {
        "event_name": events,
        "folded_into": ["", TOTAL, *events],
        "scope": ("event", "total"),
        "state": get_args(State),
        **dict.fromkeys(("verdict_dod", "verdict_net"), verdicts),
    }


def _of_condition(suite: Suite, entry: DeclaredExpectation, members: Mapping[str, Collection[str]]) -> Iterator[str]:
    written = entry.kwargs.get("row_condition")
    if not isinstance(written, str) or entry.kwargs.get("condition_parser") != "pandas":
        return
    quoted: list[str] = []
    text = re.sub(r"`([^`]*)`", lambda found: _placeholder(quoted, found[1]), " ".join(written.split()))
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        yield f"row_condition {written!r:.80} is not a condition"
        return
    called = {id(each.func) for each in ast.walk(tree) if isinstance(each, ast.Call)}
    names = {
        each.id: quoted[int(each.id[len(_QUOTED) :])] if each.id.startswith(_QUOTED) else each.id
        for each in ast.walk(tree)
        if isinstance(each, ast.Name) and id(each) not in called and each.id not in _OF_THE_INDEX
    }
    for wrong in _unknown_columns(suite, sorted(set(names.values()))):
        yield f"row_condition: {wrong}"
    for column, value in _compared(tree):
        known = members.get(names.get(column, ""))
        if known is not None and value not in known:
            advice = meant(value, known) or f"; known: {first_few(list(known)) or 'none'}"
            yield f"row_condition: there is no {names[column]} {value!r:.80}{advice}"


_QUOTED = "_quoted_"


def _placeholder(quoted: list[str], name: str) -> str:
    quoted.append(name)
    return f"{_QUOTED}{len(quoted) - 1}"


def _compared(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield each column with each text with which a condition compares it for equality."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare):
            continue
        sides = [node.left, *node.comparators]
        for left, operation, right in zip(sides, node.ops, sides[1:], strict=False):
            if isinstance(operation, ast.Eq | ast.NotEq | ast.In | ast.NotIn):
                for column, values in ((left, right), (right, left)):
                    if isinstance(column, ast.Name):
                        yield from ((column.id, value) for value in _texts(values))


def _texts(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.List | ast.Tuple | ast.Set):
        for each in node.elts:
            yield from _texts(each)
