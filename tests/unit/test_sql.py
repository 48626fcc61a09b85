"""Quoting, and policy for every SQL file: one statement, a telling name, no stray brace or percent sign."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindguard.resources import include_dir
from mindguard.sql import (
    clickhouse_identifier,
    clickhouse_literal,
    clickhouse_statement,
    fragment,
    identifier,
    joined,
    literal,
    raw,
    statement,
    with_percents,
)

FILES = sorted((include_dir() / "sql" / "postgres").glob("*.sql"))
EVERY_FILE = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)

# A new verb is added here on purpose; a file named by a noun alone is a mistake.
VERBS = {
    *("acknowledge", "claim", "close", "copy", "count", "create", "delete", "drop", "export", "fingerprint", "flush"),
    *("insert", "lock", "measure", "pin", "probe", "read", "refresh", "sample", "select", "set", "sort", "split"),
    *("terminate", "unlock", "update", "upsert"),
}

BOUND = re.compile(r"%\((\w+)\)s")
NOT_CODE = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", re.DOTALL)


def filled_in(file: Path) -> set[str]:
    """Return the names of the `{placeholders}`; raise an error for any other brace."""
    return {name for _, name, _, _ in Formatter().parse(file.read_text("utf-8")) if name is not None}


def test_there_are_files_to_look_at() -> None:
    assert {"export_part", "fingerprint_parts", "pin_session"} <= {file.stem for file in FILES}


@EVERY_FILE
def test_a_file_is_named_by_verb_and_noun(file: Path) -> None:
    verb, *nouns = file.stem.split("_")
    assert verb in VERBS
    assert nouns
    assert all(re.fullmatch("[a-z]+", noun) for noun in nouns)


@EVERY_FILE
def test_a_file_holds_one_statement(file: Path) -> None:
    code = NOT_CODE.sub(" ", file.read_text("utf-8")).strip()
    assert re.match(r"(?i)(select|with|insert|update|delete|create|drop|set|copy|alter|lock|comment|refresh)\b", code)
    assert ";" not in code


@EVERY_FILE
def test_a_file_is_understood_by_a_server_of_any_encoding(file: Path) -> None:
    """The server gets the comments too, and refuses a character that its encoding lacks."""
    assert file.read_text("utf-8").isascii()


@EVERY_FILE
def test_a_file_can_be_filled_in(file: Path) -> None:
    text = statement(file.stem, **dict.fromkeys(filled_in(file), raw("1"))).as_string()
    assert not re.search("[{}]", NOT_CODE.sub(" ", text))


@EVERY_FILE
def test_a_file_either_fills_in_or_binds(file: Path) -> None:
    """A name that is filled in may contain a `%`, which the driver reads as a placeholder if it binds values."""
    text = file.read_text("utf-8")
    assert not (filled_in(file) and BOUND.search(text))
    if BOUND.search(text):
        assert "%" not in BOUND.sub("", text)


def test_a_forgotten_placeholder_is_an_error_not_an_empty_text() -> None:
    with pytest.raises(KeyError, match="table"):
        statement("probe_table")
    with pytest.raises(FileNotFoundError):
        statement("no_such_file")


@pytest.mark.parametrize(
    ("names", "quoted"),
    [
        (("public", "checkins"), '"public"."checkins"'),
        (("Check Ins",), '"Check Ins"'),
        (('a"b',), '"a""b"'),
        (("50%",), '"50%"'),
        (("%(table)s",), '"%(table)s"'),
        (("{table}",), '"{table}"'),
        (("打卡.x",), '"打卡.x"'),
        (("'; drop table t --",), '"\'; drop table t --"'),
    ],
)
def test_names_are_quoted(names: tuple[str, ...], quoted: str) -> None:
    assert identifier(*names).as_string() == quoted


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_no_name_gets_out_of_its_quotes(name: str) -> None:
    quoted = identifier(name).as_string()
    assert re.fullmatch(r'"(?:[^"]|"")*"', quoted)
    assert quoted[1:-1].replace('""', '"') == name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("it's", "'it''s'"),
        ("50%", "'50%'"),
        ("{x}", "'{x}'"),
        ("a\\b", "E'a\\\\b'"),
        (None, "NULL"),
        (7, "7"),
        (0.5, "0.5"),
        ([0.25, 0.5], "'{0.25,0.5}'::float8[]"),
    ],
)
def test_values_become_literals(value: object, text: str) -> None:
    assert literal(value).as_string().strip() == text


def test_a_name_like_a_placeholder_stays_a_name_in_a_statement() -> None:
    hostile = identifier("{percent}", "%(oid)s")
    assert '"{percent}"."%(oid)s"' in statement("probe_table", table=hostile).as_string()


def test_a_fragment_is_filled_in_like_a_statement() -> None:
    filled = fragment("{key} >= {lower}::{type}", key=identifier("{a}"), lower=literal("it's {b}"), type=raw("bigint"))
    assert filled.as_string() == "\"{a}\" >= 'it''s {b}'::bigint"
    with pytest.raises(KeyError, match="lower"):
        fragment("{lower}")


def test_parts_are_joined_by_the_separator() -> None:
    assert joined(" and ", [identifier("a"), literal("b")]).as_string() == "\"a\" and 'b'"
    assert joined(", ", []).as_string() == ""


# ClickHouse

CLICKHOUSE = sorted((include_dir() / "sql" / "clickhouse").glob("*.sql"))
EVERY_CLICKHOUSE_FILE = pytest.mark.parametrize("file", CLICKHOUSE, ids=lambda file: file.stem)


def test_there_are_clickhouse_files_to_look_at() -> None:
    assert {"create_event_rollup", "select_event_counts"} <= {file.stem for file in CLICKHOUSE}


@EVERY_CLICKHOUSE_FILE
def test_a_clickhouse_file_holds_one_statement_named_by_verb_and_noun(file: Path) -> None:
    verb, *nouns = file.stem.split("_")
    assert verb in VERBS | {"replace"}
    assert nouns
    code = NOT_CODE.sub(" ", file.read_text("utf-8")).strip()
    assert re.match(r"(?i)(select|insert|create|alter)\b", code)
    assert ";" not in code


@EVERY_CLICKHOUSE_FILE
def test_a_clickhouse_file_can_be_filled_in(file: Path) -> None:
    text = file.read_text("utf-8")
    names = set(re.findall(r"\{(\w+)\}", text))
    filled = clickhouse_statement(file.stem, **dict.fromkeys(names, "x"))
    # Only values remain in braces, and the server binds them.
    assert re.sub(r"\{\w+:[A-Z]\w+(\(\w+\))?\}", "", filled).count("{") == 0
    if names:
        with pytest.raises(KeyError):
            clickhouse_statement(file.stem)


@pytest.mark.parametrize(
    ("names", "quoted"),
    [
        (("mindguard", "events"), "`mindguard`.`events`"),
        (("a`b",), "`a\\`b`"),
        (("a\\",), "`a\\\\`"),
        (("打卡",), "`打卡`"),
    ],
)
def test_clickhouse_names_are_quoted(names: tuple[str, ...], quoted: str) -> None:
    assert clickhouse_identifier(*names) == quoted


@given(st.text())
def test_no_text_gets_out_of_its_clickhouse_quotes(text: str) -> None:
    for quoted, mark in ((clickhouse_identifier(text), "`"), (clickhouse_literal(text), "'")):
        assert re.fullmatch(rf"{mark}(?:[^\\{mark}]|\\.)*{mark}", quoted, re.DOTALL)
        assert re.sub(r"\\(.)", r"\1", quoted[1:-1], flags=re.DOTALL) == text


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("like 'a%' and b = %(b)s", "like 'a%%' and b = %(b)s"),
        ("7 % 4, 7 %% 4", "7 %% 4, 7 %% 4"),
        ("format('%s, %I', a), '%(note)'", "format('%%s, %%I', a), '%%(note)'"),
        ("'%' || %(a)s || '%'", "'%%' || %(a)s || '%%'"),
        ("like '%%%' -- 5%", "like '%%%%' -- 5%%"),
        ("%(a)t, %(b)b", "%(a)t, %(b)b"),
    ],
)
def test_only_a_named_parameter_is_a_placeholder(written: str, sent: str) -> None:
    assert with_percents(written) == sent.encode()
