"""Every text exists in both languages, with the same placeholders."""

from __future__ import annotations

import pkgutil
import re
from copy import deepcopy
from importlib import import_module
from string import Formatter

import pytest

import mindguard
from mindguard.texts import Texts, within
from mindguard.volume.registry import unseen


def texts_of_all_areas() -> dict[str, Texts]:
    """`TEXTS` of every module named `texts` that keeps them in the common shape, by the module's name."""
    modules = [found.name for found in pkgutil.walk_packages(mindguard.__path__, "mindguard.")]
    texts = {name: getattr(import_module(name), "TEXTS", None) for name in modules if name.endswith(".texts")}
    return {name: found for name, found in texts.items() if isinstance(found, Texts)}


AREAS = texts_of_all_areas()
HALF_WIDTH = re.compile(r"[\u4e00-\u9fff}] ?[,;:!?(]|[,;:!?)] ?[\u4e00-\u9fff]| – ")
COMMAND = re.compile(r"`[^`]*`|[\w.]+: [\w{}]+")


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


@pytest.mark.parametrize("area", AREAS)
def test_chinese_has_the_punctuation_of_chinese(area: str) -> None:
    for key, languages in AREAS[area].words.items():
        assert not HALF_WIDTH.search(COMMAND.sub("`", languages["zh"])), f"{area}.{key}: {languages['zh']}"


def test_a_key_event_that_was_never_seen_is_said_in_chinese_too() -> None:
    said = unseen("checkin_sumbit", {"checkin_submit", "sos"})
    assert within(said, "zh") == "最近 63 天没有名为 'checkin_sumbit' 的埋点（是不是 checkin_submit？）"
    assert within(unseen("other", ()), "zh") == "最近 63 天没有名为 'other' 的埋点"


def test_a_text_within_another_follows_the_language() -> None:
    words = Texts({"on": {"zh": "{who}值班", "en": "{who} is on duty"}, "nobody": {"zh": "无人", "en": "nobody"}})
    said = words.said("on", who=words.said("nobody"))
    assert deepcopy(said).values == said.values
    assert (said, within(said, "zh"), within("as it is", "zh")) == ("nobody is on duty", "无人值班", "as it is")
