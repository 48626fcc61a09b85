"""Finds the files that come with the package: SQL and the shipped settings."""

from __future__ import annotations

from pathlib import Path


def include_dir() -> Path:
    """Return the folder with `sql/` and `config/`, inside an installed package or at the root of a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "include"
    return installed if installed.is_dir() else package.parents[1] / "include"
