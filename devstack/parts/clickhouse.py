"""The ClickHouse front as a supervised part."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from devstack.parts.base import Part, http_status, python_path

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client as ClickHouseClient


class ClickHouseFront(Part):
    """The ClickHouse engine behind its HTTP protocol."""

    name = "clickhouse"
    port_names = ("clickhouse",)
    login = "mindguard"

    def command(self) -> list[str]:
        """Return the program and its arguments."""
        module = [sys.executable, "-m", "devstack.clickhouse.front"]
        password = ["--user", self.login, "--password-env", "MINDGUARD_CLICKHOUSE_PASSWORD"]
        return [*module, "--path", str(self.folder / "data"), "--port", str(self.port), *password]

    def environment(self) -> dict[str, str]:
        """Return the environment with the password."""
        own = {"MINDGUARD_CLICKHOUSE_PASSWORD": self.password, "PYTHONPATH": python_path()}
        return super().environment() | own

    @property
    def password(self) -> str:
        """The generated password."""
        return self.state.secret("clickhouse")

    def client(self) -> ClickHouseClient:
        """Return a new client with every right."""
        import clickhouse_connect

        return clickhouse_connect.get_client(
            host="127.0.0.1", port=self.port or 0, username=self.login, password=self.password
        )

    def probe(self) -> bool:
        """Return whether the front answers a ping."""
        return http_status(f"http://127.0.0.1:{self.port}/ping") == 200
