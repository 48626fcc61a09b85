"""The public address of the hook of the connection type `feishu`."""

from mindguard.airflow.feishu_hook import FeishuHook as FeishuHook
