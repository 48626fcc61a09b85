"""YAML files that people write: what is wrong with one is said in the writer's words, with the line.

Nothing here reads a file. Values are shown only where a number or one of a few words is expected: others, such as an
address or a phone number, must not reach logs and cards.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from mindguard.errors import MindGuardError, first_few, one_line

_Document = TypeVar("_Document", bound=BaseModel)
_MOST_FAULTS = 5
_LONGEST_FAULT = 240
_LONGEST_VALUE = 40

PATTERNS: dict[str, str] = {
    r"^[a-z][a-z0-9_]*$": "use lower-case letters, digits and _, beginning with a letter",
    r"^https?://": "write an address that begins with http:// or https://",
    r"^https?://[^?#]+$": "write an address that begins with http:// or https://, without ? and #",
    r"\.prom$": "write the name of a file that ends in .prom",
    r"^[^/].*[^/]$|^[^/]$": "must not begin or end with /",
    r"^([01][0-9]|2[0-3]):[0-5][0-9]$": "write a time as HH:MM, for instance 09:00",
    r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$": "write a time as HH:MM, for instance 09:00; midnight is 24:00",
    r"^ou_[A-Za-z0-9_-]+$": "write an open_id, which begins with ou_",
    r"^\+?[0-9][0-9 -]{2,}$": "write a phone number in quotes, with digits, spaces and - only",
    r"^[^,，、;；/:：]+$": "must not contain , ; / or :",
}
"""What each pattern of a setting means, for the person whose value does not match it."""

_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
    "date_type": "a date such as 2026-12-31",
    "date_parsing": "a date such as 2026-12-31",
    "date_from_datetime_parsing": "a date such as 2026-12-31",
    "date_from_datetime_inexact": "a date such as 2026-12-31, without a time",
    "literal_error": "{expected}",
    "union_tag_invalid": "one of {expected_tags}",
}
_MEANT = "unknown key; did you mean "
_SHOWN = {"int_type", "int_from_float", "float_type", "bool_type", "literal_error", "union_tag_invalid"}

_RULES = {
    "missing": "missing",
    "extra_forbidden": "unknown key",
    "invalid_key": "a key must be a text",
    "union_tag_not_found": "{discriminator} is missing",
    "string_too_short": "must not be empty",
    "too_short": "must have at least {min_length} {entries}",
    "too_long": "must have at most {max_length} {entries}",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "finite_number": "must be a finite number",
    "value_error": "{error}",
    "url_parsing": "write a whole address, such as https://status.example.com/health",
    "url_scheme": "write an address that begins with http:// or https://",
}


class Fault(NamedTuple):
    """One fault of a document: its line, the dotted place, and what is wrong."""

    line: int | None
    place: str
    what: str

    def __str__(self) -> str:
        told = f"{self.place}: {self.what}" if self.place else self.what
        return told if len(told) <= _LONGEST_FAULT else f"{told[:_LONGEST_FAULT]}…"


def at_place(message: str, *at: str | int) -> PydanticCustomError:
    """Return the error for a validator that knows the faulty place below the section that it validates."""
    return PydanticCustomError("at_place", "{said}", {"said": message, "at": at})


def meant(name: str, known: Iterable[str]) -> str:
    """Return the question whether a similar name is meant; empty if none is similar."""
    close = similar(name, known)
    return f"; did you mean {close}?" if close else ""


def similar(name: str, known: Iterable[str]) -> str:
    """Return the known name that is most like this one; empty if none is similar."""
    return next(iter(get_close_matches(name, list(known), 1)), "")


def parsed(text: str, model: type[_Document], *, name: str, error: type[MindGuardError]) -> _Document:
    """Return the document that the text is.

    Args:
        text: YAML, or JSON, which is YAML.
        model: the document's sections and rules.
        name: the name of the file, with which the error begins.
        error: the kind of the error that is raised.

    Raises:
        MindGuardError: of the kind `error`; the text is not YAML or breaks a rule. Names every fault with its line.
    """
    from ruamel.yaml import YAML

    try:
        raw: Any = YAML(typ="safe").load(text)
    except Exception as fault:  # the YAML library also passes on Python's errors about dates, numbers and recursion
        line, what = _not_yaml(fault)
        raise error(f"{name}{f' line {line}' if line else ''} is not YAML: {what}") from fault
    try:
        return model.model_validate(raw)
    except ValidationError as fault:
        # Not chained: pydantic quotes values, and a traceback would show them.
        raise error(_said(name, faults(fault, model, text))) from None


def lines_below(text: str, key: str) -> list[int]:
    """Return the line on which each entry of the list under a key of the document begins."""
    found = child(composed(text), key)
    entries = found[1].value if found and isinstance(found[1].value, list) else []
    return [each.start_mark.line + 1 for each in entries]


def faults(error: ValidationError, model: type[BaseModel] | None = None, text: str = "") -> list[Fault]:
    """Return what is wrong with a document in the order of its lines, each place once.

    Args:
        error: what pydantic found.
        model: the document's model, which gives the keys that may be meant.
        text: the document, which gives the lines.
    """
    root = composed(text)
    groups: dict[tuple[int, str], list[Mapping[str, Any]]] = {}
    for each in error.errors(include_url=False):
        if each["type"] == "too_short" and len(each["input"] or ()) >= each["ctx"]["min_length"]:
            continue  # pydantic counts valid entries only, and the others are faults themselves
        groups.setdefault(_place(root, each), []).append(each)
    found = [
        Fault(line or None, place, _what(together, model))
        for (line, place), together in sorted(groups.items(), key=lambda group: group[0][0])
    ]
    meant_keys = {
        f"{each.place.rpartition('.')[0]}.{each.what[len(_MEANT) : -1]}".lstrip(".")
        for each in found
        if each.what.startswith(_MEANT)
    }
    return [each for each in found if each.what != "missing" or each.place not in meant_keys]


def listed(found: list[Fault]) -> str:
    """Return the faults in one line without their lines, for what is no file."""
    return first_few([str(fault) for fault in found], most=_MOST_FAULTS, separator="; ")


def _said(name: str, found: list[Fault]) -> str:
    where = [f"line {fault.line}: {fault}" if fault.line else str(fault) for fault in found]
    if len(found) == 1:
        return f"{name}{' ' if found[0].line else ': '}{where[0]}"
    numbered = [f"({number}) {each}" for number, each in enumerate(where, 1)]
    return f"{name} has {len(found)} faults: {first_few(numbered, most=_MOST_FAULTS, separator=' ')}"


def _not_yaml(fault: Exception) -> tuple[int | None, str]:
    """Return the line and the reason, without the library's advice to its own users."""
    mark = getattr(fault, "problem_mark", None)
    problem = str(getattr(fault, "problem", None) or " ".join(str(fault).split()))
    if "duplicate key" in problem:
        problem = f"the key {problem.split(chr(34))[1]} is written twice"
    elif r"'\t'" in problem:
        problem = "a tab; use spaces"
    elif "another document" in problem:
        problem = "`---` begins a second document"
    elif isinstance(fault, RecursionError):
        problem = "it is nested too deeply"
    return (mark.line + 1 if mark else None), one_line(problem)


