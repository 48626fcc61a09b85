"""The command line: exit statuses, one clear line for an error, and no need of a running Airflow."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.cells import cell_len

from mindguard import __version__, cli
from mindguard.cli import output
from mindguard.doctor.diagnosis import Diagnosis
from mindguard.feishu.cases import CASES
from mindguard.settings import packaged_settings

GOLDEN_CARDS = Path(__file__).resolve().parents[2] / "golden" / "cards"
SECRET = "s3cr3t-Value"


@dataclass
class Ended:
    status: int
    out: str
    err: str


Mindguard = Callable[..., Ended]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AIRFLOW_CONN_", "MINDGUARD_")):
            monkeypatch.delenv(name)


@pytest.fixture
def mindguard(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Mindguard:
    """`mindguard("feishu", "preview", …)` runs the command in this process."""

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["__main__.py", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return run


def in_a_process(code: str, *arguments: str) -> Ended:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["snapshot", "nonsense"], ["--nonsense"], ["snapshot", "show"], ["feishu", "preview", "a", "b"]],
)
def test_a_wrong_call_ends_with_2(arguments: list[str], mindguard: Mindguard) -> None:
    ended = mindguard(*arguments)
    assert ended.status == 2
    assert ended.out == ""
    assert "Usage: mindguard" in ended.err


@pytest.mark.parametrize(
    ("arguments", "variable"),
    [
        ("snapshot take", "AIRFLOW_CONN_MINDGUARD_BACKUP"),
        ("snapshot list --json", "AIRFLOW_CONN_MINDGUARD_BACKUP"),
        ("snapshot show latest", "AIRFLOW_CONN_MINDGUARD_BACKUP"),
        ("snapshot verify latest", "AIRFLOW_CONN_MINDGUARD_BACKUP"),
        ("feishu send resolved", "AIRFLOW_CONN_MINDGUARD_FEISHU"),
    ],
)
def test_a_missing_connection_is_one_line_that_names_the_variable(
    arguments: str, variable: str, mindguard: Mindguard
) -> None:
    ended = mindguard(*arguments.split())
    assert ended.status == 1
    assert ended.out == ""
    assert ended.err.startswith("mindguard: connection 'mindguard_")
    assert f" is not configured – set {variable} (settings: {packaged_settings()})\n" in ended.err
    assert ended.err.count("\n") == 1


def test_take_asks_for_the_source_once_the_store_is_known(
    mindguard: Mindguard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MINDGUARD_BACKUP", "aws://k:s@/?endpoint_url=http%3A%2F%2F127.0.0.1%3A1")
    ended = mindguard("snapshot", "take")
    assert ended.status == 1
    assert "set AIRFLOW_CONN_MINDGUARD_APP (" in ended.err


def test_a_missing_connection_is_an_error_only_if_a_setting_needs_it(mindguard: Mindguard) -> None:
    ended = mindguard("doctor", "--json")
    findings = json.loads(ended.out)
    assert ended.status == 1
    found = {finding["what"]: finding for finding in findings}
    assert found["risk_routing"]["status"] == found["event_consumers"]["status"] == "error"
    said = {what[10:]: each for what, each in found.items() if what.startswith("mindguard_")}
    assert {what: each["status"] for what, each in said.items()} == {
        **dict.fromkeys(("app", "backup", "drill", "ops", "events", "kafka"), "error"),
        **dict.fromkeys(("feishu", "airflow"), "warn"),
        **dict.fromkeys(("restore", "prometheus", "metrics"), "unused"),
    }
    for what, needed_by in {
        "app": "snapshot.tables, monitors.weekly_report, monitors.risk_routing",
        "backup": "snapshot.bucket, monitors.snapshot_age",
        "drill": "monitors.snapshot_age",
        "ops": "monitors",
        "kafka": "monitors.event_consumers",
    }.items():
        variable = f"AIRFLOW_CONN_MINDGUARD_{what.upper()}"
        assert said[what]["text"] == f"needed by {needed_by}, and not configured – set {variable}"
    assert said["feishu"]["text"].startswith("not configured: without it nobody is told of a failure – ")
    assert "crash_rate and others (8 in all)" in said["events"]["text"]
    assert all(f"set AIRFLOW_CONN_MINDGUARD_{what.upper()}" in each["text"] for what, each in said.items())


PLAIN = "snapshot: {bucket: b, tables: [{name: public.t}]}\n"


@pytest.mark.parametrize(
    ("section", "needed"),
    [
        ("", set()),
        ("suites: none", set()),
        (
            "rota: {people: [{name: A}], shifts: [{name: d, from: '00:00', to: '00:00', rotation: [A]}]}",
            {"feishu", "ops"},
        ),
        ("escalation: {P1: []}", {"feishu", "ops"}),
        ("alerts: {acknowledge_base_url: 'https://a'}", {"feishu", "ops"}),
        ("key_events: [{name: e}]", {"events"}),
        ("snapshot: {bucket: b, tables: [{name: public.t}], encryption: {enabled: true}}", {"keys"}),
        ("monitors: [{name: m, kind: rate, source: prometheus, promql: up, error_above: 0.5}]", {"prometheus", "ops"}),
    ],
)
def test_each_setting_needs_what_it_uses(
    section: str, needed: set[str], mindguard: Mindguard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(section if section.startswith("snapshot") else f"{PLAIN}{section}\n")
    monkeypatch.setenv("MINDGUARD_SETTINGS", str(path))
    findings = json.loads(mindguard("doctor", "--json").out)
    assert findings[0] == {"status": "pass", "what": "settings", "check": "file", "text": str(path)}
    errors = {each["what"][10:] for each in findings if each["status"] == "error" and each["check"] == "connection"}
    assert errors == {"app", "backup", *needed}
    warned = {each["what"][10:] for each in findings if each["status"] == "warn"}
    assert warned == {"drill", "ops", "feishu", "airflow"} - needed  # without them it would be silent, or never expire
    assert [each["status"] for each in findings if each["what"] == "suites"] == [
        "unused" if "none" in section else "pass"
    ]


def test_doctor_names_the_settings_and_fits_a_terminal(mindguard: Mindguard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", mindguard("doctor").out).splitlines()
    assert lines[0].startswith(f"settings: {packaged_settings()}, which comes with the package – `mindguard init FILE`")
    assert max(map(cell_len, lines[1:])) <= 80


def test_doctor_goes_on_after_a_connection_that_boto3_refuses(
    mindguard: Mindguard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MINDGUARD_BACKUP", "aws://k:s@/?endpoint_url=127.0.0.1:9000")
    findings = json.loads(mindguard("doctor", "--json").out)
    assert len([finding for finding in findings if finding["what"].startswith("mindguard_")]) == 11
    assert "Invalid endpoint: 127.0.0.1:9000" in findings[2]["text"]


def test_doctor_goes_on_after_a_check_that_breaks_and_counts_it_as_an_error(
    mindguard: Mindguard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Iterator[Diagnosis]:
        yield Diagnosis("pass", "mindguard_backup", "list", "seen before it broke")
        raise ZeroDivisionError(f"two\nlines of postgres://u:{SECRET}@h/db")

    monkeypatch.setattr("mindguard.doctor.store.examine_store", broken)
    ended = mindguard("doctor", "--json")
    findings = json.loads(ended.out)
    assert ended.status == 1
    assert [finding["status"] for finding in findings[1:5]] == ["error", "pass", "error", "error"]
    assert findings[3] == {
        "status": "error",
        "what": "mindguard_backup",
        "check": "connection",
        "text": "could not be checked, the check itself failed: ZeroDivisionError: two lines of postgres://u:***@h/db",
    }


# Tables


LISTED = ("20261118T180003Z-5f0c1d", "2026-11-19 02:00", "3", "123,456,789", "120", "12,345.6")
LIST_HEADS = ("snapshot", "taken (Asia/Shanghai)", "tables", "rows", "parts", "MB")
FINDING = (
    "error",
    "public.behavior_tasks",
    "no index begins with created_at, so each part scans the whole table – index it",
)


@pytest.mark.parametrize("cell", ["IO: [libpq] connection failed", "no right on [/tmp/x]", "public.[red]", ":warning:"])
def test_a_cell_is_printed_as_it_is(cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("what", "[bold]"), [(cell, cell)])
    out = capsys.readouterr().out
    assert out.count(cell) == 2
    assert "[bold]" in out


def test_a_pipe_and_a_log_take_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(LIST_HEADS, [LISTED])
    output.print_table(("", "what", "finding"), [(*FINDING[:2], FINDING[2] * 9)])
    lines = capsys.readouterr().out.splitlines()
    assert any(all(cell in line for cell in LISTED) for line in lines)
    assert any(FINDING[2] * 9 in line for line in lines)


@pytest.mark.parametrize("columns", ["20", "80"])
def test_a_terminal_wraps_the_last_column_between_words_and_cuts_nothing(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", columns)
    output.print_table(LIST_HEADS, [LISTED])
    assert any(all(cell in line for cell in LISTED) for line in capsys.readouterr().out.splitlines())
    output.print_table(("", "what", "finding"), [FINDING])
    out = capsys.readouterr().out
    assert FINDING[2] not in out, "wrapped"
    assert {word for cell in FINDING for word in cell.split()} <= set(out.split())


def test_a_library_that_is_not_installed_is_one_line(mindguard: Mindguard, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("great_expectations", "clickhouse_connect"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it raises ModuleNotFoundError
    monkeypatch.setenv("AIRFLOW_CONN_MINDGUARD_EVENTS", "clickhouse://u:p@127.0.0.1:1/default")
    ended = mindguard("suites", "lint")
    assert ended.status == 1
    assert ended.err.startswith(
        "mindguard: this needs the library great_expectations, which is not installed – install "
    )
    assert ended.err.count("\n") == 1
    findings = json.loads(mindguard("doctor", "--json").out)
    events = [each for each in findings if each["what"] == "mindguard_events"]
    assert [(each["status"], "clickhouse_connect" in each["text"]) for each in events] == [("unknown", True)]


def test_an_unknown_case_lists_the_cases(mindguard: Mindguard) -> None:
    ended = mindguard("feishu", "preview", "nonsense")
    assert ended.status == 1
    assert ended.err.count("\n") == 1
    assert all(case in ended.err for case in CASES)


def test_debug_shows_the_traceback_and_still_no_secret(mindguard: Mindguard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MINDGUARD_BACKUP", f"aws://u:{SECRET}@h:port/")
    plain = mindguard("snapshot", "list")
    debug = in_a_process("from mindguard.cli import main; main()", "snapshot", "list", "--debug")
    assert (plain.status, debug.status) == (1, 1)
    assert "Traceback" not in plain.err
    assert "Traceback" in debug.err
    assert "MindGuardError" in debug.err
    assert SECRET not in plain.err + debug.err


def test_ctrl_c_ends_with_130_and_says_that_nothing_was_published(
    mindguard: Mindguard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mindguard.settings.load_settings", interrupted)
    ended = mindguard("snapshot", "take")
    assert (ended.status, ended.err) == (130, "mindguard: interrupted; nothing was published\n")


def test_version(mindguard: Mindguard) -> None:
    assert mindguard("--version") == Ended(0, f"{__version__}\n", "")


@pytest.mark.parametrize("arguments", [["--help"], ["snapshot", "--help"], ["snapshot", "verify", "--help"]])
def test_help_is_no_error(arguments: list[str], mindguard: Mindguard) -> None:
    ended = mindguard(*arguments)
    assert ended.status == 0
    assert "Usage: " in ended.out


def test_preview_prints_the_text_as_it_would_be_sent(mindguard: Mindguard) -> None:
    ended = mindguard("feishu", "preview", "p1-task-failed")
    assert ended == Ended(0, (GOLDEN_CARDS / "p1-task-failed.zh.txt").read_text("utf-8"), "")


def test_preview_as_json_is_the_card(mindguard: Mindguard) -> None:
    ended = mindguard("feishu", "preview", "p1-task-failed", "--json")
    assert ended.status == 0
    assert json.loads(ended.out) == json.loads((GOLDEN_CARDS / "p1-task-failed.zh.json").read_text("utf-8"))


def test_another_settings_file_is_honoured(
    mindguard: Mindguard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(
        "locale: en\nconnections: {backup: other_store}\nsnapshot: {bucket: b, tables: [{name: public.t}]}\n"
    )
    monkeypatch.setenv("MINDGUARD_SETTINGS", str(path))
    assert mindguard("feishu", "preview", "p1-task-failed").out.startswith("[P1 alert] Task failed")
    assert f"set AIRFLOW_CONN_OTHER_STORE (settings: {path})" in mindguard("snapshot", "list").err


def test_broken_settings_are_one_line(mindguard: Mindguard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("locale: de\n")
    monkeypatch.setenv("MINDGUARD_SETTINGS", str(path))
    ended = mindguard("snapshot", "list")
    assert ended.status == 1
    assert ended.err.count("\n") == 1
    assert f"{path} has 2 faults: (1) snapshot: missing (2) line 1: locale: write" in ended.err


def test_monitors_are_listed_with_their_thresholds(mindguard: Mindguard) -> None:
    listed = mindguard("monitors", "list")
    assert listed.status == 0
    (line,) = [line for line in listed.out.splitlines() if "api_error_rate" in line]
    assert line.split()[:5] == ["api_error_rate", "rate", "mindguard_events", "1.00%", "P2"]
    (line,) = [line for line in listed.out.splitlines() if "event_consumers" in line]
    assert line.split()[-2:] == ["event-landing", "product-events"]


def test_a_monitor_that_cannot_be_judged_is_no_success(mindguard: Mindguard) -> None:
    ran = mindguard("monitors", "run", "risk_routing", "--json")
    assert ran.status == 1
    (result,) = json.loads(ran.out)
    assert (result["status"], result["reason"]) == ("unknown", "unreachable")
    assert "AIRFLOW_CONN_MINDGUARD_APP" in result["note"]
    wrong = mindguard("monitors", "run", "typo")
    assert (wrong.status, wrong.out) == (1, "")
    assert "there is no monitor typo" in wrong.err
