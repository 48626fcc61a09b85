"""Turns runs of Airflow's DAGs into findings and recoveries."""
