"""Settings of the channels that alerts are sent to: `[watch.channels.NAME]` in tastemaker.toml.

A setting never holds a secret: it names the environment variable that does.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"
THIS_MACHINE = ("127.0.0.1", "::1", "localhost")

Variable = Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$", max_length=100)]
"""Name of an environment variable: upper case, so that a pasted secret is rarely taken for one."""
Mailbox = Annotated[str, Field(pattern=r"^[^\s<>@,;:\"]+@[^\s<>@,;:\"]+$", max_length=254)]


def web_address(url: str) -> str:
    """Return a URL that is complete and has no password in it.

    Raises:
        ValueError: If it is something else.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
        raise ValueError("must be a URL such as https://host/path")
    if "@" in parts.netloc:
        raise ValueError("must not contain a user or password")
    return url


def secure_address(url: str) -> str:
    """Return a URL to which a key may be sent.

    Raises:
        ValueError: If the key would be sent in clear text to another machine.
    """
    parts = urlsplit(web_address(url))
    if parts.scheme != "https" and parts.hostname not in THIS_MACHINE:
        raise ValueError("must begin with https://, since a key is sent there")
    return url


class _Channel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    """Deadline of one attempt in seconds, from the look-up of the host's address to the end of the answer."""


class PagerDutyChannelSettings(_Channel):
    """PagerDuty, by its Events API v2."""

    type: Literal["pagerduty"]
    """pagerduty."""
    key_variable: Variable = "PAGERDUTY_ROUTING_KEY"
    """Environment variable with the integration's routing key."""
    url: Annotated[str, AfterValidator(secure_address)] = PAGERDUTY_URL
    """Address of the Events API; https://events.eu.pagerduty.com/v2/enqueue for accounts in the EU."""


class SlackChannelSettings(_Channel):
    """Slack, by an incoming webhook."""

    type: Literal["slack"]
    """slack."""
    url_variable: Variable = "SLACK_WEBHOOK_URL"
    """Environment variable with the webhook's URL, which is a secret."""


class EmailChannelSettings(_Channel):
    """E-mail, by an SMTP server."""

    type: Literal["email"]
    """email."""
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]+$")]
    """Name of the SMTP server."""
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """Its port; null: 587 for starttls, 465 for tls, 25 for none."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted. none is for a server on this machine or in a trusted network."""
    sender: Mailbox
    """Address of the sender."""
    recipients: Annotated[tuple[Mailbox, ...], Field(min_length=1, max_length=50)]
    """Addresses of the recipients."""
    user_variable: Variable | None = None
    """Environment variable with the user to log in as; null: no login."""
    password_variable: Variable | None = None
    """Environment variable with that user's password."""

    @model_validator(mode="after")
    def _login_is_complete_and_encrypted(self) -> Self:
        if (self.user_variable is None) != (self.password_variable is None):
            raise ValueError("user_variable and password_variable go together: give both or none")
        if self.user_variable is not None and self.security == "none":
            raise ValueError('a password is not sent in clear text: set security to "starttls" or "tls"')
        return self


class WebhookChannelSettings(_Channel):
    """A program of your own: the notification as JSON, by HTTP POST."""

    type: Literal["webhook"]
    """webhook."""
    url: Annotated[str, AfterValidator(web_address)] | None = None
    """Address that is called."""
    url_variable: Variable | None = None
    """Environment variable with that address, if it is a secret."""
    secret_variable: Variable | None = None
    """Environment variable with the key that signs each call (HMAC-SHA256); null: calls are not signed."""

    @model_validator(mode="after")
    def _has_one_address(self) -> Self:
        if (self.url is None) == (self.url_variable is None):
            raise ValueError("needs either url or url_variable")
        return self


class AppriseChannelSettings(_Channel):
    """One of the services that Apprise sends to, such as Microsoft Teams, Matrix, Telegram or ntfy.

    Apprise knows no keys: a message that is sent again appears twice.
    """

    type: Literal["apprise"]
    """apprise."""
    url_variable: Variable = "APPRISE_URL"
    """Environment variable with Apprise's URL, which contains secrets."""


ChannelSettings = Annotated[
    PagerDutyChannelSettings
    | SlackChannelSettings
    | EmailChannelSettings
    | WebhookChannelSettings
    | AppriseChannelSettings,
    Field(discriminator="type"),
]
