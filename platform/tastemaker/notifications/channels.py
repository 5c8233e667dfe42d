"""The channels that the settings name."""

from __future__ import annotations

from tastemaker.channel_settings import (
    AppriseChannelSettings,
    ChannelSettings,
    EmailChannelSettings,
    PagerDutyChannelSettings,
    SlackChannelSettings,
)
from tastemaker.notifications.apprise_channel import AppriseChannel
from tastemaker.notifications.email_channel import EmailChannel
from tastemaker.notifications.notification import Channel
from tastemaker.notifications.pagerduty import PagerDutyChannel
from tastemaker.notifications.slack import SlackChannel
from tastemaker.notifications.webhook import WebhookChannel
from tastemaker.settings import Settings


def open_channels(settings: Settings) -> dict[str, Channel]:
    """Return the channels of `[watch.channels.NAME]` by name. Nothing is connected yet.

    Raises:
        TastemakerError: If a secret is missing or malformed.
    """
    return {name: open_channel(name, one) for name, one in settings.watch.channels.items()}


def open_channel(name: str, settings: ChannelSettings) -> Channel:
    """Return one channel.

    Args:
        name: The channel's name in the settings.
        settings: The settings of its kind, which choose the class.

    Raises:
        TastemakerError: If a secret is missing or malformed.
    """
    if isinstance(settings, PagerDutyChannelSettings):
        return PagerDutyChannel(name, settings)
    if isinstance(settings, SlackChannelSettings):
        return SlackChannel(name, settings)
    if isinstance(settings, EmailChannelSettings):
        return EmailChannel(name, settings)
    if isinstance(settings, AppriseChannelSettings):
        return AppriseChannel(name, settings)
    return WebhookChannel(name, settings)
