"""Texts in Chinese and English. Every area keeps its own in its `texts.py`, all in the same form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

Locale = Literal["zh", "en"]


class Said(str):
    """A text in English, which is what logs and the command line show, that can also be had in Chinese.

    Args:
        languages: a `str.format` template in every language.
        **values: what fills it in; another such text among them follows the language.
    """

    languages: Mapping[Locale, str]
    values: dict[str, object]

    def __new__(cls, languages: Mapping[Locale, str], /, **values: object) -> Self:
        said = super().__new__(cls, languages["en"].format(**values))
        said.languages, said.values = languages, values
        return said

    def __getnewargs_ex__(self) -> tuple[tuple[Mapping[Locale, str]], dict[str, object]]:
        return (self.languages,), self.values  # for copies, as dataclasses make them


def within(text: str, locale: Locale) -> str:
    """Return a text in one language; one that somebody else wrote stays as it is."""
    if not isinstance(text, Said):
        return text
    values = {name: within(value, locale) if isinstance(value, str) else value for name, value in text.values.items()}
    return text.languages[locale].format(**values)


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

    def said(self, key: str, /, **values: object) -> Said:
        """Return the text of a key with the values filled in, for a reader whose language is known only later."""
        return Said(self.words[key], **values)

    def of(self, locale: Locale) -> dict[str, str]:
        """Return all templates in one language by key, for pages whose template fills them in."""
        return {key: languages[locale] for key, languages in self.words.items()}
