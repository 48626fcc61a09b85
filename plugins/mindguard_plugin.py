"""Registers MindGuard Ops with Airflow. The package itself is `plugins/mindguard/`."""

from __future__ import annotations

from typing import ClassVar
from urllib.parse import urlsplit

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk.configuration import conf

from mindguard.web import PREFIX, pages


class MindGuardPlugin(AirflowPlugin):
    """The pages for incidents and acknowledgement, in Airflow's API server and its menu."""

    name = "mindguard"
    fastapi_apps: ClassVar = [{"app": pages, "url_prefix": PREFIX, "name": "MindGuard"}]
    external_views: ClassVar = [
        {
            "name": "Incidents 告警事件",
            "href": f"{urlsplit(conf.get('api', 'base_url', fallback='')).path.rstrip('/')}{PREFIX}/incidents",
            "destination": "nav",
            "category": "browse",
            "url_route": "incidents",
        }
    ]
