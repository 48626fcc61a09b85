"""Every file, module and link that the documentation names is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "plugins" / "mindguard"
PAGES = sorted([*ROOT.glob("README*.md"), *ROOT.glob("CONTRIBUTING.md"), *(ROOT / "docs").rglob("*.md")])

IGNORED_FOLDERS = (".venv", ".local", ".git", "build")

NOT_IN_THE_REPOSITORY = {
    "include/sql/postgres/measure_payments.sql",  # the reader of docs/monitors.md writes it
    "sql/postgres/measure_payments.sql",
    "plugins/mindguard/monitors/sources/redis.py",  # the example of CONTRIBUTING.md
    "dags/NAME.py",
    "cli/main.py",  # docs/adr/0025 says why it does not exist
    "./my-settings.yaml",  # the reader of the README writes it
    ".local/",  # `make run` writes it
    ".local/run-report.json",
}
NOT_IN_THE_PACKAGE = {
    *("mindguard.events", "mindguard.events_local"),  # tables
    *("mindguard.events_rollup", "mindguard.events_rollup_local", "mindguard.events_rollup_view"),
    *("mindguard.prom", "mindguard.yaml", "mindguard.token", "mindguard.schema"),  # files
}

PATH = re.compile(r"(?<![\w./:<>…$-])((?:[\w.-]+/)+[\w-]+\.(?:py|sql|md|ya?ml|json|html|png|svg))\b")
FILE_NAME = re.compile(r"`(?!mindguard\.)([\w-]+\.(?:py|sql|html))`")
FOLDER = re.compile(r"`((?:[\w.-]+/)+)`")
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)]*)?\)")
DOTTED = re.compile(r"(?<![\w./-])mindguard(?:\.\w+)+")
IMPORT = re.compile(r"^from (mindguard[\w.]*) import (.+)$", re.MULTILINE)


@cache
def endings() -> frozenset[str]:
    """Return every file and folder of the repository by all endings of its path: pages leave out the beginning."""
    found = {path.name for path in ROOT.iterdir()}
    for folder in (path for path in ROOT.iterdir() if path.is_dir() and path.name not in IGNORED_FOLDERS):
        for path in folder.rglob("*"):
            parts = path.relative_to(ROOT).parts
            found |= {"/".join(parts[start:]) for start in range(len(parts))}
    return frozenset(found)


def exists(path: str, page: Path) -> bool:
    return path in NOT_IN_THE_REPOSITORY or path.rstrip("/") in endings() or (page.parent / path).exists()


def names_of(body: list[ast.stmt]) -> Iterator[tuple[str, list[ast.stmt]]]:
    """Yield what a module or class defines or imports, each with the body that it has itself."""
    for node in body:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name, node.body
            case ast.Assign():
                yield from ((target.id, []) for target in node.targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name, []
            case ast.Import() | ast.ImportFrom():
                yield from ((alias.asname or alias.name, []) for alias in node.names)
            case _:
                pass


def resolves(dotted: str) -> bool:
    """Return whether a dotted name is a module of the package, or something in one. Nothing is imported."""
    place, *rest = PACKAGE, *dotted.split(".")[1:]
    while rest and (place / rest[0]).is_dir():
        place /= rest.pop(0)
    module = place / "__init__.py"
    if rest and (place / f"{rest[0]}.py").exists():
        module = place / f"{rest.pop(0)}.py"
    body = ast.parse(module.read_text("utf-8")).body if module.exists() else []
    for name in rest:
        found = dict(names_of(body))
        if name not in found:
            return False
        body = found[name]
    return True


def unresolved(page: Path) -> list[str]:
    text = page.read_text("utf-8")
    paths = [*PATH.findall(text), *FILE_NAME.findall(text), *FOLDER.findall(text)]
    wrong = [path for path in paths if not exists(path, page)]
    wrong += [link for link in LINK.findall(text) if "://" not in link and not (page.parent / link).exists()]
    named = {name for name in DOTTED.findall(text) if name not in NOT_IN_THE_PACKAGE}
    named |= {f"{module}.{name.strip()}" for module, names in IMPORT.findall(text) for name in names.split(",")}
    return wrong + sorted(name for name in named if not resolves(name))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_everything_that_a_page_names_is_there(page: Path) -> None:
    assert unresolved(page) == []


@pytest.mark.parametrize(
    "line",
    [
        "[a link](no-such-page.md)",
        "`mindguard/no_such_file.py`",
        "see bench/no_such_file.py",
        "`no_such_file.py`",
        "`no_such_folder/`",
        "mindguard.no_such_module",
        "`mindguard.connections.no_such_function`",
        "mindguard.connections.Connection.no_such_field",
        "from mindguard.connections import from_environment, no_such_function",
    ],
)
def test_what_is_not_there_is_found(line: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Some text\n{line}\n", "utf-8")
    assert len(unresolved(page)) == 1


def test_what_is_there_is_not_reported(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`plugins/mindguard/sql.py`, `mindguard/sql.py`, `export/plan.py`, `snapshots/`, `sql.py`, `mindguard.sql`,\n"
        "mindguard.connections.Connection.extra and https://example.com/no_such_file.py\n"
        "from mindguard.connections import Connection, from_environment\n",
        "utf-8",
    )
    assert unresolved(page) == []


def test_every_line_about_what_a_snapshot_holds_names_a_test_that_there_is() -> None:
    page = (ROOT / "docs" / "snapshot-contents.md").read_text("utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| what")]
    tests = {
        node.name
        for path in (ROOT / "tests" / "integration").glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    for line in lines:
        named = set(re.findall(r"`(test_\w+)`", line))
        assert named, f"no test shows it: {line}"
        assert named <= tests, f"no such test: {sorted(named - tests)}"
    assert len(lines) > 15


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.zh-CN.md")), ids=lambda page: page.name)
def test_a_page_has_the_same_commands_in_both_languages(page: Path) -> None:
    """Comments may differ, and what a reader fills in."""
    commands = [
        [
            re.sub(r'\s*#.*|(?<=--why )"[^"\n]*"', "", line)
            for line in re.findall(r"^```(?:sh|dockerfile)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        ]
        for text in (page.read_text("utf-8"), page.with_name(page.name.replace(".zh-CN", "")).read_text("utf-8"))
    ]
    assert commands[0] == commands[1]
