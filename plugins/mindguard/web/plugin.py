"""Registers the pages with Airflow."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk.configuration import conf

from mindguard.web import PREFIX, pages

_PAGES = f"{urlsplit(conf.get('api', 'base_url', fallback='')).path.rstrip('/')}{PREFIX}"


def _in_menu(name: str, page: str) -> dict[str, Any]:
    return {"name": name, "href": f"{_PAGES}/{page}", "destination": "nav", "category": "browse", "url_route": page}


class MindGuardPlugin(AirflowPlugin):
    """The pages for incidents, acknowledgement and data checks, in Airflow's API server and its menu."""

    name = "mindguard"
    fastapi_apps = [{"app": pages, "url_prefix": PREFIX, "name": "MindGuard"}]  # noqa: RUF012 - as Airflow declares it
    external_views = [  # noqa: RUF012
        _in_menu("Incidents 告警事件", "incidents"),
        _in_menu("Data checks 数据检查", "reports"),
        _in_menu("Doctor 连接体检", "doctor"),
    ]
