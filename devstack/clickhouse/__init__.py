"""ClickHouse for the embedded stack: the chDB engine and the HTTP front that serves it."""
