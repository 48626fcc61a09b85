"""Signed links: only those signed here are valid, each for a limited time and for its own incident."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindguard.alerts.acknowledgement import LinkInvalid, incident_of, sign
from mindguard.connections import Connection
from mindguard.errors import MindGuardError

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
SETTINGS: Any = SimpleNamespace(connections=SimpleNamespace(feishu="mindguard_feishu"))


def with_secret(secret: str, token: str = "hook-token") -> Any:
    return lambda conn_id: Connection(conn_id, "feishu", password=token, extra={"secret": secret})


OWN_BOT = with_secret("demo")


@given(st.integers(1, 2**63 - 1))
def test_a_link_names_its_incident_until_it_expires(number: int) -> None:
    token = sign(number, SETTINGS, OWN_BOT, expires=NOW + timedelta(hours=72))
    assert incident_of(token, SETTINGS, OWN_BOT, now=NOW + timedelta(hours=72)) == number
    with pytest.raises(LinkInvalid):
        incident_of(token, SETTINGS, OWN_BOT, now=NOW + timedelta(hours=72, seconds=1))


@given(st.integers(0, 58), st.sampled_from("ABCXYZabcxyz0189-_="))
def test_a_changed_link_is_not_valid(position: int, character: str) -> None:
    token = sign(7, SETTINGS, OWN_BOT, expires=NOW + timedelta(hours=72))
    changed = token[:position] + character + token[position + 1 :]
    if changed != token:
        with pytest.raises(LinkInvalid):
            incident_of(changed, SETTINGS, OWN_BOT, now=NOW)


@given(st.text(max_size=80))
def test_any_other_text_is_not_valid(text: str) -> None:
    with pytest.raises(LinkInvalid):
        incident_of(text, SETTINGS, OWN_BOT, now=NOW)


def test_another_bots_link_is_not_valid_and_the_secret_is_not_in_it() -> None:
    token = sign(7, SETTINGS, OWN_BOT, expires=NOW + timedelta(hours=1))
    for other in (with_secret("other"), with_secret("demo", "other")):
        with pytest.raises(LinkInvalid):
            incident_of(token, SETTINGS, other, now=NOW)
    assert "demo" not in token


def test_without_a_secret_no_link_is_made() -> None:
    with pytest.raises(MindGuardError, match="holds no secret"):
        sign(7, SETTINGS, with_secret("", ""), expires=NOW)
