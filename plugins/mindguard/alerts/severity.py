"""How bad it is and how soon someone must answer.

Source: operations document, section 4.1 (告警分级). Data loss joins P0 and an unproven snapshot P1, since the
document's section 5.4 wants the backups but grades no loss of them.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from mindguard.texts import Locale


class Severity(StrEnum):
    """P0 (worst) to P2; compares and prints as its name."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"

    @property
    def respond_within(self) -> timedelta:
        """Time from the event until a person must have taken it: 15 minutes, 30 minutes, 4 hours."""
        return timedelta(minutes=_RESPOND_WITHIN_MINUTES[self])

    def label(self, locale: Locale) -> str:
        """One word for how urgent it is."""
        return _LABELS[self][locale]

    def meaning(self, locale: Locale) -> str:
        """What belongs in this class, for a person who has not read the operations document."""
        return _MEANINGS[self][locale]


_RESPOND_WITHIN_MINUTES = {Severity.P0: 15, Severity.P1: 30, Severity.P2: 240}

_LABELS: dict[Severity, dict[Locale, str]] = {
    Severity.P0: {"zh": "紧急", "en": "critical"},
    Severity.P1: {"zh": "重要", "en": "warning"},
    Severity.P2: {"zh": "提示", "en": "info"},
}

_MEANINGS: dict[Severity, dict[Locale, str]] = {
    Severity.P0: {"zh": "全量不可用、SOS 失败、数据丢失", "en": "all users down, SOS failing, data loss"},
    Severity.P1: {
        "zh": "错误率超 5%、风险响应超时、快照未通过恢复验证",
        "en": "errors above 5 %, risk response late, snapshot not proven",
    },
    Severity.P2: {"zh": "指标趋势异常、单模块降级", "en": "trend anomaly, one module degraded"},
}
