"""The rights that the documents name are those that the code uses."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _operations(package: str) -> set[str]:
    """boto3 operations of a store's client that the package uses, by their S3 names."""
    names: set[str] = set()
    for file in (ROOT / "plugins/mindguard" / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Attribute)
                and node.value.attr == "_client"
            ):
                names.add(node.attr)
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("get_paginator", "_pages")
                and isinstance(node.args[0], ast.Constant)
            ):
                names.add(ast.literal_eval(node.args[0]))
    return {"".join(map(str.capitalize, name.split("_"))) for name in names - {"get_paginator", "meta"}}


@pytest.mark.parametrize("readme", ["docs/existing-airflow.md", "docs/existing-airflow.zh-CN.md"])
def test_every_s3_operation_is_documented_and_no_other(readme: str) -> None:
    rows = [line for line in (ROOT / readme).read_text("utf-8").splitlines() if "s3:" in line and line.startswith("|")]
    named = {row.split("|")[1]: set(re.findall(r"`([A-Z]\w+)`", row.split("|")[2])) for row in rows}
    (of_doctor,) = [named.pop(what) for what in list(named) if "doctor" in what]
    assert set().union(*named.values()) == _operations("snapshots")
    assert of_doctor >= _operations("doctor")
    assert of_doctor <= _operations("doctor") | _operations("snapshots")
