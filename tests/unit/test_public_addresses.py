"""What others import keeps its address: DAGs of theirs, connections in their Airflow, scripts."""

from __future__ import annotations

import inspect
from importlib.metadata import entry_points

import pytest


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("mindguard.cli", "main"),
        ("mindguard.feishu.hook", "FeishuHook"),
        ("mindguard.feishu.notifier", "ApprovalNotifier"),
        ("mindguard.feishu.notifier", "FeishuNotifier"),
        ("mindguard.feishu.notifier", "RecoveryNotifier"),
        ("mindguard.missed_deadline", "report_missed_deadline"),
        ("mindguard.settings", "load_settings"),
        ("mindguard.settings", "Settings"),
    ],
)
def test_the_address_is_valid(module: str, name: str) -> None:
    found = getattr(__import__(module, fromlist=[name]), name)
    assert found.__name__ == name


def test_the_callback_of_a_deadline_is_a_coroutine_at_its_old_address() -> None:
    from mindguard.missed_deadline import report_missed_deadline

    assert inspect.iscoroutinefunction(report_missed_deadline)


def test_entry_points_can_be_loaded() -> None:
    (command,) = entry_points(group="console_scripts", name="mindguard")
    assert command.value == "mindguard.cli:main"
    assert callable(command.load())
    providers = [each for each in entry_points(group="apache_airflow_provider") if each.value.startswith("mindguard")]
    (hook,) = [each["hook-class-name"] for each in providers[0].load()()["connection-types"]]
    module, _, name = hook.rpartition(".")
    assert hasattr(__import__(module, fromlist=[name]), name)
