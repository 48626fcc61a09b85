"""Words in Chinese and English, in one shape for all areas: each area keeps its own in its `texts.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Locale = Literal["zh", "en"]


class Texts:
    """The words of one area.

    Args:
        words: for each key a `str.format` template in every language.
    """

    def __init__(self, words: Mapping[str, Mapping[Locale, str]]) -> None:
        self.words = words

    def say(self, key: str, locale: Locale, **values: object) -> str:
        """Return the text of a key in one language, with the values filled in."""
        return self.words[key][locale].format(**values)

    def of(self, locale: Locale) -> dict[str, str]:
        """Return all templates in one language by key, for pages whose template fills them in."""
        return {key: languages[locale] for key, languages in self.words.items()}
