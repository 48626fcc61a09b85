"""Settings of ClickHouse with which an answer lacks rows in silence, wherever a query or a view has them."""

from __future__ import annotations

import pytest

from mindguard.whole_answers import setting_that_cuts, what_cuts


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("SELECT n FROM t SETTINGS limit = 3", "limit = 3"),
        ("SELECT n FROM t settings max_threads=1,LIMIT=3", "limit = 3"),
        ("SELECT n FROM t SETTINGS `offset`=3", "offset = 3"),
        ('SELECT n FROM t SETTINGS "page" = 2', "page = 2"),
        ("SELECT n FROM t SETTINGS /* x */ limit /* y */ = -- z\n 3", "limit = 3"),
        ("SELECT n FROM t SETTINGS limit = {most:UInt64}", "limit = {"),
        ("SELECT n FROM t SETTINGS limit = '3'", "limit = '3'"),
        ("SELECT n FROM t SETTINGS read_overflow_mode = 'break'", "read_overflow_mode = 'break'"),
        ("SELECT n FROM t SETTINGS group_by_overflow_mode='any'", "group_by_overflow_mode = 'any'"),
        ("SELECT n FROM t SETTINGS skip_unavailable_shards=1", "skip_unavailable_shards = 1"),
        ("SELECT n FROM t SETTINGS profile = 'fast'", "profile = 'fast'"),
        ("SELECT n FROM t SETTINGS a = -1, limit = 3", "limit = 3"),
        ("SELECT n FROM t SETTINGS a = {'t': 'limit = 3'}, b = [1, 2], limit = 4", "limit = 4"),
        ("SELECT sum(n) FROM (SELECT n FROM t SETTINGS limit = 3) WHERE n = 1", "limit = 3"),
        ("WITH x AS (SELECT n FROM t SETTINGS limit = 3) SELECT n FROM x SETTINGS max_threads = 1", "limit = 3"),
        ("SELECT 1 SETTINGS max_threads = 1 UNION ALL SELECT 2 SETTINGS limit = 3", "limit = 3"),
        ("SELECT n FROM t SETTINGS # it's a remark\n limit = 3", "limit = 3"),
        ("SELECT n FROM t SETTINGS #! a remark\n limit = 3", "limit = 3"),
        ("SELECT $$it's$$ FROM t SETTINGS read_overflow_mode = 'break'", "read_overflow_mode = 'break'"),
        ("SELECT $a$it's $$$a$ FROM t SETTINGS read_overflow_mode = 'break'", "read_overflow_mode = 'break'"),
        ("SELECT ‘it's’ AS “it's” FROM t SETTINGS read_overflow_mode = 'break'", "read_overflow_mode = 'break'"),
        ("SELECT $$ SETTINGS limit = 3$$, ‘ SETTINGS limit = 3’ # SETTINGS limit = 3", ""),
        ("SELECT n FROM t SETTINGS max_threads = 1 FORMAT Null", ""),
        ("SELECT n FROM t SETTINGS limit = 0, skip_unavailable_shards = false, read_overflow_mode = 'throw'", ""),
        ("SELECT n FROM t WHERE limit = 3", ""),
        ("SELECT settings FROM t WHERE limit = 3", ""),
        ("SELECT settings, 1 FROM t WHERE settings = 2 AND limit = 3", ""),
        ("SELECT 'SETTINGS limit = 3', 'it''s', '\\' SETTINGS limit = 3'", ""),
        ("SELECT n FROM t -- SETTINGS limit = 3", ""),
        ("SELECT n FROM t LIMIT 3", ""),
        ("SELECT n FROM (SELECT n FROM t SETTINGS max_threads = 1) WHERE limit = 3", ""),
        ("SELECT n FROM t SETTINGS", ""),
        ("SELECT 'never ended SETTINGS limit = 3", "limit = 3"),
    ],
)
def test_a_setting_of_a_query(query: str, found: str) -> None:
    assert setting_that_cuts(query) == found


VIEWS = {
    "d.whole": "CREATE VIEW d.whole (`n` Int64) AS SELECT n FROM d.t",
    "d.cut": "CREATE VIEW d.cut (`n` Int64) AS SELECT n FROM d.t SETTINGS read_overflow_mode = 'break'",
    "d.over": "CREATE VIEW d.over (`n` Int64) AS SELECT n FROM d.cut",
    "d.loop": "CREATE VIEW d.loop (`n` Int64) AS SELECT n FROM d.loop",
}
CUT = "view d.cut (read_overflow_mode = 'break')"


@pytest.mark.parametrize(
    ("query", "names", "found"),
    [
        ("SELECT n FROM d.cut", (), CUT),
        ("SELECT n FROM `d`.`cut`", (), CUT),
        ("SELECT n FROM cut", (), CUT),
        ("SELECT n FROM d.over", (), CUT),
        ("SELECT n FROM {name:Identifier}", ("d.cut",), CUT),
        ("SELECT n FROM d.whole, d.loop", (), ""),
        ("SELECT 'd.cut' FROM d.t", (), ""),
        ("SELECT n FROM d.whole SETTINGS limit = 1", (), "limit = 1"),
    ],
)
def test_a_setting_of_a_view(query: str, names: tuple[str, ...], found: str) -> None:
    assert what_cuts(query, names, VIEWS) == found
