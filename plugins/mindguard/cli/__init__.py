"""The `mindguard` command, with one module for each group of commands. None of them needs Airflow."""

from mindguard.cli.root import app as app
from mindguard.cli.root import main as main
