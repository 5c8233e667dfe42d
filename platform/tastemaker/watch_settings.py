"""Settings of `tastemaker watch`: `[watch]` in tastemaker.toml."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tastemaker.channel_settings import ChannelSettings
from tastemaker.util.setting_types import HttpUrl, Names, http_url


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class EscalationStep(_Section):
    """Channels that are notified of a page that no person has acknowledged."""

    after_seconds: Annotated[float, Field(ge=60, le=7 * 86_400)]
    """Seconds since the page was sent."""
    channels: Annotated[Names, Field(min_length=1)]
    """Names of channels. Those that were notified before are left out."""


class CelerySettings(_Section):
    """Celery's broker, where runs are executed by Celery: the queues whose lengths are watched. The broker is
    a Redis; queues on others, such as RabbitMQ, are not read."""

    url_variable: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] = "CELERY_BROKER_URL"
    """Name of the environment variable with the broker's URL, such as redis://host:6379/0."""
    queues: Names = ()
    """Names of the queues, such as dagster; if empty, none is read."""


class WatchSettings(_Section):
    """Scraping, evaluation of the alert rules, and delivery of alerts."""

    environment: Annotated[str, Field(min_length=1, max_length=50, pattern=r"^[\w.-]+$")] = "production"
    """Name of the environment; part of every alert's key, so that two environments can share a channel."""
    targets: Names = ()
    """Services to scrape, such as http://shop-1:3000; if empty, the running services of the home folder."""
    interval_seconds: Annotated[float, Field(ge=1, le=60)] = 5.0
    """Seconds between two scrapes of a service."""
    host: str = "127.0.0.1"
    """Address that the alerts' pages listen on."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 3080
    """Port that the alerts' pages listen on."""
    public_url: HttpUrl | None = None
    """Address of the alerts' pages as the readers of notifications reach it; if absent, that of host and
    port."""
    page: Names | None = None
    """Names of the channels that pages are sent to; null: all channels."""
    ticket: Names | None = None
    """Names of the channels that tickets are sent to; null: all channels."""
    digest: Names | None = None
    """Names of the channels that the weekly digest is sent to; null: all channels except PagerDuty."""
    escalation: tuple[EscalationStep, ...] = ()
    """Further channels for pages that no person acknowledges."""
    remind_hours: Annotated[float, Field(gt=0, le=168)] | None = 4.0
    """Hours after which an open incident that no person acknowledged is sent again; null: never."""
    flapping_per_hour: Annotated[int, Field(ge=1)] = 6
    """Number of incidents of one alert in an hour from which on it resolves only after 15 quiet minutes."""
    grafana_url: HttpUrl | None = None
    """Address of the Grafana that has the boards, such as https://grafana.shop.example; notifications link to
    the panel there. Null: they do not."""
    keep_days: Annotated[float, Field(ge=30, le=3_650)] = 400.0
    """Days after which closed incidents, their notes and messages, and ended silences are deleted."""
    heartbeat_url: HttpUrl | None = None
    """Address that is called every minute while evaluation and delivery work: that of a dead man's switch,
    which notifies you when the calls stop."""
    heartbeat_fail_url: HttpUrl | None = None
    """Address that is called every minute while evaluation or delivery does not work, so that the switch need
    not wait, such as that of Healthchecks with /fail; null: no call is made then."""
    celery: CelerySettings = CelerySettings()
    """Celery's broker, where runs are executed by Celery."""
    channels: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$")], ChannelSettings] = Field(
        default_factory=dict
    )
    """Ways to send a notification, by a name of your choice."""

    @field_validator("targets")
    @classmethod
    def _are_services(cls, targets: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(http_url(target).removesuffix("/metrics") for target in targets))

    @model_validator(mode="after")
    def _names_are_channels(self) -> Self:
        for key, name in self._named():
            if name not in self.channels:
                known = ", ".join(self.channels) or "there is none"
                raise ValueError(f"{key} has {name!r}, which is not a channel; the channels are: {known}")
        return self

    def _named(self) -> Iterator[tuple[str, str]]:
        yield from (("page", name) for name in self.page or ())
        yield from (("ticket", name) for name in self.ticket or ())
        yield from (("digest", name) for name in self.digest or ())
        yield from (("escalation", name) for step in self.escalation for name in step.channels)

    def channels_of(self, severity: str) -> tuple[str, ...]:
        """Return the names of the channels that alerts of a severity are sent to."""
        chosen = {"page": self.page, "ticket": self.ticket}.get(severity, ())
        return tuple(self.channels) if chosen is None else chosen

    @property
    def base_url(self) -> str:
        """Address of the alerts' pages in links."""
        return self.public_url or f"http://{self.host}:{self.port}"
