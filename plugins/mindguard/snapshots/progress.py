"""The callback through which long-running work reports its steps."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]
"""A function that is called with one line of text after each step."""
