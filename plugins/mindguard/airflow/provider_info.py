"""The declaration of the installed distribution to Airflow: the `feishu` connection type and its form."""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the content of the entry point `apache_airflow_provider`; see Airflow's `provider_info.schema.json`."""
    return {
        "package-name": "mindguard-ops",
        "name": "MindGuard Ops",
        "description": "Proven snapshots, honest checks and Feishu alerts.",
        "connection-types": [
            {
                "connection-type": "feishu",
                "hook-class-name": "mindguard.airflow.feishu_hook.FeishuHook",
                "hook-name": "Feishu / Lark bot",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "schema", "extra"],
                    "relabeling": {"host": "Base address", "password": "Hook token or whole webhook address"},
                    "placeholders": {
                        "host": "https://open.feishu.cn/open-apis/bot/v2/hook/ (default)",
                        "password": "the last part of the webhook address; empty for an app",
                    },
                },
                "conn-fields": {
                    "secret": {
                        "label": "Signing secret",
                        "description": "签名校验 of the bot; empty if the bot does not check signatures.",
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "app_id": {
                        "label": "App: app_id",
                        "description": (
                            "Fill in the three fields of an app instead of the hook token: its cards change in "
                            "place, and it can call people. cli_…"
                        ),
                        "schema": {"type": ["string", "null"]},
                    },
                    "app_secret": {
                        "label": "App: app_secret",
                        "schema": {"type": ["string", "null"], "format": "password"},
                    },
                    "chat_id": {
                        "label": "App: chat_id",
                        "description": "The group that the app's bot is a member of. oc_…",
                        "schema": {"type": ["string", "null"]},
                    },
                },
            }
        ],
    }
