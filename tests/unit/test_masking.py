from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindguard.masking import fold, mask_secrets, name_of, printable

SECRET = "s3cr3t-Value"
AWS_SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"postgresql://u:{SECRET}@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("postgresql://u:p@ss@h/db?x=1", "postgresql://u:***@h/db?x=1"),
        (f"redis://:{SECRET}@h", "redis://:***@h"),
        (f"host=h password={SECRET} dbname=d", "host=h password=*** dbname=d"),
        (f"host=h password='{SECRET} x' dbname=d", "host=h password='***' dbname=d"),
        (f"PGPASSWORD={SECRET}", "PGPASSWORD=***"),
        (f"token: {SECRET}", "token: ***"),
        (f"hook_token = {SECRET}", "hook_token = ***"),
        (f'{{"token": "{SECRET}", "n": 1}}', '{"token": "***", "n": 1}'),
        (f'{{"secret": "a\\"{SECRET}", "n": 1}}', '{"secret": "***", "n": 1}'),
        (f"{{'client_secret': '{SECRET}', 'n': 1}}", "{'client_secret': '***', 'n': 1}"),
        (
            json.dumps({"extra": json.dumps({"secret": SECRET, "n": 1})}),
            json.dumps({"extra": json.dumps({"secret": "***", "n": 1})}),
        ),
        (f'"password": "{SECRET}', '"password": "***"'),
        (f"AWS_SECRET_ACCESS_KEY={AWS_SECRET}", "AWS_SECRET_ACCESS_KEY=***"),
        (f"key {AWS_SECRET} refused", "key *** refused"),
        ("id AKIAIOSFODNN7EXAMPLE refused", "id *** refused"),
        (
            f"https://open.feishu.cn/open-apis/bot/v2/hook/{SECRET}?a=b",
            "https://open.feishu.cn/open-apis/bot/v2/hook/***?a=b",
        ),
        (f"Authorization: Basic {SECRET}", "Authorization: ***"),
        (f"sent Bearer {SECRET}.x", "sent Bearer ***"),
        (
            "https://b/k?X-Amz-Credential=A%2Fb&X-Amz-Date=1&X-Amz-Signature=0a1b",
            "https://b/k?X-Amz-Credential=***&X-Amz-Date=1&X-Amz-Signature=***",
        ),
        (f"http://h/x?access_token={SECRET}&page=2", "http://h/x?access_token=***&page=2"),
        (
            "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nrest",
            "***\nrest",
        ),
    ],
)
def test_recognisable_secrets_are_masked(text: str, masked: str) -> None:
    assert mask_secrets(text) == masked
    assert mask_secrets(masked) == masked


@pytest.mark.parametrize(
    "text",
    [
        'password authentication failed for user "mindguard_ro"',
        "commit da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "http://127.0.0.1:8080/dags/snapshot_tables?run=1",
        "2026-11-19T14:02:00+08:00 rows=48,112",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask_secrets(text) == text


def test_known_secrets_are_masked_in_every_form() -> None:
    secret = 'a/b+c "d'
    text = f"{secret} | a%2Fb%2Bc%20%22d | {json.dumps(secret)}"
    assert mask_secrets(text, [secret]) == '*** | *** | "***"'
    assert mask_secrets("an ox", ["", "ox"]) == "an ox"


def test_masking_takes_linear_time() -> None:
    started = time.perf_counter()
    for piece in ("a", "password", "://a:", "eyJ", "A/b1", 'token="', "secret\\", "-----BEGIN PRIVATE KEY-----"):
        mask_secrets(piece * (200_000 // len(piece)))
    assert time.perf_counter() - started < 10


def test_printable_drops_escapes_and_what_utf8_cannot_say() -> None:
    assert printable("\x1b[31mred\x1b[0m\x00 \u202eabc\r\n\ttab\ud800") == "red abc\n\ttab?"


FAMILY = "👩‍👩‍👧‍👦"


@pytest.mark.parametrize("sign", [FAMILY, "🇨🇳", "👍🏽", "e\u0301", "❤\ufe0f"])
@pytest.mark.parametrize("limit", range(190, 230))
def test_fold_never_cuts_a_visible_sign(sign: str, limit: int) -> None:
    folded = fold(sign * 200, limit)
    assert len(folded) <= limit
    for part in folded.replace("…", "\n").split("\n"):
        assert part.strip(" ()0123456789").replace(sign, "") == ""


def test_fold_keeps_the_end_of_a_long_text() -> None:
    folded = fold("start " + "x" * 5000 + " the real error", 1000)
    assert folded.startswith("start")
    assert folded.endswith("the real error")


@given(st.text(), st.integers(0, 400))
def test_fold_keeps_its_limit(text: str, limit: int) -> None:
    assert len(fold(text, limit)) <= limit or fold(text, limit) == text


FOREIGN = st.text(st.characters(codec=None, exclude_categories=()), max_size=400)
"""Texts with any character that Python knows, lone surrogates and NUL included."""


@given(FOREIGN)
def test_a_name_is_one_line_that_a_database_can_keep(text: str) -> None:
    name = name_of(text, 50)
    assert len(name) <= 50
    assert name_of(name, 50) == name
    assert name == " ".join(name.split())
    assert "\0" not in name.encode("utf-8").decode("utf-8")


def test_different_texts_have_different_names() -> None:
    texts = ["a", "a ", "a\0", "a\ud800", "a\udfff", "x" * 60, "x" * 61, "x" * 6_000, "a\nb", "a b"]
    assert len({name_of(text, 50) for text in texts}) == len(texts)
