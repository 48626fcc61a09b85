"""Airflow's hook for the `feishu` connection type: its form and its test button."""

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
        """Return the transport of this connection.

        Raises:
            MindGuardError: the connection cannot be used.
        """
        found = record_of(self.feishu_conn_id, self.get_connection(self.feishu_conn_id))
        settings = load_settings()
        return transport_from_connection(found, locale=settings.locale, zone=settings.zone)

    def test_connection(self) -> tuple[bool, str]:
        """Send one line to the group, since a custom bot cannot be tested in another way."""
        now = datetime.now(UTC)
        try:
            self.get_conn().say("MindGuard 告警连接测试 / connection test", uuid=now.isoformat(), now=now)
        except MindGuardError as error:
            return False, str(error)
        return True, "sent one test line to the group"
