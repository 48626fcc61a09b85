"""Event volume: is a key event suddenly rarer than it should be, and why."""
