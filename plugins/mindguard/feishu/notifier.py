"""The public address of the notifiers."""

from mindguard.airflow.notifier import ApprovalNotifier as ApprovalNotifier
from mindguard.airflow.notifier import FeishuNotifier as FeishuNotifier
from mindguard.airflow.notifier import RecoveryNotifier as RecoveryNotifier
