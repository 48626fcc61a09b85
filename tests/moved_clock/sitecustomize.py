"""Move the clocks that libfaketime cannot reach; `tools/test_days.py` puts this folder on the path of every process.

Two engines do not ask the C library for the time: the S3 server is a static Go program, and ClickHouse asks the kernel.
Both keep the true time, which is translated on its way to and from them.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

RETAIN_UNTIL = "x-amz-object-lock-retain-until-date"
AHEAD = timedelta(seconds=float(os.environ.get("FAKETIME") or 0))


def sign_with_true_time(module: ModuleType) -> None:
    """botocore.auth: the S3 server would refuse requests of another day."""

    def true_time(remove_tzinfo: bool = True) -> datetime:
        now = datetime.now(UTC) - AHEAD
        return now.replace(tzinfo=None) if remove_tzinfo else now

    vars(module)["get_current_datetime"] = true_time


def is_true_time(at: datetime) -> bool:
    now = datetime.now(UTC)
    return abs(at - (now - AHEAD)) < abs(at - now)


def move_times_of_answers(module: ModuleType) -> None:
    """botocore.endpoint: the S3 server tells its time, and those at which objects were written."""
    convert = module.convert_to_response_dict

    def moved(match: re.Match[bytes]) -> bytes:
        at = datetime.fromisoformat(match[2].decode()) + AHEAD
        return match[1] + at.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()

    def converted(*arguments: Any) -> Any:
        answer = convert(*arguments)
        headers = answer["headers"]
        for name, value in headers.items():
            if name.lower() == RETAIN_UNTIL:
                headers[name] = (datetime.fromisoformat(value) + AHEAD).isoformat()
        for name in ("date", "last-modified"):
            # A test's proxy writes a Date of its own, which is a moved one already.
            if name in headers and (name != "date" or is_true_time(parsedate_to_datetime(headers[name]))):
                headers[name] = format_datetime(parsedate_to_datetime(headers[name]) + AHEAD, usegmt=True)
        if isinstance(answer["body"], bytes):
            answer["body"] = re.sub(
                rb"(<(?:LastModified|Initiated|RetainUntilDate)>)(\d{4}-\d\d-\d\dT[\d:.]+Z)", moved, answer["body"]
            )
        return answer

    vars(module)["convert_to_response_dict"] = converted


def move_times_of_requests(module: ModuleType) -> None:
    """botocore.serialize: the S3 server is told until when it must keep an object."""
    serialise = module.Serializer._timestamp_iso8601

    def moved(self: Any, value: datetime) -> Any:
        return serialise(self, value - AHEAD)

    module.Serializer._timestamp_iso8601 = moved


def move_now_of_queries(module: ModuleType) -> None:
    """devstack.clickhouse.engine: now() and its like give the moved time."""
    query = module.Session._query
    seconds = round(AHEAD.total_seconds())

    def moved(self: Any, sql: str, *arguments: Any) -> Any:
        sql = re.sub(r"\bnow(?:64)?\([^()]*\)", rf"(\g<0> + INTERVAL {seconds} SECOND)", sql, flags=re.IGNORECASE)
        return query(self, sql, *arguments)

    module.Session._query = moved


MENDS: dict[str, Callable[[ModuleType], None]] = {
    "botocore.auth": sign_with_true_time,
    "botocore.endpoint": move_times_of_answers,
    "botocore.serialize": move_times_of_requests,
    "devstack.clickhouse.engine": move_now_of_queries,
}


def move_file_times(lstat: Callable[..., os.stat_result]) -> Callable[..., os.stat_result]:
    """The kernel writes them. Moved for all by libfaketime, they would make each compiled module out of date."""

    def moved(*arguments: Any, **options: Any) -> os.stat_result:
        found = lstat(*arguments, **options)
        facts = {name: getattr(found, name) for name in dir(found) if name.startswith("st_")}
        return os.stat_result(tuple(found), facts | {"st_mtime": found.st_mtime + AHEAD.total_seconds()})

    return moved


class Mending(MetaPathFinder):
    """Changes a module as soon as it has been imported."""

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        mend = MENDS.get(name)
        if mend is None:
            return None
        spec = PathFinder.find_spec(name, path)  # type: ignore[arg-type]
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def then_mend(module: ModuleType) -> None:
            run(module)
            mend(module)

        spec.loader.exec_module = then_mend  # type: ignore[method-assign]
        return spec


if AHEAD:
    os.lstat = move_file_times(os.lstat)
    sys.meta_path.insert(0, Mending())
