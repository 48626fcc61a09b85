"""The page of a day's checks: its stored content, and its rendering."""
