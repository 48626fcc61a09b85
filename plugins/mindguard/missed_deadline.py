"""The public address of `report_missed_deadline`."""

from mindguard.airflow.deadline_callback import report_missed_deadline as report_missed_deadline
