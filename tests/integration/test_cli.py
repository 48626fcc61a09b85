"""The `mindguard` command over the real engines, with no Airflow running."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg
import pytest

from devstack.stack import Stack
from mindguard.connections import from_environment
from mindguard.snapshots.storage.catalog import id_of
from mindguard.snapshots.storage.store import Store
from tests.connections import as_variable, connection_of
from tests.processes import MINDGUARD, mindguard, plain_environment
from tests.stored_objects import overwrite


@pytest.fixture
def environment(stack: Stack, fresh_database: str, store: Store, tmp_path: Path) -> dict[str, str]:
    """Connections and settings of a small application of its own."""
    with psycopg.connect(fresh_database) as connection:
        connection.execute(
            "create table t (id int primary key, v text);"
            "insert into t select i, repeat('值', 40) from generate_series(1, 30000) i;"
            "create table empty_one (id int primary key)"
        )
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        f"snapshot:\n  bucket: {store.bucket}\n  part_mb: 1\n  connections: 1\n"
        "  tables: [{name: public.t}, {name: public.empty_one}]\n",
        "utf-8",
    )
    app = as_variable(connection_of(fresh_database, "mindguard_app"))
    return plain_environment() | stack.environment() | app | {"MINDGUARD_SETTINGS": str(settings)}


def test_take_list_show_verify(environment: dict[str, str]) -> None:
    taken = mindguard(environment, "snapshot", "take", "--json")
    assert taken.returncode == 0, taken.stderr
    summary = json.loads(taken.stdout)
    assert summary["tables"]["public.t"]["rows"] == 30000
    assert summary["tables"]["public.empty_one"] == {"rows": 0, "parts_written": 0, "parts_reused": 0, "bytes": 0}
    assert "part 1/" in taken.stderr, "progress goes to standard error"

    listed = json.loads(mindguard(environment, "snapshot", "list", "--json").stdout)
    assert [(each["snapshot_id"], each["status"]) for each in listed] == [(summary["snapshot_id"], "readable")]
    shown = json.loads(mindguard(environment, "snapshot", "show", "latest", "--json").stdout)
    assert [table["name"] for table in shown["tables"]] == ["public.t", "public.empty_one"]
    assert (shown["status"], shown["proven_at"], shown["held"]) == ("good", None, False)
    verified = mindguard(environment, "snapshot", "verify", summary["snapshot_id"], "--json")
    assert verified.returncode == 0
    assert json.loads(verified.stdout)["verified"] is True
    for arguments in (("take",), ("list",), ("show", "latest"), ("verify", "latest")):
        for_people = mindguard(environment, "snapshot", *arguments)
        assert for_people.returncode == 0, for_people.stderr
        assert summary["snapshot_id"][:8] in for_people.stdout
    shown_to_people = mindguard(environment, "snapshot", "show", "latest").stdout
    assert re.search(r" 0 of \d+, others \d{4}-\d\d-\d\d *\n", shown_to_people), (
        "nothing has changed since the first snapshot"
    )
    mindguard(environment, "snapshot", "take", "--recheck")
    shown_to_people = mindguard(environment, "snapshot", "show", "latest").stdout
    assert not re.search(r" 0 of \d+, others", shown_to_people), "all values were read again"


def test_a_quarantined_snapshot_is_named_as_one_by_every_command(
    environment: dict[str, str], fresh_database: str
) -> None:
    """`take` has an exit status of its own for it, `latest` passes it over, and a restore of it needs a flag."""
    good = json.loads(mindguard(environment, "snapshot", "take", "--json").stdout)
    assert (good["status"], good["quarantined_for"]) == ("good", [])
    with psycopg.connect(fresh_database) as connection:
        connection.execute("truncate t")
    why = "public.t is empty, it had 30,000 rows"
    taken = mindguard(environment, "snapshot", "take", "--json")
    bad = json.loads(taken.stdout)
    assert (taken.returncode, bad["status"], bad["quarantined_for"]) == (3, "quarantined", [why])
    for_people = mindguard(environment, "snapshot", "take")
    assert (for_people.returncode, for_people.stderr.count(f"does not count as good: {why}")) == (3, 1)
    assert f"QUARANTINED: {why}" in for_people.stderr, "the progress says so as well"
    assert f"{why} – check the table; accept the change by snapshot.gate.expected" in for_people.stderr

    listed = json.loads(mindguard(environment, "snapshot", "list", "--json").stdout)
    assert [each["quarantined_for"] for each in listed] == [[], [why], [why]]
    assert f"{bad['snapshot_id']} is quarantined: {why}" in mindguard(environment, "snapshot", "list").stdout
    for command in ("show", "verify"):
        latest = json.loads(mindguard(environment, "snapshot", command, "latest", "--json").stdout)
        assert (latest["snapshot_id"], latest["status"]) == (good["snapshot_id"], "good")
        named = json.loads(mindguard(environment, "snapshot", command, bad["snapshot_id"], "--json").stdout)
        assert (named["status"], named["quarantined_for"]) == ("quarantined", [why])
        assert why in mindguard(environment, "snapshot", command, bad["snapshot_id"]).stderr

    restore = ("snapshot", "restore", "--to", "mindguard_app", "--dry-run", "--json")
    assert good["snapshot_id"] in mindguard(environment, *restore, "latest").stdout
    for more in ((), ("--swap",)):
        refused = mindguard(environment, *restore, bad["snapshot_id"], *more)
        assert refused.returncode == 1
        assert f"snapshot {bad['snapshot_id']} is quarantined: {why} – choose `latest`" in refused.stderr
    accepted = mindguard(environment, *restore, bad["snapshot_id"], "--quarantined")
    assert (accepted.returncode, json.loads(accepted.stdout)["status"]) == (0, "quarantined")


def test_a_damaged_snapshot_is_exit_status_1_and_one_line(environment: dict[str, str], store: Store) -> None:
    mindguard(environment, "snapshot", "take")
    shown = json.loads(mindguard(environment, "snapshot", "show", "latest", "--json").stdout)
    overwrite(store, shown["tables"][0]["parts"][0]["key"], b"damaged")
    verified = mindguard(environment, "snapshot", "verify", "latest", "--json")
    assert verified.returncode == 1
    assert json.loads(verified.stdout)["verified"] is False
    (line,) = [line for line in verified.stderr.splitlines() if line.startswith("mindguard:")]
    assert "is damaged" in line
    assert "take a new one now" in line


def test_a_snapshot_that_cannot_be_read_is_listed_with_its_reason(environment: dict[str, str], store: Store) -> None:
    assert mindguard(environment, "snapshot", "take").returncode == 0
    (whole,) = store.manifest_keys()
    damaged = f"{store.prefix}/snapshots/2026-01-01/20260101T000000Z-0000aa.json"
    overwrite(store, damaged, store.read(whole)[:-9])
    listed = mindguard(environment, "snapshot", "list", "--json")
    assert listed.returncode == 1
    first, second = json.loads(listed.stdout)
    assert first == {
        "snapshot_id": id_of(damaged),
        "status": "unreadable",
        "key": damaged,
        "reason": f"manifest {damaged} is not a manifest of this package",
    }
    assert (second["snapshot_id"], second["status"], second["rows"]) == (id_of(whole), "readable", 30000)
    for_people = mindguard(environment, "snapshot", "list")
    assert for_people.returncode == 1
    assert [line.split()[-1] for line in for_people.stdout.splitlines() if id_of(damaged) in line] == ["unreadable"]
    assert first["reason"] in for_people.stderr
    assert "mindguard: 1 of 2 snapshots cannot be read" in for_people.stderr


def test_an_unknown_snapshot_says_how_to_find_one(environment: dict[str, str]) -> None:
    shown = mindguard(environment, "snapshot", "show", "nope")
    assert shown.returncode == 1
    assert shown.stderr.strip().startswith("mindguard: there is no snapshot nope")
    assert "`mindguard snapshot list` shows all" in shown.stderr


@pytest.fixture
def taking(environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A `take` that goes on for seconds after its first part, and hears SIGINT even where the tests' shell does not."""
    with Path(environment["MINDGUARD_SETTINGS"]).open("a") as settings:
        settings.write("  max_mb_per_s: 1\n")
    with subprocess.Popen(
        ["env", "--default-signal=INT", *MINDGUARD, "snapshot", "take"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def test_ctrl_c_in_the_middle_is_one_line_and_publishes_nothing(taking: subprocess.Popen[str], store: Store) -> None:
    assert taking.stderr
    for line in taking.stderr:
        if "part 1/" in line:
            break
    taking.send_signal(signal.SIGINT)
    assert taking.wait(20) == 130
    rest = taking.stderr.read().splitlines()
    assert rest[-1] == "mindguard: interrupted; nothing was published"
    assert not any("Traceback" in line for line in rest)
    assert store.manifest_keys() == []


def test_doctor_finds_everything_in_order(environment: dict[str, str]) -> None:
    examined = mindguard(environment, "doctor", "--json")
    findings = json.loads(examined.stdout)
    assert examined.returncode == 0, findings
    faults = [each["check"] for each in findings if each["status"] not in ("pass", "unused")]
    faults.remove("connection")  # there is no Airflow here
    # The stack has one PostgreSQL server; and its restore connection is of the sample application's database.
    assert set(faults) <= {"own server", "live table"}
    named = {finding["what"] for finding in findings}
    assert named >= {f"mindguard_{name}" for name in ("app", "ops", "restore", "drill", "events", "backup", "feishu")}
    assert named >= {"public.t", "public.empty_one"}
    assert "create-only" in examined.stdout


def test_doctor_names_each_fault_and_goes_on(environment: dict[str, str], fresh_database: str) -> None:
    with psycopg.connect(fresh_database) as connection:
        connection.execute("drop table empty_one")
    broken = dict(environment)
    del broken["AIRFLOW_CONN_MINDGUARD_BACKUP"], broken["AIRFLOW_CONN_MINDGUARD_DRILL"]
    broken["AIRFLOW_CONN_MINDGUARD_EVENTS"] = json.dumps({"conn_type": "clickhouse", "host": "127.0.0.1", "port": 9})
    examined = mindguard(broken, "doctor", "--json")
    assert examined.returncode == 1
    faults = {each["what"]: each["text"] for each in json.loads(examined.stdout) if each["status"] == "error"}
    assert set(faults) == {"public.empty_one", "mindguard_backup", "mindguard_events"}, "no setting needs a drill"
    assert "set AIRFLOW_CONN_MINDGUARD_BACKUP" in faults["mindguard_backup"]
    for_people = mindguard(broken, "doctor")
    assert for_people.returncode == 1
    assert "Traceback" not in for_people.stderr


@pytest.mark.parametrize(
    ("wrong", "change", "command", "said"),
    [
        ("APP", {"port": 9}, "snapshot take", "the database failed: "),
        ("APP", {"password": "wrong"}, "snapshot take", "the database failed: "),
        ("APP", {"schema": "postgres"}, "snapshot take", "table public.t does not exist"),
        ("OPS", {"port": 9}, "incidents list", "the incident store cannot be used: "),
        ("BACKUP", {"login": "wrong"}, "snapshot list", "cannot list "),
        ("EVENTS", {"port": 9}, "volume reconcile", "does not reach ClickHouse"),
    ],
)
def test_an_error_names_the_connection_that_it_comes_from_once(
    wrong: str, change: dict[str, Any], command: str, said: str, environment: dict[str, str]
) -> None:
    conn_id = f"mindguard_{wrong.lower()}"
    connection = asdict(from_environment(conn_id, environment)) | change
    broken = environment | {f"AIRFLOW_CONN_MINDGUARD_{wrong}": json.dumps(connection)}
    ended = mindguard(broken, *command.split())
    line = ended.stderr.splitlines()[-1]
    assert len(re.findall(rf"\b{conn_id}\b", line)) == 1, line
    assert re.match(rf"mindguard: (connection '{conn_id}' |{conn_id}: ){re.escape(said)}", line), line
    assert line.endswith(f" (settings: {broken['MINDGUARD_SETTINGS']})")


def test_feishu_send_delivers_a_card(environment: dict[str, str]) -> None:
    sent = mindguard(environment, "feishu", "send", "p2-trend", "--json")
    assert sent.returncode == 0, sent.stderr
    assert json.loads(sent.stdout) == {"case": "p2-trend", "delivered_as": "card", "message_id": None}


def test_keys_from_the_first_to_a_lost_one(environment: dict[str, str], store: Store) -> None:
    """What the README says: make a ring, switch encryption on, rotate, drop the old key."""
    first = mindguard(environment, "keys", "new", "2026-05")
    assert first.returncode == 0, first.stderr
    assert "keep it in two safe places" in first.stderr
    assert mindguard(environment, "keys", "new", "2026-05", "--json").stderr == ""
    settings = Path(environment["MINDGUARD_SETTINGS"])
    settings.write_text(settings.read_text("utf-8") + "  encryption: {enabled: true}\n", "utf-8")
    missing = mindguard(environment, "snapshot", "take")
    assert (missing.returncode, "set AIRFLOW_CONN_MINDGUARD_KEYS" in missing.stderr) == (1, True)

    def with_ring(text: str) -> dict[str, str]:
        return environment | {"AIRFLOW_CONN_MINDGUARD_KEYS": json.dumps({"conn_type": "generic", "password": text})}

    old = json.loads(first.stdout)["current"]
    assert mindguard(with_ring(first.stdout), "snapshot", "take").returncode == 0
    rotated = mindguard(with_ring(first.stdout), "keys", "rotate", "2026-11", "--json")
    ring = json.loads(rotated.stdout)
    assert list(ring["keys"]) == [old, ring["current"]]
    assert mindguard(with_ring(rotated.stdout), "snapshot", "take").returncode == 0
    examined = mindguard(with_ring(rotated.stdout), "doctor", "--json")
    assert examined.returncode == 0, examined.stdout
    said = [each["text"] for each in json.loads(examined.stdout) if each["what"] == "mindguard_keys"]
    assert f"its current key is {ring['current']}" in said[0]
    assert f"opens with {old}" in said[1]
    assert f"opens with {ring['current']}" in said[2]

    del ring["keys"][old]
    shredded = with_ring(json.dumps(ring))
    examined = mindguard(shredded, "doctor", "--json")
    assert examined.returncode == 1
    (fault,) = [each["text"] for each in json.loads(examined.stdout) if each["status"] == "error"]
    assert f"needs the master key {old}" in fault
    listed = mindguard(shredded, "snapshot", "list", "--json")
    assert listed.returncode == 1
    assert [each["status"] for each in json.loads(listed.stdout)] == ["unreadable", "readable"]
    assert f"needs the master key {old}" in json.loads(listed.stdout)[0]["reason"]
    assert mindguard(shredded, "snapshot", "verify", "latest").returncode == 0
    for secret in (*ring["keys"].values(), ring["naming"]):
        assert secret not in examined.stdout + examined.stderr + listed.stdout + listed.stderr
