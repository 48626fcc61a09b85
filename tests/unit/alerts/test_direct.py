"""What was reported without the incident store: kept privately, within bounds, and never at the cost of the alert."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, create_autospec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindguard.alerts import direct, pipeline
from mindguard.alerts.alert import Alert, Fact
from mindguard.alerts.direct import Spool, Told, Unstored
from mindguard.alerts.finding import Finding
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.outbox.sender import Sender
from mindguard.alerts.outbox.transport import Transport
from mindguard.alerts.pipeline import Reported
from mindguard.alerts.severity import Severity
from mindguard.database.session import StoreUnavailable
from tests.incidents import MINUTE, NOW, finding, mapped_failure

TOLD = Told(NOW, "om_1")


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


class Group:
    """Collects what was sent; `updates` says whether cards can change."""

    def __init__(self, *, updates: bool) -> None:
        self.updates = updates
        self.sent: list[Alert] = []
        self.changed: list[Alert] = []
        self.error: Exception | None = None
        self.transport = create_autospec(Transport, instance=True, updates=updates)
        self.transport.send.side_effect = self._send
        self.transport.update.side_effect = self._update

    def _send(self, alert: Alert, **_: Any) -> Any:
        if self.error:
            raise self.error
        self.sent.append(alert)
        return SimpleNamespace(message_id="om_1" if self.updates else None, form="card")

    def _update(self, message_id: str, alert: Alert, **_: Any) -> Any:
        assert message_id == "om_1"
        self.changed.append(alert)
        return SimpleNamespace(message_id=message_id, form="card")


def report(spool: Spool, group: Group, *findings: Finding, unstored: tuple[Unstored, ...] = ()) -> Reported:
    def away() -> Any:
        raise StoreUnavailable("the store is away")

    return pipeline.store_and_deliver(
        findings,
        [],
        store=away,
        transport=lambda: group.transport,
        sender=create_autospec(Sender),
        on_duty=lambda *_: (),
        ladders={},
        locale="en",
        now=NOW,
        budget_s=5,
        spool=spool,
        unstored=unstored,
    )


def without_error(known: Finding) -> Finding:
    return replace(known, alert=replace(known.alert, facts=(Fact("error", "not known"),), error_unknown=True))


def test_what_was_sent_is_kept_for_its_owner_alone(spool: Spool, tmp_path: Path) -> None:
    group = Group(updates=True)
    failure = finding(value="ValueError: x", occurrence="run 1", about=NOW - MINUTE)
    (result,) = report(spool, group, failure).direct
    assert spool.all() == [result] == [Unstored(failure, Told(NOW, "om_1", "card"))]
    assert stat.S_IMODE((tmp_path / "spool").stat().st_mode) == 0o700
    assert [stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "spool").iterdir()] == [0o600]
    spool.remove(result)
    assert spool.all() == []


@pytest.mark.parametrize("updates", [True, False])
def test_an_event_that_was_sent_is_not_sent_again(spool: Spool, *, updates: bool) -> None:
    group = Group(updates=updates)
    failure = finding(value="ValueError: x", occurrence="run 1")
    for reported in (failure, failure, without_error(failure)):
        report(spool, group, reported)
    assert (len(group.sent), group.changed) == (1, [])
    (kept,) = spool.all()
    assert kept.finding == failure
    report(spool, group, replace(failure, occurrence="run 2"))
    assert len(group.sent) == 2


@pytest.mark.parametrize("updates", [True, False])
def test_an_error_that_comes_late_is_shown_once(spool: Spool, *, updates: bool) -> None:
    group = Group(updates=updates)
    failure = finding(value="ValueError: x", occurrence="run 1")
    for reported in (without_error(failure), failure, failure):
        report(spool, group, reported)
    shown = [alert.facts[0].value for alert in (*group.sent, *group.changed)]
    assert shown == ["not known", "ValueError: x"]
    assert len(group.changed) == int(updates)
    (kept,) = spool.all()
    assert (kept.finding, bool(kept.told)) == (failure, True)


def test_each_instance_of_a_mapped_task_is_kept_and_a_worse_one_is_told(spool: Spool) -> None:
    group = Group(updates=False)
    for index, severity in ((0, Severity.P2), (1, Severity.P2), (2, Severity.P0)):
        report(spool, group, mapped_failure(index, error=f"error {index}", severity=severity))
    assert [alert.severity for alert in group.sent] == [Severity.P2, Severity.P0]
    (kept,) = spool.all()
    assert kept.finding.alert.severity == Severity.P0
    assert kept.finding.alert.instances
    assert [(each.index, each.error) for each in kept.finding.alert.instances.failed] == [
        (0, "error 0"),
        (1, "error 1"),
        (2, "error 2"),
    ]


def failures_of(indexes: Sequence[int], error: str) -> Finding:
    """Return the finding for instances of a mapped task that all fail with the same error."""
    one = mapped_failure(indexes[0], error=error)
    assert one.alert.instances
    (first,) = one.alert.instances.failed
    failed = tuple(replace(first, index=index) for index in indexes)
    return replace(one, alert=replace(one.alert, instances=replace(one.alert.instances, failed=failed)))


def test_a_thousand_instances_with_one_long_error_are_kept(spool: Spool) -> None:
    """A record in which each instance repeats its error would be too large."""
    group = Group(updates=True)
    for indexes in (range(1, 1_000), range(1)):
        report(spool, group, failures_of(indexes, "ValueError: " + "长" * 2_000))
    (kept,) = spool.all()
    instances = kept.finding.alert.instances
    assert instances
    assert sorted(each.index for each in instances.failed) == list(range(1_000))
    assert len({each.error for each in instances.failed}) == 1
    assert len(kept.to_text().encode()) < 20_000
    assert len(group.sent) == 1


def test_the_longest_errors_of_a_mapped_task_are_kept(spool: Spool) -> None:
    for number in range(7):
        failure = failures_of(range(number, 1_000, 7), f"{number} " + "😀" * 2_000)
        failure = replace(failure, alert=replace(failure.alert, detail="😀" * 10_000))
        report(spool, Group(updates=True), failure)
    (kept,) = spool.all()
    assert kept.finding.alert.instances
    assert len(kept.finding.alert.instances.failed) == 1_000


def test_what_neither_the_store_nor_feishu_took_is_kept_with_its_error(spool: Spool) -> None:
    group = Group(updates=True)
    group.error = RuntimeError("Feishu is away")
    failure = finding(value="ValueError: x", occurrence="run 1")
    with pytest.raises(RuntimeError, match="Feishu is away"):
        report(spool, group, failure)
    assert spool.all() == [Unstored(failure)]
    group.error = None
    report(spool, group, without_error(failure))
    assert [alert.facts[0].value for alert in group.sent] == ["ValueError: x"]


def test_what_the_task_kept_in_its_record_is_sent_if_nobody_was_told(spool: Spool) -> None:
    group = Group(updates=True)
    told, untold = finding("told", occurrence="1"), finding("untold", occurrence="1")
    report(spool, group, unstored=(Unstored(told, TOLD), Unstored(untold)))
    assert [alert.subject for alert in group.sent] == ["untold"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_a_disk_that_takes_nothing_costs_no_alert(
    number: int, spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(direct.os, "open", broken)
    group = Group(updates=True)
    (result,) = report(spool, group, finding(occurrence="run 1")).direct
    assert result.told
    assert len(group.sent) == 1
    assert spool.all() == []
    assert os.strerror(number) in caplog.text


def test_a_folder_that_others_may_write_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.mkdir(mode=0o700)
    Spool(folder).keep(Unstored(finding(), TOLD))
    folder.chmod(0o777)
    assert Spool(folder).all() == []
    Spool(folder).keep(Unstored(finding("other"), TOLD))
    assert len(list(folder.iterdir())) == 1
    (tmp_path / "linked").symlink_to(folder)
    assert Spool(tmp_path / "linked").all() == []


def test_number_size_and_age_are_limited(spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "_MOST_FILES", 2)
    long = finding("long", value="v" * 10_000_000)
    long = replace(long, alert=replace(long.alert, detail="d" * 10_000_000))
    for each in (long, finding("b", at=NOW + MINUTE), finding("c")):
        spool.keep(Unstored(each, TOLD))
    assert [each.finding.alert.subject for each in spool.all()] == ["long", "b"]
    files = list((tmp_path / "spool").iterdir())
    assert sum(each.stat().st_size for each in files) < 20_000
    old = files[0].stat().st_mtime - timedelta(days=8).total_seconds()
    for each in files:
        os.utime(each, (old, old))
    assert spool.all() == []
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"alert": 1}', b"\xff\x00", b"[" * 50_000])
def test_a_damaged_file_hides_no_other(content: bytes, spool: Spool, tmp_path: Path) -> None:
    spool.keep(Unstored(finding(), TOLD))
    (tmp_path / "spool" / "0.json").write_bytes(content)
    assert spool.all() == [Unstored(finding(), TOLD)]
    assert not (tmp_path / "spool" / "0.json").exists()


@given(st.text(), st.text(), st.text(), st.text())
def test_whatever_a_finding_says_is_kept(title: str, value: str, occurrence: str, detail: str) -> None:
    known = finding(value=value, occurrence=occurrence)
    unstored = Unstored(replace(known, alert=replace(known.alert, title=title, detail=detail)), TOLD)
    kept = Unstored.from_text(unstored.to_text())
    assert kept.finding.occurrence == unstored.finding.occurrence
    assert Unstored.from_text(kept.to_text()) == kept


def test_one_finding_that_the_store_refuses_keeps_no_other_from_it(spool: Spool) -> None:
    for each in ("bad", "good"):
        spool.keep(Unstored(finding(each), TOLD))

    def take(unstored: Unstored, **_: Any) -> Any:
        if unstored.finding.alert.subject == "bad":
            raise ValueError("it cannot be stored")
        return unstored.finding.alert.subject

    store = create_autospec(IncidentStore, instance=True, database=MagicMock())
    store.adopt.side_effect = take
    assert pipeline.adopt(store, spool, now=NOW) == ["good"]
    assert [each.finding.alert.subject for each in spool.all()] == ["bad"]
    store.database.session.side_effect = StoreUnavailable("the store is away")
    with pytest.raises(StoreUnavailable):
        pipeline.adopt(store, spool, now=NOW)


def test_secrets_are_not_kept() -> None:
    assert "hunter22" not in Unstored(finding(value="password=hunter22")).to_text()
