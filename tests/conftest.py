"""Shared by all tests: golden files, no network in unit tests, and what keeps the tests quick."""

from __future__ import annotations

import functools
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


def pytest_collection_finish() -> None:
    # What is imported by now stays for good, so the search for garbage need not look at it, which takes 0.3 s.
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give all files that need the stack's Airflow to one worker: starting Airflow takes half a minute of CPU time."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = str(super()._split_scope(nodeid))
            return "Airflow" if _needs_airflow(config.rootpath / file) else file

    return Scheduling(config, log)


@functools.cache
def _needs_airflow(file: Path) -> bool:
    return "airflow_stack" in file.read_text("utf-8")


@pytest.fixture(scope="session", autouse=True)
def botocore_reads_its_data_once() -> Iterator[None]:
    """Let all sessions of botocore share what they read from its files, which takes most of the time of a client."""
    import botocore.session

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", functools.cache(botocore.session.create_loader))
        yield


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
