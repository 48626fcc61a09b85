"""Texts that a pattern matches."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindguard.volume.matching import matching_text


@given(st.lists(st.sampled_from([*"ab0 .^$|*+?", r"\d", r"\W", "[a-c]", "[^a]", "(a|b)", "{2}", "(?:x)", r"(?=a)"])))
def test_what_is_found_matches(parts: list[str]) -> None:
    pattern = "".join(parts)
    try:
        compiled = re.compile(pattern)
    except re.error:
        assert matching_text(pattern) is None
        return
    text = matching_text(pattern)
    assert text is None or compiled.search(text)


@pytest.mark.parametrize("pattern", ["(?!)", "a^b", "[", "((((a{200}){200}){200}){200})b"])
def test_where_nothing_is_found_it_says_so_soon(pattern: str) -> None:
    assert matching_text(pattern) is None
