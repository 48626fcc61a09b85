"""How runs of Airflow's DAGs become findings and recoveries."""
