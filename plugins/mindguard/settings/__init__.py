"""Typed settings, read at run time from `include/config/mindguard.yaml`; an unknown key is an error.

The variable `MINDGUARD_SETTINGS` can name another file. Nothing here reads a connection or a secret.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    Field,
    field_validator,
    model_validator,
)

from mindguard.documents import at_place, meant, parsed
from mindguard.errors import SettingsError
from mindguard.resources import packaged_settings as packaged_settings
from mindguard.resources import settings_path as settings_path
from mindguard.settings.alerts import AlertsSettings, EscalationSettings, ReleasesSettings
from mindguard.settings.connections import Connections
from mindguard.settings.monitors import Monitor, WatchSettings
from mindguard.settings.rota import RotaSettings
from mindguard.settings.section import Section, distinct_names
from mindguard.settings.snapshot import SnapshotSettings
from mindguard.settings.volume import Funnel, KeyEvent, VolumeSettings


def _known_timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a known time zone") from error
    return name


class Settings(Section):
    """The whole settings file. Every key except `snapshot` may be omitted."""

    timezone: Annotated[str, AfterValidator(_known_timezone)] = Field(
        "Asia/Shanghai", description="time zone in which days begin and end, and in which times are shown"
    )
    locale: Literal["zh", "en"] = Field("zh", description="language of cards and run-time messages")
    connections: Connections = Connections()
    snapshot: SnapshotSettings
    rota: RotaSettings | None = Field(None, description="who is on duty; without it, cards name nobody")
    escalation: EscalationSettings = EscalationSettings()
    releases: ReleasesSettings | None = Field(None, description="where cards find the latest releases")
    alerts: AlertsSettings = AlertsSettings()
    key_events: tuple[KeyEvent, ...] = Field(
        (), strict=False, description="product events whose daily volume is watched"
    )
    funnels: tuple[Funnel, ...] = Field((), strict=False, description="funnels whose conversion is watched")
    volume: VolumeSettings = VolumeSettings()
    suites: str | None = Field(
        None,
        description="folder with the suites of expectations, or `none`; default: the `expectations/` that come with "
        "the package, which judge the tables and events of its sample",
    )

    @field_validator("key_events", "funnels")
    @classmethod
    def _listed_once(cls, listed: tuple[Any, ...]) -> tuple[Any, ...]:
        distinct_names([each.name for each in listed])
        return listed

    @model_validator(mode="after")
    def _steps_are_key_events(self) -> Settings:
        known = [event.name for event in self.key_events]
        for number, funnel in enumerate(self.funnels):
            for place, step in enumerate(funnel.steps):
                if step not in known:
                    raise at_place(
                        f"{step!r} is not under key_events{meant(step, known)}", *("funnels", number, "steps", place)
                    )
        return self

    monitors: tuple[Monitor, ...] = Field((), strict=False, description="what is measured every minute")
    watch: WatchSettings = WatchSettings()
    monitor_results_keep_days: int = Field(90, ge=1, description="days for which the results of monitors are kept")

    @field_validator("monitors")
    @classmethod
    def _named_once(cls, monitors: tuple[Monitor, ...]) -> tuple[Monitor, ...]:
        distinct_names([monitor.name for monitor in monitors])
        return monitors

    @property
    def zone(self) -> ZoneInfo:
        """The time zone in which days begin and end."""
        return ZoneInfo(self.timezone)


_read: list[Path] = []


def last_read() -> Path | None:
    """Return the settings file that this process has read last; None if none was read yet."""
    return _read[-1] if _read else None


def load_settings(path: Path | None = None) -> Settings:
    """Read and validate the settings file.

    Args:
        path: the file; default: `settings_path()`.

    Raises:
        SettingsError: the file is missing, is not YAML, or breaks a rule; the message names every faulty place.
    """
    path = path or settings_path()
    _read[:] = [path.absolute()]
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise SettingsError(
            f"cannot read settings {path}: {error.strerror}", hint="set MINDGUARD_SETTINGS to a readable file"
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not YAML: it is not text in UTF-8", hint="save it as UTF-8") from error
    return parsed(text, Settings, name=str(path), error=SettingsError)


def settings_for_alerts() -> Settings:
    """Return the settings; if the file is faulty, those that come with the package and each section that is right.

    A faulty file must not silence the alert that tells of it, nor the pages that show it.
    """
    try:
        return load_settings()
    except SettingsError:
        from ruamel.yaml import YAML

        read = YAML(typ="safe").load
        sections = dict(read(packaged_settings().read_text("utf-8")))
        own: dict[str, Any] = {}
        with suppress(Exception):
            own = dict(read(settings_path().read_text("utf-8")))
        for name, section in own.items():
            with suppress(ValueError):
                Settings.model_validate(sections | {name: section})
                sections[name] = section
        return Settings.model_validate(sections)
