"""Finds the files that come with the package, SQL and the shipped settings, and the settings that count instead."""

from __future__ import annotations

import os
from pathlib import Path


def include_dir() -> Path:
    """Return the folder with `sql/` and `config/`, inside an installed package or at the root of a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "include"
    return installed if installed.is_dir() else package.parents[1] / "include"


def settings_path() -> Path:
    """Return the file that `MINDGUARD_SETTINGS` names, or the file that comes with the package."""
    named = os.environ.get("MINDGUARD_SETTINGS")
    return Path(named) if named else packaged_settings()


def packaged_settings() -> Path:
    """Return the file that comes with the package."""
    return include_dir() / "config" / "mindguard.yaml"
