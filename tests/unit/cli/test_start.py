"""What each small command imports, in a process of its own: seconds differ from machine to machine, modules do not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.processes import plain_environment

LIBRARIES = {
    *("adbc_driver_postgresql", "airflow", "alembic", "boto3", "botocore", "chdb", "clickhouse_connect"),
    *("confluent_kafka", "cryptography", "great_expectations", "httpx", "numpy", "pandas", "psycopg", "pyarrow"),
    "sqlalchemy",
}
"""Those that cost 0.1 to 12 s, and Airflow, without which the command line must work."""

COMMAND = """
import sys
from mindguard.cli import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def modules(code: str, *arguments: str, status: int = 0) -> set[str]:
    """Return the modules that a process has imported at its end, and their packages."""
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=plain_environment(), capture_output=True, text=True, check=False
    )
    assert ended.returncode == status, ended.stderr
    return set(ended.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("snapshot", "--help"),
        ("snapshot", "list", "--help"),
        ("incidents", "list", "--help"),
        ("suites", "lint", "--help"),
        ("keys", "new", "2026-11"),
        ("monitors", "list"),
        ("feishu", "preview", "resolved"),
    ],
)
def test_a_small_command_imports_no_large_library(arguments: tuple[str, ...]) -> None:
    assert not LIBRARIES & modules(COMMAND, *arguments)


def test_help_imports_no_group_of_commands_and_lists_them_all() -> None:
    imported = modules(COMMAND, "--help")
    own = {name for name in imported if name.startswith("mindguard.")}
    assert own == {"mindguard.cli", "mindguard.cli.root", "mindguard.cli.output", "mindguard.errors"}
    assert not {"pydantic", "rich"} & imported


def test_a_group_is_imported_without_the_others() -> None:
    imported = modules(COMMAND, "monitors", "list")
    assert {name for name in imported if name.startswith("mindguard.cli.")} == {
        *("mindguard.cli.root", "mindguard.cli.output", "mindguard.cli.monitors")
    }
    # Monitors are listed without what they are measured with.
    assert "mindguard.monitors.sources.clickhouse" not in imported
    assert not {name for name in imported if name.startswith("mindguard.snapshots")}


def test_incidents_need_no_tool_for_migrations() -> None:
    """Alembic takes as long to import as all else that a list of incidents needs."""
    code = "import sys, mindguard.alerts.incidents.store as _; print(*sys.modules, file=sys.stderr)"
    assert not {"alembic", "mako"} & modules(code)
