"""How long-running work reports its steps."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]
"""Called with one line for each step that is done."""
