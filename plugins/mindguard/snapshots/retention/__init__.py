"""How long snapshots are kept, and how they are removed."""