def composed(text: str) -> Any:
    """Return the text as nodes, which know their lines; None if there is nothing to look at."""
    from ruamel.yaml import YAML

    try:
        return YAML(typ="safe", pure=True).compose(text) if text else None
    except Exception:  # noqa: BLE001 - the text was read before; without lines, the faults are still said
        return None


def _place(root: Any, error: Mapping[str, Any]) -> tuple[int, str]:
    """Return the line of a fault, or 0, and the name of its place. An entry of a list is `tables[public.checkins]`."""
    node, line, names = root, 0, [""]
    loc = error["loc"]
    facts = error.get("ctx", {})
    tag = (str(facts["discriminator"]).strip("'"),) if "tag" in facts else ()
    for number, step in enumerate((*loc, *facts.get("at", tag))):
        found = child(node, step)
        absent = error["type"] == "missing" and number == len(loc) - 1
        if found:
            line, node = found[0].start_mark.line + 1, found[1]
        elif root is not None and number < len(loc) and not absent:
            continue  # the name of a member of a union, which the file does not have
        if isinstance(step, int):
            names[-1] += f"[{_name(node) or f'#{step + 1}'}]"
        else:
            names.append(" ".join(step.split()) or repr(step))
    return line, ".".join(names[1:])


def child(node: Any, step: str | int) -> tuple[Any, Any] | None:
    """Return the node that shows the place of a key or entry below a node, and its value's node."""
    from ruamel.yaml.nodes import MappingNode, SequenceNode

    if isinstance(node, SequenceNode) and isinstance(step, int):
        return (node.value[step], node.value[step]) if step < len(node.value) else None
    if not isinstance(node, MappingNode):
        return None
    for key, value in node.value:
        if key.value == str(step):
            return key, value
    merged = [value for key, value in node.value if key.value == "<<"]
    inner = (each for value in merged for each in (value.value if isinstance(value, SequenceNode) else [value]))
    return next((found for each in inner if (found := child(each, step))), None)


