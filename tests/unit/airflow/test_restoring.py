"""What the tasks of `restore_tables` do with what the command line says of the same work."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest

from mindguard.airflow import restoring
from mindguard.snapshots.restore import put_back
from mindguard.snapshots.restore.put_back import DifferenceVoid, PutBackRequest

CONTEXT: Any = {"params": {"put_back": "changed"}}
RESTORED = {"snapshot_id": "s", "tables": {"public.t": {}}, "schema": "back"}


def test_an_approval_that_is_void_names_the_task_to_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    void = DifferenceVoid("public.t has just been changed", hint="look at the difference again")
    putting = MagicMock(side_effect=void)
    monkeypatch.setattr(restoring, "_job", MagicMock())
    monkeypatch.setattr(put_back, "put_back", putting)
    with pytest.raises(DifferenceVoid, match=r"just been changed – clear the task plan_put_back"):
        restoring.put_back(CONTEXT, RESTORED, {"shown_at": {"public.t": "2026-11-24T03:00:00+00:00"}})
    request: PutBackRequest = putting.call_args.args[2]
    assert request.asked, "what somebody is asked to approve is kept apart from what others look at"
