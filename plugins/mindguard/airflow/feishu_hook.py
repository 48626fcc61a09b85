"""Airflow's view of the `feishu` connection type: its form and its test button."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import BaseHook

from mindguard.airflow.clients import record_of
from mindguard.errors import MindGuardError
from mindguard.feishu.transport import Transport, transport_from_connection
from mindguard.settings import load_settings


class FeishuHook(BaseHook):
    """Reads a `feishu` connection; for its fields see `transport_from_connection`."""

    conn_name_attr = "feishu_conn_id"
    default_conn_name = "mindguard_feishu"
    conn_type = "feishu"
    hook_name = "Feishu / Lark bot"

    def __init__(self, feishu_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.feishu_conn_id = feishu_conn_id

    def get_conn(self) -> Transport:
        """What sends by this connection. Raises MindGuardError when it is not usable."""
        found = record_of(self.feishu_conn_id, self.get_connection(self.feishu_conn_id))
        settings = load_settings()
        return transport_from_connection(found, locale=settings.locale, zone=settings.zone)

    def test_connection(self) -> tuple[bool, str]:
        """Send one line to the group: a custom bot has no other way to be tested."""
        now = datetime.now(UTC)
        try:
            self.get_conn().say("MindGuard 告警连接测试 / connection test", uuid=now.isoformat(), now=now)
        except MindGuardError as error:
            return False, str(error)
        return True, "sent one test line to the group"
