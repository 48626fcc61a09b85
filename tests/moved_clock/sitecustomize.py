"""What libfaketime leaves broken in Python; `tools/test_days.py` puts this folder on the path of every process.

Python sleeps until a moment of the monotonic clock. libfaketime subtracts the moved clock from that moment, and the
call fails. A `select` without files waits for a length of time instead. The S3 server is a static Go program, so no
library can move its clock: requests to it are signed with the true time, or it would refuse them as too old.
"""

from __future__ import annotations

import os
import select
import sys
import time
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

AHEAD_S = float(os.environ.get("FAKETIME") or 0)


def _sleep(seconds: float) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


class _SignatureClock(MetaPathFinder):
    """Gives botocore the true time for its signatures as soon as it is imported."""

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "botocore.auth":
            return None
        spec = PathFinder.find_spec(name, path)  # type: ignore[arg-type]
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def then_mend(module: ModuleType) -> None:
            import datetime

            run(module)

            def true_time(remove_tzinfo: bool = True) -> datetime.datetime:
                now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=AHEAD_S)
                return now.replace(tzinfo=None) if remove_tzinfo else now

            vars(module)["get_current_datetime"] = true_time

        spec.loader.exec_module = then_mend  # type: ignore[method-assign]
        return spec


if AHEAD_S:
    time.sleep = _sleep
    sys.meta_path.insert(0, _SignatureClock())
