"""How long work says what it has done."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]
"""Told one line for each step that is done."""
