"""Settings of product metrics: `[product]` in tastemaker.toml."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tastemaker.util.setting_types import Names


def _time_zone(name: str) -> str:
    """Return the name of a time zone. Raises ValueError if it is unknown."""
    try:
        ZoneInfo(name)
    except (OSError, ValueError) as error:
        raise ValueError("must be a time zone such as Europe/Paris or UTC") from error
    return name


TimeZone = Annotated[str, AfterValidator(_time_zone)]


class ProductSettings(BaseModel):
    """Product metrics: engagement, retention, growth and what is shown of the catalogue."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    timezone: TimeZone | None = None
    """The shop's time zone, such as Europe/Paris; days begin at midnight. If absent, `source.timezone`."""
    active_events: Names | None = None
    """Event types by which a user is active, such as view, click; null: all. Being shown a list does not
    count."""
    max_events_per_day: Annotated[int, Field(ge=1)] | None = 1_000
    """A user with more events, or with more lists, on a day is a bot: that day of theirs does not count;
    null: all days count."""
