"""Every text of an alert that a card shows is cleaned, also the texts of fields that are added later."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime

import pytest

from mindguard.alerts.alert import Alert
from mindguard.alerts.severity import Severity
from mindguard.feishu.safe import Cleaner

SECRET = "s3cr3t-of-the-hook"
PLAIN = Alert("title", Severity.P1, "subject", datetime(2026, 11, 19, tzinfo=UTC), "fingerprint")

# Its token is what permits the click, and this package makes the address: it is shown as it is.
SHOWN_AS_IT_IS = {"acknowledge_url"}

TEXTS = sorted({each.name for each in fields(Alert) if each.type == "str"} - SHOWN_AS_IT_IS)


def test_the_texts_are_found() -> None:
    assert {"title", "subject", "detail", "escalated_to"} <= set(TEXTS)


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_of_an_alert_is_masked_and_printable(name: str) -> None:
    hostile = replace(PLAIN, **{name: f"a {SECRET} \x00 \x1b[31m"})  # type: ignore[arg-type]
    cleaned = getattr(Cleaner((SECRET,)).alert(hostile), name)
    assert SECRET not in cleaned
    assert cleaned.isprintable()
