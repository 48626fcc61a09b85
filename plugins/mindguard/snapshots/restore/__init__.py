"""Restore whole snapshots, tables or rows, and prove in a drill that snapshots can be restored."""
