"""Run tests on other days than today: the system's clock is moved by libfaketime for every process of a run.

What libfaketime leaves broken or does not reach is mended in `tests/moved_clock`.

The days are those on which code that counts days goes wrong. Each is an offset to the true clock and not a fixed
moment, so that all processes of a run agree, and the clock goes on.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

ROOT = Path(__file__).resolve().parents[1]
ZONE = ZoneInfo("Asia/Shanghai")

DAYS = {
    "monday": "2026-11-30 10:20",
    "saturday": "2026-12-05 10:20",
    "holiday": "2026-10-01 10:20",  # of China
    "31-december": "2026-12-31 10:20",
    "1-january": "2027-01-01 10:20",
    "29-february": "2028-02-29 10:20",
    "00:05": "2026-12-02 00:05",
    "23:55": "2026-12-02 23:55",
}
"""Name of a day → the moment in Asia/Shanghai at which its run begins."""


def library() -> Path | None:
    """Return libfaketime, or None where the package `faketime` is not installed."""
    folders = (
        Path("/usr/lib/x86_64-linux-gnu"),
        Path("/usr/lib/aarch64-linux-gnu"),
        Path("/usr/lib64"),
        Path("/usr/lib"),
    )
    return next((each for folder in folders if (each := folder / "faketime/libfaketime.so.1").is_file()), None)


def mends(folder: Path) -> Path | None:
    """Compile `tests/moved_clock/mends.c` into this folder; return None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    made = folder / "mends.so"
    source = str(ROOT / "tests/moved_clock/mends.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(made), source, "-ldl"], check=True)
    folder.chmod(0o755)  # PostgreSQL runs as another user
    return made


def environment(moment: str, *preload: Path) -> dict[str, str]:
    """Return the environment in which it is now `moment` in Asia/Shanghai."""
    ahead = datetime.strptime(moment, "%Y-%m-%d %H:%M").replace(tzinfo=ZONE) - datetime.now(UTC)
    path = os.pathsep.join([str(ROOT / "tests/moved_clock"), str(ROOT), str(ROOT / "plugins")])
    return os.environ | {
        "LD_PRELOAD": os.pathsep.join(map(str, preload)),
        "FAKETIME": f"{ahead.total_seconds():+.0f}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",  # its name in older versions
        "FAKETIME_DONT_RESET": "1",
        "NO_FAKE_STAT": "1",
        "PYTHONPATH": path,
    }


def run(names: Iterable[str], arguments: list[str], folder: Path) -> int:
    """Run pytest with `arguments` on each day; return 1 if a day failed. `folder` is a temporary one."""
    faketime = library()
    mended = mends(folder)
    if faketime is None or mended is None:
        print("skipped: libfaketime or a C compiler is not installed (Debian: apt-get install faketime gcc libc6-dev)")
        return 0
    failed = []
    for name in names:
        moment = DAYS.get(name, name.replace("T", " "))
        print(f"=== {name}: {moment} in Shanghai", flush=True)
        command = [sys.executable, "-m", "pytest", *arguments]
        if subprocess.run(command, env=environment(moment, mended, faketime), cwd=ROOT, check=False).returncode:
            failed.append(name)
    print(f"failed on: {', '.join(failed)}" if failed else "passed on every day")
    return int(bool(failed))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", default=" ".join(DAYS), help=f"of {', '.join(DAYS)}; or YYYY-MM-DDTHH:MM in Shanghai")
    options, arguments = parser.parse_known_args()
    names = options.days.split()
    for name in names:
        if name not in DAYS:
            try:
                datetime.strptime(name, "%Y-%m-%dT%H:%M")  # noqa: DTZ007  the zone is Shanghai
            except ValueError:
                parser.error(f"there is no day {name!r}; known are {', '.join(DAYS)}, and YYYY-MM-DDTHH:MM")
    with tempfile.TemporaryDirectory(prefix="mindguard-days-") as folder:
        return run(names, arguments, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
