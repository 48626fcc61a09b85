"""docs/runbooks/everything-is-gone.md, followed to the letter with nothing but the bucket's credentials.

The package is installed as the page says, so it is also a test that restoring needs neither Airflow nor Great
Expectations.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from devstack.parts.base import ROOT
from devstack.parts.seaweedfs import REGION
from devstack.stack import Stack
from mindguard.connections import Connection
from mindguard.snapshots.storage.store import Store
from tests.folders import engine_folder
from tests.integration.restoring import as_text, fill_hostile, run, snapshot
from tests.processes import clone

RUNBOOK = ROOT / "docs" / "runbooks" / "everything-is-gone.md"


@pytest.fixture
def new_server() -> Iterator[Stack]:
    """Another PostgreSQL, which has never seen the source."""
    with (
        engine_folder("mindguard-rescue-") as folder,
        Stack(folder, airflow=False, parts=("postgres",), quiet=True) as stack,
    ):
        yield stack


def test_the_runbook_brings_everything_back(
    fresh_database: str, store: Store, backup_connection: Connection, new_server: Stack, tmp_path: Path
) -> None:
    fill_hostile(fresh_database)
    run(
        fresh_database,
        "create table visits (id int primary key, at timestamptz)",
        "insert into visits values (1, now())",
    )
    snapshot(fresh_database, store, "public.hostile", "public.visits")
    blocks = re.findall(r"^```sh\n(.*?)^```$", RUNBOOK.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    password = quote(new_server.postgres.password("postgres"), safe="")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],  # pip's settings are there
        "PIP_QUIET": "1",
        "BACKUP_URL": backup_connection.extra["endpoint_url"],
        "BACKUP_REGION": REGION,
        "BACKUP_KEY": backup_connection.login,
        "BACKUP_SECRET": backup_connection.password,
        "BACKUP_BUCKET": store.bucket,
        "SERVER": f"postgresql://postgres:{password}@127.0.0.1:{new_server.postgres.port}",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "".join(blocks)],
        env=environment,
        cwd=clone(tmp_path / "clone"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    installed = {path.name for path in (tmp_path / "clone/rescue").glob("lib/*/site-packages/*")}
    assert "mindguard" in installed
    assert installed.isdisjoint({"airflow", "great_expectations", "pandas", "sqlalchemy"})
    assert done.stdout.count("0 rows only restored, 0 only live, 0 changed") == 2, done.stdout
    assert "left out" not in done.stdout
    restored = new_server.postgres_conninfo("postgres", "mindguard_restored")
    for table in ("public.hostile", "public.visits"):
        assert as_text(restored, table) == as_text(fresh_database, table)
    assert backup_connection.password not in done.stdout + done.stderr
