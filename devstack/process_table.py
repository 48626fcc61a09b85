"""The processes behind the status file of a stack: their table, and the removal of what a crashed supervisor left."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

from devstack.process import descendants
from devstack.state import State, find_process


def process_table(state: State) -> list[dict[str, Any]]:
    """Measure the rows of `devstack status` now.

    Returns:
        One row for each part that the last supervisor published; the keys are in `_measure`.
    """
    published = state.read_status()
    alive = find_process(published.get("supervisor", {})) is not None
    return [_measure(row, supervised=alive) for row in published.get("parts", [])]


def addresses(state: State) -> dict[str, str]:
    """Return the addresses of a stack's pages by title; none if the stack has stopped."""
    published = state.read_status()
    return dict(published.get("urls", {})) if find_process(published.get("supervisor", {})) else {}


def _measure(row: dict[str, Any], *, supervised: bool) -> dict[str, Any]:
    leash = find_process(row["leash"])
    members = descendants(leash.pid) if leash else []
    rss, pss = _memory([leash, *members] if leash else [])
    state = row["state"]
    if not supervised or (state in {"starting", "ready"} and not leash):
        state = "failed" if state == "failed" else "stopped"
    return {
        "part": row["part"],
        "pid": members[0].pid if members else None,
        "port": row["port"],
        "state": state,
        "uptime_s": round(time.time() - row["started_at"], 1) if leash and row["started_at"] else None,
        "rss_mb": round(rss / 1e6, 1),
        "pss_mb": round(pss / 1e6, 1),
        "processes": len(members),
        "restarts": row["restarts"],
        "log": row["log"],
    }


def _memory(processes: Iterable[psutil.Process]) -> tuple[int, int]:
    """Add up resident memory in bytes: the plain sum, and the sum in which shared pages count once."""
    rss = pss = 0
    for process in processes:
        try:
            plain = process.memory_info().rss
            rss += plain
            pss += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied:
            pss += plain
    return rss, pss


def clean_up_leftovers(state: State) -> None:
    """Kill the processes that a crashed supervisor left: those of its sessions that work in this state folder."""
    leashes = [row["leash"] for row in state.read_status().get("parts", []) if row["leash"]]
    sessions = {leash["pid"]: leash["created"] for leash in leashes}
    for process in psutil.process_iter():
        try:
            created = sessions.get(os.getsid(process.pid))
            if created is None or process.create_time() < created - 1:
                continue
            if Path(process.cwd()).is_relative_to(state.folder):
                process.kill()
                process.wait(5)
        except (psutil.Error, OSError):
            continue
