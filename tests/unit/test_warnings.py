"""A warning about our own code fails the test that meets it; see `filterwarnings` in pyproject.toml."""

from __future__ import annotations

import warnings

import pytest


@pytest.mark.parametrize("module", ["mindguard.sql", "mindguard", "devstack.run", "tests.waiting"])
@pytest.mark.parametrize("category", [DeprecationWarning, RuntimeWarning, UserWarning, SyntaxWarning])
def test_a_warning_about_our_own_code_is_an_error(module: str, category: type[Warning]) -> None:
    with pytest.raises(category, match="old"):
        warnings.warn_explicit("old", category, f"{module}.py", 1, module=module, registry={})


def test_a_warning_about_a_library_is_none_of_ours() -> None:
    warnings.warn_explicit("Series.values returning an ndarray that drops timezone information", DeprecationWarning,
                           "series.py", 848, module="pandas.core.series", registry={})  # fmt: skip
