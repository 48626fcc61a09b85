"""Snapshots: take, publish, verify. See docs/adr for the decisions behind the format."""
