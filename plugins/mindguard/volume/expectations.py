"""Great Expectations' own expectations, by the names under which a suite reads like the rule it states.

Imported by `mindguard.volume.suites` inside its functions only, since Great Expectations takes seconds to import.
"""

from __future__ import annotations

from typing import Any

from great_expectations.expectations.core.expect_column_values_to_be_in_set import (  # noqa: TID253 - see above
    ExpectColumnValuesToBeInSet,
)


class ExpectEventVolumeWithinDayOverDayTolerance(ExpectColumnValuesToBeInSet):
    """No key event falls by more than its tolerance against yesterday (operations document, section 3.4: 20 %)."""

    column: str = "verdict_dod"
    value_set: Any = ("ok", "inconclusive")


class ExpectEventVolumeWithinWeekdayTolerance(ExpectColumnValuesToBeInSet):
    """No key event falls by more than its tolerance against the same weekdays, net of how all events moved."""

    column: str = "verdict_net"
    value_set: Any = ("ok", "inconclusive")


class ExpectEventVolumeFallsUnconfirmed(ExpectColumnValuesToBeInSet):
    """No fall is so clear that somebody must be paged: both lenses agree, or the second leaves no doubt."""

    column: str = "page"
    value_set: Any = (False,)


class ExpectFunnelStepsWithinUsualConversion(ExpectColumnValuesToBeInSet):
    """Each step has as many events as the step before and the usual conversion lead one to expect."""

    column: str = "verdict"
    value_set: Any = ("ok", "inconclusive")