def _name(node: Any) -> str:
    found = child(node, "name")
    value = found[1].value if found else ""
    return one_line(value)[:_LONGEST_VALUE] if isinstance(value, str) else ""


def _what(together: list[Mapping[str, Any]], model: type[BaseModel] | None) -> str:
    """Return what is wrong at one place. Several are the members of a union, none of which takes the value."""
    rules = [each for each in together if each["type"] not in _EXPECTED]
    if rules:
        return _broken(rules[0], model)
    expected = list(dict.fromkeys(_EXPECTED[each["type"]].format(**each.get("ctx", {})) for each in together))
    value = together[0]["input"]
    if value is None:
        return f"write {_either(expected)}; it is empty"
    if isinstance(value, int | float) and "a text" in expected:
        expected = ["a text in quotes" if each == "a text" else each for each in expected]
    return f"write {_either(expected)}, not {_given(value, shown=together[0]['type'] in _SHOWN)}"


def _either(expected: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(expected[:-1]), expected[-1])))


def _given(value: object, *, shown: bool) -> str:
    if isinstance(value, Mapping):
        if not shown:
            return "keys with values"
        value = value.get("kind")  # the tag of a union
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "a list"
    if shown:
        written = repr(value)
        return written if len(written) <= _LONGEST_VALUE else f"{written[:_LONGEST_VALUE]}…"
    return "a text" if isinstance(value, str) else "a number" if isinstance(value, int | float) else "a date"


def _broken(error: Mapping[str, Any], model: type[BaseModel] | None) -> str:
    kind, facts = error["type"], dict(error.get("ctx", {}))
    if kind == "extra_forbidden":
        return f"unknown key{_advice(error['loc'], model)}"
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(facts["pattern"], f"must match {facts['pattern']}")
    for name in ("ge", "gt", "le", "lt"):
        if name in facts:
            bound = f"{facts[name]:g}" if isinstance(facts[name], float) else facts[name]
            return f"{_RULES[kind].format(**{name: bound})}, not {_given(error['input'], shown=True)}"
    entries = "entry" if 1 in (facts.get("min_length"), facts.get("max_length")) else "entries"
    return one_line(_RULES[kind].format(**facts, entries=entries) if kind in _RULES else str(error["msg"]))


def _advice(loc: tuple[str | int, ...], model: type[BaseModel] | None) -> str:
    """Return which key may be meant: a similar one beside it, or the same one elsewhere in the document."""
    if model is None:
        return ""
    *way, key = loc
    sections: set[type[BaseModel]] = {model}
    for step in way:
        sections = set(_below(sections, step))
    if advice := meant(str(key), [name for section in sections for name in _keys(section)]):
        return advice
    places = sorted(set(_places_of(str(key), model)))
    if len(places) == 1:
        return f"; it belongs {f'below {places[0]}' if places[0] else 'to the left, below nothing'}"
    return ""


def _below(sections: Iterable[type[BaseModel]], step: str | int) -> Iterator[type[BaseModel]]:
    for section in sections:
        keys = _keys(section)
        if step in keys:
            yield from _sections(keys[str(step)])
        elif isinstance(step, int) or step in typing.get_args(keys.get("kind", ())):
            yield section  # an entry of a list, or a member of a union


def _keys(section: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in section.model_fields.items()}


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models inside a type, such as `tuple[A | B, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif typing.get_origin(annotation) is not Literal:
        for inner in typing.get_args(annotation):
            yield from _sections(inner)


def _places_of(key: str, model: type[BaseModel], place: str = "") -> Iterator[str]:
    keys = _keys(model)
    if key in keys:
        yield place
    for name, annotation in keys.items():
        for section in _sections(annotation):
            yield from _places_of(key, section, f"{place}.{name}" if place else name)
