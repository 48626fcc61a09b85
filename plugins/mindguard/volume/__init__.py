"""Event volume: find key events that are suddenly rarer than they should be, and why."""
