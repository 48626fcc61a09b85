"""Everything that imports Airflow: its connections, callbacks, notifiers and defaults."""
