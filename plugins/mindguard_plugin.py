"""Registers MindGuard Ops with Airflow. The package itself is `plugins/mindguard/`."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin


class MindGuardPlugin(AirflowPlugin):
    """Shows in Airflow's list of plugins that the package is in place, and that this folder is read."""

    name = "mindguard"
