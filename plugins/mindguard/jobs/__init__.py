"""The work that the tasks of the DAGs do, without Airflow: each module is one kind of run."""
