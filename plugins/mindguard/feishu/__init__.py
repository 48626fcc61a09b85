"""Feishu: cards (pure), the client that sends them, and the Airflow notifier."""
