"""The command line of the embedded stack.

`python -m devstack run` shows everything at work, `up` only starts the stack, `status` shows its process table, and
`exec` runs a command with the stack's connections.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from devstack.process_table import addresses, process_table
from devstack.stack import ALL_PARTS, ENVIRONMENT, Stack
from devstack.state import StackError, State


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments; those of the process by default.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m devstack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start everything and stay until Ctrl-C")
    up.add_argument("--no-airflow", action="store_true", help="do not start Airflow")
    up.add_argument("--only", nargs="+", choices=ALL_PARTS, default=ALL_PARTS, help="start only these parts")
    run = commands.add_parser("run", help="start everything, load sample data, run the DAGs, print a summary")
    run.add_argument("--once", action="store_true", help="stop after the summary")
    run.add_argument("--rows", type=int, default=1_000_000, help="sample rows over the three tables (%(default)s)")
    run.add_argument("--events", type=int, default=5_000_000, help="sample events in ClickHouse (%(default)s)")
    state = commands.add_parser("status", help="show the process table; the exit status is 0 when all parts are ready")
    state.add_argument("--json", action="store_true", help="print JSON instead of a table")
    execute = commands.add_parser("exec", help="run a command with the connections of the running stack")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND …", help="for instance: mindguard doctor")
    for command in (up, run, state, execute):
        command.add_argument("--state", type=Path, default=Path(".local"), help="state folder (%(default)s)")
    arguments = parser.parse_args(argv)
    if arguments.command in {"up", "run"}:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
    try:
        status = {"up": _up, "run": _run, "status": _status, "exec": _exec}[arguments.command](arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader has closed the pipe (`| head -1`). Python's own flush at exit must not fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except StackError as error:
        print(f"devstack: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("devstack: interrupted; everything is stopped", file=sys.stderr)
        return 130


def _run(arguments: argparse.Namespace) -> int:
    from devstack.run import run as run_everything  # takes two seconds to import, which `status` need not wait for

    return run_everything(arguments.state, rows=arguments.rows, events=arguments.events, once=arguments.once)


def _exec(arguments: argparse.Namespace) -> int:
    published = arguments.state / ENVIRONMENT
    if not published.exists():
        raise StackError(f"nothing has been started in {arguments.state}; run `make run` first")
    if not arguments.argv:
        raise StackError("exec needs a command, for instance: mindguard doctor")
    environment = os.environ | json.loads(published.read_text())
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    try:
        os.execvpe(arguments.argv[0], arguments.argv, environment)
    except FileNotFoundError:
        raise StackError(f"there is no command {arguments.argv[0]}") from None


def _up(arguments: argparse.Namespace) -> int:
    if not arguments.no_airflow and "postgres" not in arguments.only:
        raise StackError("Airflow needs postgres: add it to --only, or give --no-airflow as well")
    began = time.monotonic()
    with Stack(arguments.state, airflow=not arguments.no_airflow, parts=arguments.only) as stack:
        print(_table(process_table(stack.state)))
        print(f"ready in {time.monotonic() - began:.1f} s; Ctrl-C stops everything")
        _print_addresses(stack.state)
        sys.stdout.flush()
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("stopping", flush=True)
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End the program in the same way after Ctrl-C, after `kill` and after the terminal was closed."""
    raise KeyboardInterrupt


def _status(arguments: argparse.Namespace) -> int:
    state = State(arguments.state)
    rows = process_table(state)
    if arguments.json:
        print(json.dumps(rows, indent=1))
    elif rows:
        print(_table(rows))
        _print_addresses(state)
    else:
        print(f"nothing has been started in {arguments.state}")
    return 0 if rows and all(row["state"] == "ready" for row in rows) else 1


def _print_addresses(state: State) -> None:
    urls = addresses(state)
    for name, url in urls.items():
        print(f"  {name:<16} {url}")
    if "Airflow" in urls:
        print(f"  {'Airflow login':<16} admin, password: airflow:admin in {state.folder / 'secrets.json'}")


def _table(rows: list[dict[str, Any]]) -> str:
    titles = ("part", "pid", "port", "state", "uptime", "memory", "restarts", "log")
    lines = [
        (
            row["part"],
            row["pid"] or "-",
            row["port"] or "-",
            row["state"],
            "-" if row["uptime_s"] is None else f"{row['uptime_s']:.0f} s",
            f"{row['pss_mb']:.0f} MB",
            row["restarts"],
            row["log"],
        )
        for row in rows
    ]
    total = sum(row["pss_mb"] for row in rows)
    lines.append(("total", "", "", "", "", f"{total:.0f} MB", "", ""))
    cells = [[str(cell) for cell in line] for line in (titles, *lines)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(titles))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


if __name__ == "__main__":
    sys.exit(main())
