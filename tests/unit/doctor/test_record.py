"""What the DAG `doctor` logs, keeps for its page and puts on its card."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from mindguard.connections import Connection
from mindguard.doctor import record
from mindguard.doctor.diagnosis import CHECKS, Diagnosis, tried
from mindguard.doctor.record import ConnectionsUnfit, examine_and_keep
from mindguard.doctor.texts import KINDS, Said
from mindguard.errors import ConnectionMissing
from mindguard.resources import include_dir
from mindguard.settings import Settings

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
FOUND = [
    Diagnosis("error", "mindguard_app", "pooler", Said("write_refused", error="no", remedy=Said("without_kms"))),
    Diagnosis("warn", "public.t", "not held", Said("unlogged")),
    Diagnosis("unused", "mindguard_kafka", "connection", Said("without_kafka")),
    Diagnosis("pass", "mindguard_app", "clock", Said("clocks_agree", seconds="0.1")),
]


def missing(conn_id: str) -> Connection:
    raise ConnectionMissing(conn_id)


@pytest.mark.parametrize(
    ("locale", "card", "lines"),
    [
        (
            "zh",
            "4 项检查中有 1 项错误：mindguard_app，连接池：no。去掉这个 KMS 密钥就能写入",
            [
                "mindguard_app，连接池：no",
                "public.t，快照不含：它是 unlogged 表",
                "没有监控用到 Kafka",
                "时钟相差不超过",
            ],
        ),
        (
            "en",
            "1 of 4 checks failed: mindguard_app, pooler: no – it accepts the write without this KMS key",
            [
                "mindguard_app, pooler: no",
                "public.t, not held: it is unlogged",
                "no monitor queries Kafka",
                "clocks agree",
            ],
        ),
    ],
)
def test_log_and_card_are_in_the_reader_s_language_and_levels_are_as_grave(
    locale: str, card: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.model_validate(
        {"snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]}, "locale": locale}
    )
    monkeypatch.setattr(record, "examine", lambda *_, **__: FOUND)
    logged: list[tuple[int, str]] = []
    with pytest.raises(ConnectionsUnfit) as raised:
        examine_and_keep(settings, missing, now=lambda: NOW, log=lambda level, line: logged.append((level, line)))
    assert card in str(raised.value)
    levels = [logging.ERROR, logging.WARNING, logging.INFO, logging.INFO]
    assert [level for level, _ in logged[:-1]] == levels
    assert logged[-1][0] == logging.WARNING, "that there is no page"
    assert all(line in said for line, (_, said) in zip(lines, logged, strict=False))


def test_what_is_missing_is_said_in_the_reader_s_language_with_where_to_add_it() -> None:
    def looked_up(*, in_airflow: bool) -> Iterator[Diagnosis]:
        if FOUND:
            raise ConnectionMissing("own", in_airflow=in_airflow)
        yield from FOUND

    (here,) = tried("releases", "connection", looked_up(in_airflow=False))
    (there,) = tried("releases", "connection", looked_up(in_airflow=True))
    assert here.text == "connection 'own' is not configured – set AIRFLOW_CONN_OWN"
    assert there.text.endswith("– add it in Airflow or its secrets backend, or set AIRFLOW_CONN_OWN")
    assert (
        there.within("zh").text
        == "没有配置连接 own。请在 Airflow 或它的密钥后端中添加，或设置环境变量 AIRFLOW_CONN_OWN"
    )


def test_programs_and_the_command_line_read_english() -> None:
    assert FOUND[3].as_dict() == {
        "status": "pass",
        "what": "mindguard_app",
        "check": "clock",
        "text": "clocks agree within 0.1 s",
    }
    assert FOUND[3].within("zh").as_dict()["text"] == "时钟相差不超过 0.1 秒"
    assert CHECKS.keys() >= {each.check for each in FOUND}


def test_every_kind_that_no_restore_brings_back_has_a_chinese_name() -> None:
    query = (include_dir() / "sql/postgres/select_unrestored.sql").read_text("utf-8")
    assert KINDS.keys() == set(re.findall(r"'([a-z ]+)' as kind", query))
