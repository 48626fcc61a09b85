"""Alerts: what happened, how bad it is, and who must know. How messages are carried is not known here."""
