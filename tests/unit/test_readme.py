"""The rights that the README names are those that the code uses."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _operations() -> set[str]:
    """boto3 operations called on a store's client in the snapshot package, by their S3 names."""
    found: set[str] = set()
    for file in (ROOT / "plugins/mindguard/snapshots").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(call := node.func, ast.Attribute)):
                continue
            if isinstance(call.value, ast.Attribute) and call.value.attr == "_client":
                name = ast.literal_eval(node.args[0]) if call.attr == "get_paginator" else call.attr
                found.add("".join(map(str.capitalize, name.split("_"))))
    return found


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_every_s3_operation_is_documented_and_no_other(readme: str) -> None:
    rows = [line for line in (ROOT / readme).read_text("utf-8").splitlines() if "s3:" in line and line.startswith("|")]
    named = {name for row in rows for name in re.findall(r"`([A-Z]\w+)`", row.split("|")[2])}
    assert named == _operations()
