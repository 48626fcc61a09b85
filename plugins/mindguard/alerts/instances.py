"""Failures of several instances of one mapped task as one alert: how many, which, and the errors that differ. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mindguard.alerts.alert import Alert, Fact, FailedInstance, FailedInstances
from mindguard.alerts.texts import TEXTS
from mindguard.masking import fold, mask_secrets, printable
from mindguard.texts import Locale

_ERRORS = 5
"""Number of different errors that are kept and shown."""

_LONGEST_ERROR = 1000
"""Length in characters of one error: more than a card shows, so that what is cut here is in no card."""

_RANGES, _RANGES_OF_ERROR = 15, 5
"""Numbers of ranges of map indexes in a text."""


def failed_instance(index: int, error: str = "") -> FailedInstance:
    """Return the record of one failed instance, with its error masked and shortened."""
    return FailedInstance(index, fold(" ".join(mask_secrets(printable(error)).split()), _LONGEST_ERROR))


def joined(before: FailedInstances, after: FailedInstances) -> FailedInstances:
    """Return what two reports of the same run say together.

    A whole report says which instances failed. Any other report adds one; its error takes the place of an earlier one.
    """
    known = {each.index: each for each in before.failed}
    reported = {each.index: each for each in after.failed}
    if after.whole:
        known = {index: each for index, each in known.items() if index in reported}
    for index, each in reported.items():
        if index not in known or (each.error and each.error != known[index].error):
            known.pop(index, None)  # errors stay in the order in which they became known
            known[index] = each
    return replace(after, failed=_bounded(known.values()), whole=before.whole or after.whole)


def joined_alert(before: Alert, after: Alert, instances: FailedInstances) -> Alert:
    """Return the alert of two reports of the same run, which say together that these instances failed."""
    first = before if before.detail else after  # the first error that is known, with its traceback and its log
    rest = max(_other_facts(before), _other_facts(after), key=len)
    return replace(
        after,
        instances=instances,
        facts=with_instances(rest, instances),
        detail=first.detail,
        links=first.links,
        error_unknown=before.error_unknown and after.error_unknown,
    )


def with_instances(facts: Iterable[Fact], instances: FailedInstances) -> tuple[Fact, ...]:
    """Return the facts about the failed instances, followed by other facts."""
    return (*_instance_facts(instances), *facts)


def _other_facts(alert: Alert) -> tuple[Fact, ...]:
    return alert.facts[len(_instance_facts(alert.instances)) if alert.instances else 0 :]


def _instance_facts(instances: FailedInstances) -> list[Fact]:
    locale = instances.locale
    by_error: dict[str | None, list[int]] = {}
    for each in instances.failed:
        by_error.setdefault(each.error, []).append(each.index)
    further, unknown = by_error.pop(None, []), by_error.pop("", [])
    errors = [(error or "", indexes) for error, indexes in by_error.items()]
    if unknown:
        errors.append((TEXTS.say("no_error", locale), unknown))
    alone = len(errors) == 1 and not further
    facts = [Fact(_error_name(indexes, locale, alone=alone), error, wrong=True) for error, indexes in errors]
    indexes = [each.index for each in instances.failed]
    count = TEXTS.say("instances", locale, count=len(indexes), indexes=ranges(indexes, _RANGES))
    facts.insert(1, Fact(TEXTS.say("failed_instances", locale), count, wrong=True))
    if further:
        text = TEXTS.say("errors_left_out", locale, indexes=ranges(further, _RANGES))
        facts.append(Fact(TEXTS.say("further_errors", locale), text))
    return facts


def _error_name(indexes: list[int], locale: Locale, *, alone: bool) -> str:
    if alone:
        return TEXTS.say("error", locale)
    return TEXTS.say("error_of", locale, indexes=ranges(indexes, _RANGES_OF_ERROR))


def _bounded(failed: Iterable[FailedInstance]) -> tuple[FailedInstance, ...]:
    """Return the instances without those errors that are too many to be kept."""
    kept: set[str | None] = {"", None}
    bounded = []
    for each in failed:
        error = each.error if each.error in kept or len(kept) < _ERRORS + 2 else None
        kept.add(error)
        bounded.append(FailedInstance(each.index, error))
    return tuple(bounded)


def ranges(indexes: Iterable[int], most: int) -> str:
    """Return numbers as text, for instance `0-3, 7`, with at most so many ranges."""
    found: list[tuple[int, int]] = []
    for index in sorted(set(indexes)):
        if found and index == found[-1][1] + 1:
            found[-1] = (found[-1][0], index)
        else:
            found.append((index, index))
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in found[:most]]
    return ", ".join([*texts, "…"] if len(found) > most else texts)
