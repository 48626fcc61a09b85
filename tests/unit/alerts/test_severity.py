from datetime import timedelta

from mindguard.alerts.severity import Severity


def test_response_times_are_those_of_the_operations_document() -> None:
    assert {severity: severity.respond_within for severity in Severity} == {
        "P0": timedelta(minutes=15),
        "P1": timedelta(minutes=30),
        "P2": timedelta(hours=4),
    }


def test_every_severity_is_explained_in_both_languages() -> None:
    for severity in Severity:
        for locale in ("zh", "en"):
            assert severity.meaning(locale)
            assert severity.label(locale)
