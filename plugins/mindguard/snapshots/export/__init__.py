"""Take a snapshot: from the source's tables to parts and a manifest."""
