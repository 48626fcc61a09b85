"""Snapshots: take, verify, restore and expire them. docs/adr has the decisions behind the format."""
