"""Alerts: what happened, how bad it is, and who must hear of it; no transport in here."""
