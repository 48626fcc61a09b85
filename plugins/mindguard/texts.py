"""Texts in Chinese and English. Every area keeps its own in its `texts.py`, all in the same form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Locale = Literal["zh", "en"]


class Texts:
    """The texts of one area.

    Args:
        words: a `str.format` template in every language for each key.
    """

    def __init__(self, words: Mapping[str, Mapping[Locale, str]]) -> None:
        self.words = words

    def say(self, key: str, locale: Locale, **values: object) -> str:
        """Return the text of a key in one language, with the values filled in."""
        return self.words[key][locale].format(**values)

    def of(self, locale: Locale) -> dict[str, str]:
        """Return all templates in one language by key, for pages whose template fills them in."""
        return {key: languages[locale] for key, languages in self.words.items()}
