"""Registers MindGuard Ops where `plugins_folder` names this folder and the package is not installed.

An installed package registers itself, and Airflow reports a plugin that it finds twice as an error.
"""

from __future__ import annotations

from importlib.metadata import entry_points

if "mindguard" not in entry_points(group="airflow.plugins").names:
    from mindguard.web.plugin import MindGuardPlugin as MindGuardPlugin
