"""What makes an answer of ClickHouse partial in silence: settings of a client, a query, or a view that it reads.

An answer that lacks rows would be judged as if it were whole. Settings of the client are overruled; those of a query or
a view overrule the client's, so such a query is refused.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from mindguard.resources import include_dir

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

log = logging.getLogger(__name__)

_LOOK_S = 2

# Settings with which ClickHouse answers with a part of the data as if it were all of it.
_CUTS = re.compile(r"\w+_overflow_mode(?:_leaf)?|skip_unavailable_shards|limit|offset|page")
_TOKEN = re.compile(
    r"--[^\n]*|#[ !][^\n]*|/\*.*?\*/"
    r"|(?P<text>'(?:[^'\\]|\\.|'')*'|‘[^’]*’|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)"
    r"|(?P<quoted>`(?:[^`\\]|\\.|``)*`|\"(?:[^\"\\]|\\.|\"\")*\"|“[^”]*”)"
    r"|(?P<word>[\w.]+)"
    r"|(?P<sign>[^\s\w])",
    re.DOTALL,
)


def value_for_whole_answers(setting: str) -> str | None:
    """Return the value with which a setting of ClickHouse cuts no answer short; None if it never does."""
    if not _CUTS.fullmatch(setting):
        return None
    return "throw" if "_overflow_mode" in setting else "0"


def setting_that_cuts(query: str) -> str:
    """Return what a SETTINGS clause of a query, or of a part of it, says to cut its answer short; or ''.

    A profile named there counts too, since nobody knows here what is in it.
    """
    for name, value in _settings(list(_tokens(query))):
        whole = "" if name == "profile" else value_for_whole_answers(name)
        if whole is not None and value.strip("'").lower() not in (whole, "false"):
            return f"{name} = {value}"
    return ""


def _settings(tokens: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the settings of each SETTINGS clause, and the first token of their values.

    The clause is the last one of a query, so it ends with the query or with the bracket round it.
    """
    depth = -1  # of brackets inside the clause; below 0 outside of it
    for number, (kind, part) in enumerate(tokens):
        assigned = number + 2 < len(tokens) and tokens[number + 1][1] == "="
        if kind == "word" and part.lower() == "settings" and not assigned:
            depth = 0 if number + 2 < len(tokens) and tokens[number + 2][1] == "=" else depth
        elif depth >= 0 and kind == "sign":
            depth += (part in "([{") - (part in ")]}")
            depth = -1 if part == ";" else depth
        elif depth == 0 and assigned:
            yield _name(kind, part).lower(), tokens[number + 2][1]


def views(client: Client) -> dict[str, str]:
    """Return the definition of each view, by database and name. If they cannot be read, log a warning."""
    from clickhouse_connect.driver.exceptions import ClickHouseError

    query = (include_dir() / "sql/clickhouse/select_views.sql").read_text("utf-8")
    try:
        rows = client.query(query, settings={"max_execution_time": _LOOK_S}).result_rows
    except ClickHouseError as error:
        log.warning("ClickHouse's views were not examined for settings that cut answers short: %.200s", error)
        return {}
    return {f"{database}.{name}": definition for database, name, definition in rows}


def what_cuts(query: str, names: Iterable[str], known: Mapping[str, str]) -> str:
    """Return what makes the answer to a query partial: a setting of its own, or of a view that it reads; or ''.

    Args:
        query: the query.
        names: texts that are bound in the query, which may be names of tables.
        known: the views, as `views` returns them.
    """
    if found := setting_that_cuts(query):
        return found
    left, examined = [*_names(query), *(part for each in names for part in each.split("."))], set[str]()
    by_name: dict[str, list[str]] = {}
    for view in known:
        by_name.setdefault(view.partition(".")[2], []).append(view)
    while left:
        for view in by_name.get(left.pop(), ()):
            if view in examined:
                continue
            examined.add(view)
            if found := setting_that_cuts(known[view]):
                return f"view {view} ({found})"
            left += _names(known[view])
    return ""


def _tokens(query: str) -> Iterator[tuple[str, str]]:
    for found in _TOKEN.finditer(query):
        if found.lastgroup:
            yield found.lastgroup, found[0]


def _name(kind: str, token: str) -> str:
    return token[1:-1] if kind == "quoted" else token


def _names(query: str) -> list[str]:
    """Return everything in a query that can be the name of a table."""
    return [part for kind, token in _tokens(query) if kind != "text" for part in (_name(kind, token).split("."))]
