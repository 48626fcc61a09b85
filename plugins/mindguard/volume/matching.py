"""Finds a text that a regular expression matches, to see whether there is any."""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random
from re import _constants, _parser  # type: ignore[attr-defined] # the parser that `re` itself uses
from typing import Any

_TRIES = 300
_MOST_REPETITIONS = 200
_MOST_PARTS = 5_000  # repetitions of repetitions would make endless texts
_SOME = "a0 _-.,:/@\n\tZ中é!\"'()[]{}<>=+*?#$%&;^`|~\\\x00"
_OF_CATEGORY = {
    _constants.CATEGORY_DIGIT: "0",
    _constants.CATEGORY_NOT_DIGIT: "a",
    _constants.CATEGORY_SPACE: " ",
    _constants.CATEGORY_NOT_SPACE: "a",
    _constants.CATEGORY_WORD: "a",
    _constants.CATEGORY_NOT_WORD: "-",
}


def matching_text(pattern: str) -> str | None:
    """Return a text in which `re.search` finds the pattern; None if none was found, or if it is no pattern.

    Texts are made by following the pattern with arbitrary choices. What looks ahead or back is made part of the text in
    half of them, since the rest of the pattern may or may not bring it.
    """
    try:
        compiled, parsed = re.compile(pattern), _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError):
        return None
    for seed in range(_TRIES):
        text = _Maker(Random(seed)).text(parsed)  # noqa: S311 - not for cryptography
        if compiled.search(text):
            return text
    return None


class _Maker:
    """Makes one text by arbitrary choices."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._groups: dict[int, str] = {}
        self._left = _MOST_PARTS

    def text(self, parts: Any) -> str:
        return "".join(map(self._part, parts))

    def _part(self, part: tuple[Any, Any]) -> str:
        op, given = part
        self._left -= 1
        if self._left < 0:
            return ""
        if op is _constants.LITERAL:
            return chr(given)
        if op in (_constants.NOT_LITERAL, _constants.ANY, _constants.IN):
            return self._character(op, given)
        if op in (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT):
            least, most, repeated = given
            times = min(int(most), int(least) + self._random.randrange(3), max(int(least), _MOST_REPETITIONS))
            return "".join(self.text(repeated) for _ in range(min(times, _MOST_REPETITIONS)))
        if op is _constants.AT:
            return self._random.choice(("", "", "\n"))
        return "".join(self.text(parts) for parts in self._inside(op, given))

    def _inside(self, op: Any, given: Any) -> Iterator[Any]:
        """Yield the parts of a pattern that this part consists of."""
        if op is _constants.BRANCH:
            yield self._random.choice(given[1])
        elif op is _constants.ATOMIC_GROUP:
            yield given
        elif op is _constants.ASSERT:
            yield given[1] if self._random.randrange(2) else []
        elif op is _constants.SUBPATTERN:
            self._groups[given[0]] = made = self.text(given[3])
            yield [(_constants.LITERAL, ord(character)) for character in made]
        elif op is _constants.GROUPREF:
            yield [(_constants.LITERAL, ord(character)) for character in self._groups.get(given, "")]
        elif op is _constants.GROUPREF_EXISTS:
            group, yes, no = given
            yield yes if group in self._groups else no or []

    def _character(self, op: Any, given: Any) -> str:
        if op is _constants.ANY:
            return self._random.choice("a0 ")
        if op is _constants.NOT_LITERAL:
            return self._random.choice([each for each in _SOME if ord(each) != given])
        if given[0][0] is _constants.NEGATE:
            others = [each for each in _SOME if not any(_holds(item, each) for item in given[1:])]
            return self._random.choice(others) if others else ""
        return self._one_of(self._random.choice(given))

    def _one_of(self, item: tuple[Any, Any]) -> str:
        op, given = item
        if op is _constants.RANGE:
            return chr(self._random.randint(*given))
        return _OF_CATEGORY.get(given, "a") if op is _constants.CATEGORY else chr(given)


def _holds(item: tuple[Any, Any], character: str) -> bool:
    """Return whether a character is one of those that an item of `[…]` names."""
    op, given = item
    if op is _constants.RANGE:
        return bool(given[0] <= ord(character) <= given[1])
    if op is _constants.CATEGORY:
        return bool(re.fullmatch(_CATEGORIES[given], character))
    return bool(given == ord(character))


_CATEGORIES: dict[Any, str] = {
    _constants.CATEGORY_DIGIT: r"\d",
    _constants.CATEGORY_NOT_DIGIT: r"\D",
    _constants.CATEGORY_SPACE: r"\s",
    _constants.CATEGORY_NOT_SPACE: r"\S",
    _constants.CATEGORY_WORD: r"\w",
    _constants.CATEGORY_NOT_WORD: r"\W",
}
