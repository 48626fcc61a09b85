"""No value of a row in what is said about an error of the database, in whatever language the server writes."""

from __future__ import annotations

import traceback

import psycopg
import pytest
from psycopg import errors
from psycopg.pq import DiagnosticField as Field

from mindguard.snapshots.database_errors import cause, connection_hint, described, hides_rows

SECRET = "patient-4711"


def raised(kind: type[psycopg.Error], message: str, **fields: str) -> psycopg.Error:
    known = {Field[name.upper()]: text.encode() for name, text in fields.items()}
    return kind(f"{message}\nDETAIL: {SECRET}", info={Field.MESSAGE_PRIMARY: message.encode(), **known})


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            raised(errors.InvalidTextRepresentation, f'invalid input syntax for type integer: "{SECRET}"'),
            "invalid text representation (SQLSTATE 22P02)",
        ),
        (
            raised(
                errors.UniqueViolation,
                "doppelter Schlüsselwert",
                constraint_name="t_pkey",
                schema_name="public",
                table_name="t",
                message_detail=f"Schlüssel »(id)=({SECRET})« existiert bereits.",
            ),
            "unique violation (SQLSTATE 23505): constraint t_pkey of table public.t",
        ),
        (
            raised(errors.NotNullViolation, "x", column_name="c", schema_name="s", table_name="t"),
            "not null violation (SQLSTATE 23502): column c of table s.t",
        ),
        (raised(errors.CheckViolation, "x", datatype_name="d"), "check violation (SQLSTATE 23514): type d"),
        (
            raised(errors.RaiseException, f"no {SECRET}", source_function="exec_stmt_raise"),
            "a function of the database raised an error (SQLSTATE P0001)",
        ),
        (
            raised(errors.UndefinedTable, f"no {SECRET}", source_function="exec_stmt_raise"),
            "a function of the database raised an error (SQLSTATE 42P01)",
        ),
        (
            raised(errors.CheckViolation, "x", source_function="exec_stmt_raise", column_name=SECRET),
            "a function of the database raised an error (SQLSTATE 23514)",
        ),
        (
            raised(errors.CheckViolation, "x", constraint_name="a\x1b[31m\nb"),
            "check violation (SQLSTATE 23514): constraint a [31m b",
        ),
        (raised(errors.SyntaxError, f'syntax error at or near "{SECRET}"'), "syntax error (SQLSTATE 42601)"),
        (raised(errors.UndefinedTable, 'relation "x"\x1b[31m does\nnot exist'), 'relation "x" [31m does'),
        (raised(errors.DiskFull, "no space"), "no space"),
        (psycopg.OperationalError("\n  gone\nfor good"), "gone"),
        (psycopg.OperationalError("\n"), "OperationalError"),
    ],
)
def test_what_is_said_has_names_and_no_values(error: psycopg.Error, words: str) -> None:
    assert described(error) == words


def test_a_traceback_shows_no_value() -> None:
    try:
        try:
            raise raised(errors.UniqueViolation, "x", message_detail=SECRET)
        except psycopg.Error as error:
            raise ValueError("clean") from cause(error)
    except ValueError as outer:
        shown = "".join(traceback.format_exception(outer))
    assert SECRET not in shown
    assert "UniqueViolation: unique violation" in shown


def test_row_security_is_known_by_its_place_in_the_server_not_by_words() -> None:
    assert hides_rows(raised(errors.InsufficientPrivilege, "查询受策略影响", source_function="check_enable_rls"))
    assert not hides_rows(raised(errors.InsufficientPrivilege, "row-level security", source_function="aclcheck_error"))


def test_no_advice_is_guessed_from_words() -> None:
    for said in ("FATAL:  password authentication failed", "Datenbank existiert nicht"):
        assert connection_hint(psycopg.OperationalError(said)) == "check that it is up and reachable from here"


@pytest.mark.parametrize(
    ("extra", "hint"),
    [
        ("service=nowhere", "correct the options of the connection"),
        ("sslmode=bogus", "correct the options of the connection"),
        ("sslmode=require", "check that it is up and reachable from here"),
        ("", "check that it is up and reachable from here"),
    ],
)
def test_a_failed_connection_says_what_to_correct(extra: str, hint: str) -> None:
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(f"host=127.0.0.1 port=1 {extra}")
    assert connection_hint(caught.value).startswith(hint)
