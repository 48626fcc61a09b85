"""The fields of the DAGs' forms, in the reader's language, and the tables that can be chosen.

They are made while a DAG file is parsed, so they must be cheap and never fail: see docs/adr/0035. A settings file that
cannot be read costs the choices, not the DAG.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from airflow.sdk import Param

from mindguard.airflow.texts import TEXTS
from mindguard.resources import settings_path
from mindguard.texts import Locale

LINES: dict[str, Any] = {"type": ["null", "array"], "items": {"type": "string"}}
"""Schema of a list that may be empty: the form sends null once it is cleared, and marks any other list as required."""


@dataclass(frozen=True)
class Form:
    """What the forms take from the settings.

    Attributes:
        locale: the reader's language.
        tables: names of the tables of a snapshot; none if they are not known here.
    """

    locale: Locale = "zh"
    tables: tuple[str, ...] = ()

    def say(self, key: str) -> str:
        """Return a text in the reader's language."""
        return TEXTS.say(key, self.locale)

    def field(self, key: str, default: Any, *, words: str = "", **schema: Any) -> Param:
        """Return a field.

        Args:
            key: of its title in TEXTS.
            default: its value as the form opens.
            words: key of its description; default: the title's with `_help`.
            **schema: its JSON schema, with what Airflow's form understands besides.
        """
        return Param(default, title=self.say(key), description=self.say(words or f"{key}_help"), **schema)

    def chosen_tables(self) -> Param:
        """Return the field of the tables: a choice of those of the settings, else lines that take any name."""
        if not self.tables:
            return self.field("tables", [], words="tables_free_help", **LINES)
        return self.field("tables", [], **LINES, examples=list(self.tables))


def read_form() -> Form:
    """Read the settings without their rules; whatever cannot be read is left out. No connection is opened."""
    import yaml  # type: ignore[import-untyped]  # of Airflow, which has imported it already

    settings: Any = {}
    with suppress(OSError, UnicodeDecodeError, yaml.YAMLError):
        settings = yaml.load(settings_path().read_text("utf-8"), Loader=yaml.CSafeLoader)
    tables: list[Any] = []
    with suppress(LookupError, TypeError, AttributeError):
        tables = [each["name"] for each in settings["snapshot"]["tables"]]
    english = isinstance(settings, dict) and settings.get("locale") == "en"
    return Form("en" if english else "zh", tuple(name for name in tables if isinstance(name, str)))
