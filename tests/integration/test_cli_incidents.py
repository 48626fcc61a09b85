"""`mindguard incidents` over the real store."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import create_autospec

import pytest
from typer.testing import CliRunner

from mindguard.alerts.incidents.store import IncidentStore
from mindguard.cli import app
from tests.connections import as_variable, connection_of
from tests.incidents import finding
from tests.processes import mindguard, plain_environment


@pytest.fixture
def environment(fresh_database: str) -> dict[str, str]:
    return plain_environment() | as_variable(connection_of(fresh_database))


def test_an_incident_from_its_list_to_its_review(
    environment: dict[str, str], fresh_database: str, tmp_path: Path
) -> None:
    def run(*arguments: str) -> str:
        # In this process: a dozen processes would take half a minute.
        done = CliRunner().invoke(app, ["incidents", *arguments], env=environment)
        assert done.exit_code == 0, done.output
        return done.stdout

    assert json.loads(run("list", "--json")) == []
    (incident,) = IncidentStore.of(connection_of(fresh_database)).record([finding()], now=datetime.now(UTC))
    name = incident.name
    (listed,) = json.loads(run("list", "--json"))
    assert (listed["id"], listed["state"], listed["not_delivered"]) == (name, "open", "")
    assert name in run("list")
    run("ack", name, "--by", "ann")
    assert json.loads(run("show", name, "--json"))["acknowledged_by"] == "ann"
    assert "认领" in run("show", name)
    run("note", name, "looked at the disk", "--by", "ann")
    run("resolve", name, "--by", "ann", "--cause", "full disk", "--remedy", "bigger disk", "--impact", "nobody saw it")
    assert json.loads(run("list", "--json")) == []
    assert name in run("list", "--all")
    run("review", name, "--by", "ann", "--action", "watch the disk|bob|2026-12-01")
    document = run("export", name)
    for text in ("full disk", "bigger disk", "nobody saw it", "watch the disk", "bob", "looked at the disk"):
        assert text in document
    target = tmp_path / "postmortem.md"
    run("export", name, "--to", str(target))
    assert target.read_text("utf-8") == document
    assert "0 notifications" in run("retry")


@pytest.mark.parametrize("nameless", [("--by", " "), ()])
def test_nobody_acknowledges_without_a_name(
    environment: dict[str, str], fresh_database: str, monkeypatch: pytest.MonkeyPatch, nameless: tuple[str, ...]
) -> None:
    """A container may run as a user without a name; nobody would be called any more, and nobody would be at work."""
    monkeypatch.setattr(getpass, "getuser", create_autospec(getpass.getuser, side_effect=KeyError("no such user")))
    store = IncidentStore.of(connection_of(fresh_database))
    (incident,) = store.record([finding()], now=datetime.now(UTC))
    refused = CliRunner().invoke(app, ["incidents", "ack", incident.name, *nameless], env=environment)
    assert "there is no name" in str(refused.exception)
    assert store.get(incident.id).state == "open"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "I-99"), "there is no incident I-99"),
        (("ack", "x"), "there is no incident x"),
        (("resolve", "I-99"), "there is no incident"),
        (("export", "I-99"), "there is no incident"),
    ],
)
def test_errors_are_one_line(environment: dict[str, str], arguments: tuple[str, ...], words: str) -> None:
    done = mindguard(environment, "incidents", *arguments)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert words in line


def test_a_wrong_action_is_a_wrong_call(environment: dict[str, str]) -> None:
    assert mindguard(environment, "incidents", "review", "I-1", "--action", "nobody does it").returncode == 2


def test_without_the_store_there_is_one_line(environment: dict[str, str], fresh_database: str) -> None:
    unreachable = connection_of(fresh_database, port=9)
    done = mindguard(environment | as_variable(unreachable), "incidents", "list")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "connections.ops" in line
    assert unreachable.password not in line
