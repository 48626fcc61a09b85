"""Names that a suite mentions and that do not exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from mindguard.settings import Settings, load_settings
from mindguard.volume.frame import COLUMNS
from mindguard.volume.names import sound_suite
from mindguard.volume.suites import SuiteUnsound, load_suites, suite_files

from .worlds import DAY, history, judge

SETTINGS = load_settings()
ENTRY = "- {type: expect_column_values_to_not_be_null, severity: info, kwargs: {%s}}\n"
PANDAS = ", condition_parser: pandas"


def write(folder: Path, meta: str, *kwargs: str, name: str = "own.yaml") -> Settings:
    """A suite in a folder of one's own, with these arguments of expectations."""
    entries = "".join(ENTRY % each for each in kwargs)
    (folder / name).write_text(f"name: own\nmeta: {{{meta}}}\nexpectations:\n{entries}", "utf-8")
    return SETTINGS.model_copy(update={"suites": str(folder)})


def refusal(settings: Settings) -> str:
    with pytest.raises(SuiteUnsound) as caught:
        sound_suite("own", settings)
    return str(caught.value)


CHECKINS = "query: sql/postgres/select_checkins_quality.sql, connection: app, key: [table_name]"


@pytest.mark.parametrize(
    ("meta", "kwargs", "said"),
    [
        (CHECKINS, "column: row_cuont", "select_checkins_quality.sql returns no column 'row_cuont'; did you mean row_"),
        (CHECKINS, f"column: row_count, row_condition: 'row_cuont > 5'{PANDAS}", "row_condition: sql/postgres/"),
        (CHECKINS.replace("table_name", "tabel"), "column: row_count", "own.yaml: meta.key: "),
        ("frame: key_events", "column: actaul", "the frame key_events has no column 'actaul'; did you mean actual?"),
        ("frame: funnels", "column: actual_rate", "the frame funnels has no column 'actual_rate'"),
        ("frame: funnels", "column_A: gap, column_B: gab", "no column 'gab'; did you mean gap?"),
        ("frame: funnels", "column_list: [gap, gpa]", "no column 'gpa'"),
        (
            "frame: funnels",
            f"""column: gap, row_condition: 'funnel == "chekin"'{PANDAS}""",
            "row_condition: there is no funnel 'chekin'; did you mean checkin?",
        ),
        (
            "frame: funnels",
            f"""column: gap, row_condition: 'step in ["task_view", "x"]'{PANDAS}""",
            "there is no step 'x'; known: app_open, checkin_start, checkin_submit, task_view, task_start, and 3 more",
        ),
        (
            "frame: key_events",
            f"""column: actual, row_condition: '"sos_clik" == `event_name` and actual > 5'{PANDAS}""",
            "there is no event_name 'sos_clik'; did you mean sos_click?",
        ),
        (
            "frame: key_events",
            f"""column: actual, row_condition: 'state == "trackd"'{PANDAS}""",
            "there is no state 'trackd'; did you mean tracked?",
        ),
        ("frame: key_events", f"column: actual, row_condition: 'stat == 1'{PANDAS}", "row_condition: the frame key_"),
        (
            "frame: key_events",
            f"column: actual, row_condition: 'state =='{PANDAS}",
            "row_condition 'state ==' is not a",
        ),
    ],
)
def test_an_unknown_name_is_refused_with_its_line(tmp_path: Path, meta: str, kwargs: str, said: str) -> None:
    message = refusal(write(tmp_path, meta, kwargs))
    assert said in message
    assert message.startswith("own.yaml: meta.key: " if "tabel" in meta else "own.yaml line 4: expectations[#1]: ")


def test_all_unknown_names_are_said_together(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "frame: funnels", "column: a", "column: gap", *["column: b"] * 8))
    assert message.startswith(
        "own.yaml line 4: expectations[#1]: the frame funnels has no column 'a'; own.yaml line 6: "
    )
    assert message.endswith("and 4 more")


@pytest.mark.parametrize(
    ("query", "kwargs"),
    [
        ("select * from public.checkins", "column: anything"),
        ("select c.* from public.checkins as c", "column: anything"),
        ("select count(*), 1 as a -- * of all", "column: count"),
        ('with t as (select 1 as "A b") select t.* from t', "column: A b"),
        ("select 1 as Row_Count", "column: row_count"),
        ("table public.checkins", "column: anything"),
    ],
)
def test_a_query_that_may_return_the_column_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: str, kwargs: str
) -> None:
    (tmp_path / "q.sql").write_text(query)
    for module in ("names", "suites"):
        monkeypatch.setattr(f"mindguard.volume.{module}.include_dir", lambda: tmp_path)
    settings = write(tmp_path, "query: q.sql, connection: app, key: [a]".replace("[a]", f"[{kwargs[8:]}]"), kwargs)
    assert sound_suite("own", settings).name == "own"


@pytest.mark.parametrize("written", ['event_name.str.startswith("x")', "index > 0", "abs(z) > 1", "z != z"])
def test_a_condition_that_names_what_there_is_is_accepted(tmp_path: Path, written: str) -> None:
    settings = write(tmp_path, "frame: key_events", f"column: actual, row_condition: '{written}'{PANDAS}")
    assert sound_suite("own", settings)


def test_the_columns_are_those_of_the_frame() -> None:
    assert tuple(judge(history(), DAY).reset_index().columns) == COLUMNS


def test_the_shipped_suites_name_what_there_is() -> None:
    for suite in load_suites():
        assert sound_suite(suite.name, SETTINGS).expectations == suite.expectations


def test_a_file_that_ends_in_yml_is_a_suite_too(tmp_path: Path) -> None:
    settings = write(tmp_path, "frame: funnels", "column: gap", name="own.yml")
    assert [path.name for path in suite_files(tmp_path)] == ["own.yml"]
    assert sound_suite("own", settings).where(0) == "own.yml line 4: expectations[#1]"
    write(tmp_path, "frame: funnels", "column: gap")
    assert "own is written twice, in own.yaml and own.yml" in refusal(settings)


def test_a_suite_that_does_not_exist_is_not_retried(tmp_path: Path) -> None:
    settings = write(tmp_path, "frame: funnels", "column: gap")
    with pytest.raises(SuiteUnsound, match=r"no suite 'onw'; did you mean own\? – known: own"):
        sound_suite("onw", settings)
