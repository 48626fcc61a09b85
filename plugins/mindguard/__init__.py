"""MindGuard Ops: snapshots, checks and alerts that keep MindGuard's data safe and fresh."""

__version__ = "0.1.0"
