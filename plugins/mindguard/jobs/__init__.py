"""What a task of a DAG does, without Airflow: each module is one kind of run."""
