"""Says which files count: that of the settings, and those of the suites."""

from __future__ import annotations

from collections.abc import Iterator

from mindguard.doctor.diagnosis import Diagnosis
from mindguard.doctor.texts import Said
from mindguard.settings import Settings, packaged_settings, settings_path
from mindguard.volume.suites import own_suites, read_suite, suites_dir


def examine_settings() -> Iterator[Diagnosis]:
    """Say which settings file was read."""
    path = settings_path().absolute()
    own = path != packaged_settings()
    yield Diagnosis("pass", "settings", "file", Said("settings_own" if own else "settings_packaged", path=path))


def examine_suites(settings: Settings) -> Iterator[Diagnosis]:
    """Say which suites there are, and check that each can be read.

    Raises:
        SuiteUnsound: the folder holds none, or one that cannot be read.
    """
    suites = [read_suite(path) for path in own_suites(settings)]
    if not suites:
        yield Diagnosis("unused", "suites", "folder", Said("suites_none"))
    elif settings.suites:
        yield Diagnosis("pass", "suites", "folder", Said("suites_own", count=len(suites), folder=suites_dir(settings)))
    else:
        yield Diagnosis("pass", "suites", "folder", Said("suites_packaged", count=len(suites)))
