"""The forms' fields: in the reader's language, with the tables of the settings, whatever the file holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.sdk.exceptions import ParamValidationError

from mindguard.airflow.forms import Form, read_form

FILE = "snapshot: {tables: [{name: public.t}, {name: clinic.u, part_by: at}]}\n"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (FILE, Form("zh", ("public.t", "clinic.u"))),
        (f"locale: en\n{FILE}", Form("en", ("public.t", "clinic.u"))),
        ('{"locale": "en", "snapshot": {"tables": [{"name": "a"}, {"name": 3}]}}', Form("en", ("a",))),
        ("locale: en\nsnapshot: {tables: {}}\n", Form("en", ())),
        ("locale: en\nsnapshot: {tables: [public.t]}\n", Form("en", ())),
        ("locale: [en]\nsnapshot: 3\n", Form("zh", ())),
        ("- a list\n", Form("zh", ())),
        ("a: [\n", Form("zh", ())),
        ("\udcff", Form("zh", ())),
        ("", Form("zh", ())),
        (None, Form("zh", ())),
    ],
)
def test_whatever_cannot_be_read_costs_only_the_choices(
    text: str | None, form: Form, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own.yaml"
    monkeypatch.setenv("MINDGUARD_SETTINGS", str(path))
    if text is not None:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert read_form() == form


def test_tables_are_a_choice_where_they_are_known() -> None:
    chosen = Form("en", ("public.t", "clinic.u")).chosen_tables()
    assert chosen.schema["examples"] == ["public.t", "clinic.u"]
    # None is a choice that was cleared; another table of an older snapshot can be written as JSON.
    for value in ([], None, ["clinic.u"], ["public.gone"]):
        assert chosen.resolve(value) == value
    free = Form("zh").chosen_tables()
    assert "examples" not in free.schema
    assert free.schema["title"] == "表"
    with pytest.raises(ParamValidationError):
        free.resolve([3])
