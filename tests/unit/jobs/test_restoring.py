"""What a person is asked who is to approve a restore."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from mindguard.alerts.dag_runs.approval import Asked
from mindguard.jobs.restoring import Asker, put_back_asked, restore_asked
from mindguard.snapshots.restore.put_back import Shown, ShownTable
from mindguard.snapshots.restore.rows import RowFilter
from mindguard.snapshots.restore.tables import Plan, PlannedTable
from mindguard.snapshots.storage.checks import CheckState
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.proof import Proof
from mindguard.snapshots.storage.state import SnapshotState
from mindguard.texts import Locale
from tests.unit.snapshots.fakes import memory_store, published

NOW = datetime(2026, 11, 19, 6, 2, tzinfo=UTC)


@pytest.fixture
def manifest() -> Manifest:
    found = published(memory_store()[0])
    return found.model_copy(update={"taken_at": NOW - timedelta(days=3, hours=2)})


def asker(locale: Locale = "en", name: str = "yu.li") -> Asker:
    return Asker(name, "manual", "mindguard_restore", locale, ZoneInfo("Asia/Shanghai"), NOW)


def known(proof: Proof | None = None, **checks: int) -> SnapshotState:
    return SnapshotState(proof, replace(CheckState(NOW - timedelta(days=6, hours=1), 0, 0, 0), **checks))


def plan(manifest: Manifest, *, swap: bool = False, row_filter: RowFilter | None = None) -> Plan:
    table = manifest.tables[0]
    planned = PlannedTable(table, table.parts, row_filter, None)
    return Plan(manifest.snapshot_id, "app", "restored_x", swap, (planned,), schema_exists=False)


def facts(asked: Asked) -> dict[str, str]:
    return {fact.name: fact.value for fact in asked.facts}


def test_everything_that_the_answer_depends_on_is_said(manifest: Manifest) -> None:
    table = manifest.tables[0]
    where = {"user_id": ("secret-7", "secret-8"), "kind": ("x",)}
    asked = restore_asked(plan(manifest, row_filter=RowFilter(())), manifest, known(), where, {table.name: 30}, asker())
    assert asked.question == f"Restore {table.name} (rows chosen by user_id, kind)"
    assert facts(asked) == {
        "Snapshot": manifest.snapshot_id,
        "Taken": "11-16 Mon 12:02, 3 d 2 h old when this was asked",
        "Proven by a drill": "no: no restore drill has rebuilt it; "
        "all parts were read within 6 d 1 h before this was asked",
        "Tables": table.name,
        "Only rows with": "user_id (values: 2), kind (values: 1); the values are on the approval page only",
        "Rows it would bring": f"{table.name}: 30",
        "Target": "connection mindguard_restore, database app",
        "Into": "schema restored_x; live tables stay as they are",
        "Requested by": "yu.li",
    }
    assert [fact.name for fact in asked.facts if fact.wrong] == ["Proven by a drill"]
    assert "secret" not in str(asked.to_json()), "a group reads the card"
    assert Asked.from_json(asked.to_json()) == asked


def test_a_swap_a_quarantine_and_an_unknown_requester_stand_out(manifest: Manifest) -> None:
    manifest = manifest.model_copy(update={"quarantined_for": ("public.t is empty",)})
    swapping = restore_asked(plan(manifest, swap=True), manifest, known(), {}, {}, asker(name=""))
    assert swapping.question.endswith("AND SWAP them with the live tables")
    said = facts(swapping)
    assert said["Quarantined"] == "public.t is empty"
    assert said["Requested by"] == "not known (manual run)"
    assert said["Only rows with"] == "none: all rows"
    assert "at most" in said["Rows it would bring"], "what was not counted is not promised"
    assert {"Into", "Quarantined"} <= {fact.name for fact in swapping.facts if fact.wrong}
    none = restore_asked(plan(manifest), manifest, known(), {"user_id": ("9",)}, {manifest.tables[0].name: 0}, asker())
    assert "Rows it would bring" in {fact.name for fact in none.facts if fact.wrong}
    assert len(swapping.facts) < 12, "a card shows so many, and the run"


def test_values_in_doubt_stand_out(manifest: Manifest) -> None:
    name = manifest.tables[0].name
    asked = restore_asked(plan(manifest), manifest, replace(known(), doubtful=(name,)), {}, {name: 3}, asker())
    (taken,) = [fact for fact in asked.facts if fact.name == "Taken"]
    assert f"rows of {name} may be older" in taken.value
    assert taken.wrong


def test_the_reader_s_language_is_used_throughout(manifest: Manifest) -> None:
    proof = Proof.model_construct(snapshot_id=manifest.snapshot_id, proven_at=NOW)
    asked = restore_asked(plan(manifest), manifest, known(proof), {}, {manifest.tables[0].name: 3}, asker("zh"))
    said = facts(asked)
    assert said["恢复验证"] == "已通过，11-19 周四 14:02；全部分片在请求批准前 6 天 1 小时 内都读过"
    assert said["快照时间"] == "11-16 周一 12:02，请求批准时距今 3 天 2 小时"
    recent = manifest.model_copy(update={"taken_at": NOW - timedelta(minutes=5)})
    assert facts(restore_asked(plan(recent), recent, known(proof), {}, {}, asker("zh")))["快照时间"].endswith(
        "距今 5 分钟"
    )
    zh, en = (restore_asked(plan(manifest), manifest, known(proof), {}, {}, asker(each)) for each in ("zh", "en"))
    assert not {fact.name for fact in zh.facts} & {fact.name for fact in en.facts}


@pytest.mark.parametrize(
    ("state", "says", "wrong"),
    [
        (known(), "all parts were read within 6 d 1 h before this was asked", False),
        (known(unread=2), "there is no record of 2 stored objects having been read", False),
        (known(unread=2, altered=1), "1 stored objects are missing or have another size", True),
        (known(unread=2, altered=1, damaged=1), "1 stored objects are known to be damaged", True),
        (SnapshotState(None, CheckState(None, 9, 0, 0)), "there is no record of its parts having been read", False),
    ],
)
def test_what_is_known_of_the_stored_parts_is_said(
    manifest: Manifest, state: SnapshotState, says: str, wrong: bool
) -> None:
    proven = replace(state, proof=Proof.model_construct(snapshot_id=manifest.snapshot_id, proven_at=NOW))
    (fact,) = (
        each
        for each in restore_asked(plan(manifest), manifest, proven, {}, {}, asker()).facts
        if each.name == "Proven by a drill"
    )
    assert (fact.value, fact.wrong) == (f"yes, 11-19 Thu 14:02; {says}", wrong)


@pytest.mark.parametrize(
    ("locale", "says"),
    [
        ("en", "no: restore drills have rebuilt 1 of 1 tables so far; all parts"),
        ("zh", "尚未通过：恢复演练至今重建了 1 张表中的 1 张；全部分片"),
    ],
)
def test_a_snapshot_that_is_rebuilt_in_part_is_not_proven(manifest: Manifest, locale: Locale, says: str) -> None:
    state = replace(known(), rebuilt=1)
    fact = restore_asked(plan(manifest), manifest, state, {}, {}, asker(locale)).facts[2]
    assert (fact.value.startswith(says), fact.wrong) == (True, True)


def test_a_hostile_value_is_only_text_on_the_page() -> None:
    """Whoever fills in the form must not be able to write the page that the approver reads."""
    asked = Asked("Restore t")
    values = ("x\n- **Proven**: yes", "![](http://x.example/a.png)", "", "a`b``c")
    (line,) = asked.page({"na*me": values}, "en").splitlines()
    name, _, shown = line.partition(": ")
    assert name == r"- **Values of na\*me**"
    assert shown == '`x - **Proven**: yes`, `![](http://x.example/a.png)`, `""`, ``` a`b``c ```'
    many = asked.page({"user_id": [str(number) for number in range(60)]}, "en").replace("\\", "")
    assert "`49`, 10 more (see the run's parameters)" in many


def test_what_is_wrong_is_marked_on_the_page(manifest: Manifest) -> None:
    asked = restore_asked(plan(manifest), manifest, known(), {}, {}, asker())
    marked = [line for line in asked.page({}, "en").splitlines() if "⚠" in line]
    assert len(marked) == 1
    assert "Proven by a drill" in marked[0]


def shown(*, missing: int = 2, changed: int = 3) -> Shown:
    each = ShownTable(missing, changed, 28, NOW, ("audit",))
    return Shown("s1", "app", "restored_x", {"public.t": each, "public.u": ShownTable(0, 1, 5, NOW)})


def test_before_rows_go_back_their_difference_is_said(manifest: Manifest) -> None:
    proof = Proof.model_construct(snapshot_id=manifest.snapshot_id, proven_at=NOW)
    asked = put_back_asked(shown(), manifest, known(proof), asker(), overwrite=False)
    assert asked.question == "Put 2 rows back into public.t"
    assert facts(asked) == {
        "Snapshot": manifest.snapshot_id,
        "Taken": "11-16 Mon 12:02, 3 d 2 h old when this was asked",
        "Proven by a drill": "yes, 11-19 Thu 14:02; all parts were read within 6 d 1 h before this was asked",
        "Difference": "public.t: 2 missing, 3 differ, 28 equal, public.u: 0 missing, 1 differ, 5 equal",
        "Rows that differ": "stay as they are",
        "Rows that change meanwhile": "stay as they are",
        "Target": "connection mindguard_restore, database app",
        "Triggers that fire": "public.t.audit",
        "Requested by": "yu.li",
    }
    assert not any(fact.wrong for fact in asked.facts)


def test_overwriting_stands_out(manifest: Manifest) -> None:
    proof = Proof.model_construct(snapshot_id=manifest.snapshot_id, proven_at=NOW)
    asked = put_back_asked(shown(), manifest, known(proof), asker("zh"), overwrite=True)
    assert asked.question == "写回线上表 public.t、public.u：补回 2 行，覆盖 4 行"
    assert [fact.value for fact in asked.facts if fact.wrong] == [
        "恢复为快照中的值；现在的值保留在 schema restored_x 中"
    ]
    then = restore_asked(plan(manifest), manifest, known(), {}, {}, asker(), then="changed")
    assert facts(then)["Then"] == "asks again before missing rows are put back and changed ones overwritten"
