"""What the distribution declares to Airflow, checked against Airflow's schema and the package's hook."""

from __future__ import annotations

import json
import tomllib
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from jsonschema import Draft7Validator

from mindguard.airflow.provider_info import get_provider_info
from mindguard.connections import Connection
from mindguard.feishu.app_client import app_from_connection, is_app
from mindguard.feishu.client import hook_from_connection

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def form() -> dict[str, Any]:
    (form,) = get_provider_info()["connection-types"]
    return form


def test_airflow_accepts_the_provider_info() -> None:
    spec = find_spec("airflow")
    assert spec is not None
    assert spec.origin is not None
    schema = json.loads(Path(spec.origin).with_name("provider_info.schema.json").read_text("utf-8"))
    Draft7Validator(schema).validate(get_provider_info())


def test_the_distribution_holds_every_folder() -> None:
    """Folders of data too: setuptools warns of one that is not listed, since it might be left out."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    kinds = {".py", *(Path(pattern).suffix for pattern in setuptools["package-data"]["*"])}
    there = {
        ".".join((package, *file.parent.relative_to(ROOT / folder).parts))
        for package, folder in setuptools["package-dir"].items()
        for file in (ROOT / folder).rglob("*.*")
        if file.suffix in kinds
    }
    assert set(setuptools["packages"]) == there | {"mindguard.include"}
    assert {f".{kind}" for kind in ("html", "json", "md", "sql", "yaml")} <= kinds


def test_the_distribution_announces_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert get_provider_info()["package-name"] == project["name"]
    (entry,) = project["entry-points"]["apache_airflow_provider"].values()
    assert resolve_name(entry) is get_provider_info


def test_the_form_uses_the_packages_hook(form: dict[str, Any]) -> None:
    hook = resolve_name(form["hook-class-name"])
    assert (hook.conn_type, hook.hook_name) == (form["connection-type"], form["hook-name"])


def test_the_form_shows_every_field_that_the_client_reads(form: dict[str, Any]) -> None:
    shown = {"host", "password", "port"} - set(form["ui-field-behaviour"]["hidden-fields"])
    assert shown == {"host", "password", "port"}
    assert sorted(form["conn-fields"]) == ["app_id", "app_secret", "chat_id", "secret"]
    bot = Connection("c", form["connection-type"], password="token", extra={"secret": "x", "app_id": None})
    assert not is_app(bot)
    assert "signed=True" in repr(hook_from_connection(bot))
    app = Connection("c", form["connection-type"], extra={"app_id": "cli_x", "app_secret": "x", "chat_id": "oc_x"})
    assert is_app(app)
    assert "cli_x" in repr(app_from_connection(app))


def test_the_signing_secret_is_hidden_while_it_is_typed(form: dict[str, Any]) -> None:
    for field in ("secret", "app_secret"):
        assert form["conn-fields"][field]["schema"]["format"] == "password"
