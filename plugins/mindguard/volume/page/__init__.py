"""The page of a day's checks: what is kept of it, and how it is drawn."""
