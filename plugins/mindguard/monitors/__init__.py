"""Freshness and service levels: one small measurement a minute, thresholds, a status."""
