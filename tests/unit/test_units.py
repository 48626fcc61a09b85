"""Amounts as people read them."""

from __future__ import annotations

import pytest

from mindguard.units import amount, counted, of_column, size


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (93_600, "s", "26 h"),
        (0.4, "s", "0.4 s"),
        (59.94, "s", "59.9 s"),
        (-5, "s", "-5.0 s"),
        (3_599.6, "s", "1 h"),
        (4 * 86_400 + 7_200, "s", "4 d 2 h"),
        (1e300, "s", "1.0e+300 s"),
        (0.0125, "ratio", "1.25%"),
        (12_345, "count", "12,345"),
    ],
)
def test_amounts(value: float, unit: str, said: str) -> None:
    assert amount(value, unit) == said


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("newest_age_h", 30.25, "30 h 15 min"),
        ("lag_s", 93_600, "26 h"),
        ("null_user_share_at_least", 0.105, "10.5 %"),
        ("net_ratio", 1.2, "1.2"),
        ("row_count", 1234, "1,234"),
        ("score", 1234.567, "1,235"),
        ("age_h", -1, "-1"),
    ],
)
def test_a_columns_name_tells_its_unit(column: str, value: float, said: str) -> None:
    assert of_column(column, value) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1_000, "1.0 kB"), (3_140_000, "3.1 MB"), (2e12, "2,000.0 GB")],
)
def test_sizes(count: float, said: str) -> None:
    assert size(count) == said


def test_one_has_no_plural() -> None:
    assert [counted(count, "part") for count in (0, 1, 1200)] == ["0 parts", "1 part", "1,200 parts"]
