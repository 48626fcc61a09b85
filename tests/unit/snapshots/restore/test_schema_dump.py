"""A dump's table of contents: what needs what, in which steps it is restored, how SQL is compared. No database."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mindguard.snapshots import pgtools
from mindguard.snapshots.pgtools import ToolFailed
from mindguard.snapshots.restore.schema_dump import SchemaDump
from mindguard.snapshots.restore.structure import _equal

CONTENTS = """\
;
;     Dumped from database version: 15.18
;     Dumped by pg_dump version: 18.6
;
2; 3079 16385 EXTENSION - cube\x20
2675; 0 0 COMMENT - EXTENSION cube\x20
;\tdepends on: 2
225; 1259 16521 TABLE public cu postgres
;\tdepends on: 2 2
226; 1259 16524 VIEW public cuv postgres
;\tdepends on: 225
220; 1259 16474 TABLE public par postgres
2507; 2606 16481 CONSTRAINT public par par_pkey postgres
;\tdepends on: 220 220
2508; 1259 16504 INDEX public par_v_idx postgres
;\tdepends on: 220
2515; 0 0 INDEX ATTACH public par_a_pkey postgres
;\tdepends on: 2507
2516; 0 0 INDEX ATTACH public par_a_v_idx postgres
;\tdepends on: 2508
2600; 2620 16600 TRIGGER public par watch postgres
2700; 2606 16700 FK CONSTRAINT public other other_par_fkey postgres
"""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[int]]]:
    """What pg_restore is asked to restore, and with how many jobs; entry 2516 fails."""
    asked: list[tuple[str, list[int]]] = []

    def call(command: list[str], conninfo: str) -> subprocess.CompletedProcess[bytes]:
        jobs, listed = (
            next(each for each in command if each.startswith(f"--{name}=")) for name in ("jobs", "use-list")
        )
        lines = Path(listed.removeprefix("--use-list=")).read_text("utf-8").splitlines()
        asked.append((jobs, [int(line.rstrip(";")) for line in lines]))
        failed = b"pg_restore: from TOC entry 2516; 0 0 INDEX ATTACH\npg_restore: warning: errors ignored on restore: 1"
        return subprocess.CompletedProcess(
            command, 1, b"", failed if 2516 in asked[-1][1] else b"errors ignored on restore"
        )

    monkeypatch.setattr(pgtools, "run", lambda *_: CONTENTS.encode())
    monkeypatch.setattr(pgtools, "call", call)
    return asked


def test_indexes_are_built_in_parallel_and_attached_one_after_the_other(
    steps: list[tuple[str, list[int]]], tmp_path: Path
) -> None:
    dump = SchemaDump(tmp_path / "dump")
    failed = dump.restore("post-data", "", jobs=3)
    assert steps == [
        ("--jobs=3", [2507, 2508]),
        ("--jobs=1", [2, 2675, 225, 226, 220, 2515, 2516, 2600]),
        ("--jobs=3", [2700]),
    ]
    assert [entry.number for entry in failed] == [2516]
    assert dump.versions == (15, 18)


@pytest.mark.usefixtures("steps")
def test_what_needs_a_missing_object_is_missing_too(tmp_path: Path) -> None:
    dump = SchemaDump(tmp_path / "dump")
    (cube,) = [entry for entry in dump.entries if entry.is_a("EXTENSION")]
    assert {entry.number: needed.number for entry, needed in dump.depending_on([cube]).items()} == {
        2675: 2,
        225: 2,
        226: 2,
    }
    assert dump.depending_on([]) == {}


@pytest.mark.usefixtures("steps")
def test_a_failure_of_pg_restore_itself_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = subprocess.CompletedProcess(["pg_restore"], 1, b"", b"pg_restore: error: could not connect")
    monkeypatch.setattr(pgtools, "call", lambda *_: broken)
    with pytest.raises(ToolFailed, match="could not connect"):
        SchemaDump(tmp_path / "dump").restore("pre-data", "")


@pytest.mark.parametrize(
    ("expected", "found", "equal"),
    [
        (
            "CHECK (((v)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))",
            "CHECK (((v)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying)::text])))",
            True,
        ),
        ("CHECK ((a > '1'::numeric(3,1)))", "CHECK ((a > '2'::numeric(3,1)))", False),
        ("CHECK ((a > b))", "CHECK ((a > b)) NOT VALID", False),
        ("CREATE TABLE t (a int, b int)", "CREATE TABLE t (b int, a int)", False),
        (
            "CREATE TABLE t (\n    own text,\n    a integer DEFAULT 1\n)\nINHERITS (p);",
            "CREATE TABLE t (\n    a integer DEFAULT 1,\n    own text\n)\nINHERITS (p);",
            True,
        ),
    ],
)
def test_sql_that_the_server_writes_in_two_ways_is_equal(expected: str, found: str, *, equal: bool) -> None:
    assert _equal("TABLE public t", expected, found) == equal
