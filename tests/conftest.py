"""Shared by all tests: golden files, and no network in unit tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

GOLDEN = Path(__file__).parent / "golden"
UNIT = Path(__file__).parent / "unit"

# There is no deadline, because the first example of a test pays for imports and a busy machine is slow.
# CI uses the same examples each time, so that anybody can repeat a failed build.
hypothesis.settings.register_profile("mindguard", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("mindguard")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the golden files instead of comparing with them; refused where CI is set",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--update-golden") and os.environ.get("CI"):
        raise pytest.UsageError("--update-golden is for a person who reads the difference, not for CI")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if UNIT in item.path.parents:
            item.add_marker(pytest.mark.disable_socket)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden("cards/p0.zh.json", text)` asserts that the text equals tests/golden/cards/p0.zh.json."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        assert path.is_file(), f"{path} is missing; see --update-golden"
        assert text == path.read_text("utf-8")

    return compare
