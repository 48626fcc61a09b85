"""Getting rows back: whole snapshots, tables or rows, and the drill that proves it."""
