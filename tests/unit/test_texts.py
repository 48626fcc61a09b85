"""Every text exists in both languages, with the same placeholders."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from string import Formatter

import pytest

import mindguard
from mindguard.texts import Texts


def texts_of_all_areas() -> dict[str, Texts]:
    """`TEXTS` of every module named `texts` that keeps them in the common shape, by the module's name."""
    modules = [found.name for found in pkgutil.walk_packages(mindguard.__path__, "mindguard.")]
    texts = {name: getattr(import_module(name), "TEXTS", None) for name in modules if name.endswith(".texts")}
    return {name: found for name, found in texts.items() if isinstance(found, Texts)}


AREAS = texts_of_all_areas()


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


def test_the_areas_are_found() -> None:
    assert {"mindguard.alerts.texts", "mindguard.web.texts"} <= AREAS.keys()


@pytest.mark.parametrize("area", AREAS)
def test_each_text_has_both_languages_with_the_same_placeholders(area: str) -> None:
    for key, languages in AREAS[area].words.items():
        assert languages.keys() == {"zh", "en"}, key
        assert all(text.strip() for text in languages.values()), key
        assert placeholders(languages["zh"]) == placeholders(languages["en"]), key
