"""E-mail by SMTP: one thread per incident."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from hashlib import blake2b

from markupsafe import Markup

from tastemaker.channel_settings import EmailChannelSettings
from tastemaker.notifications.bulletin import Bulletin
from tastemaker.notifications.deadline import BEYOND_SECONDS, call_within, close_socket, network_error
from tastemaker.notifications.message_text import (
    facts,
    headline,
    one_line,
    plain_text,
    shortened,
    subject,
    web_links,
)
from tastemaker.notifications.notification import Delivery, Notification
from tastemaker.notifications.secret_values import read_secret, without_secrets

PORTS = {"starttls": 587, "tls": 465, "none": 25}
SUBJECT_CHARACTERS = 200
REMEMBERED = 1_000
"""Messages of which it is remembered who has them, so that a repeat goes to the others only."""


class EmailChannel:
    """An SMTP server and the people who get its messages."""

    def __init__(self, name: str, settings: EmailChannelSettings) -> None:
        """Read the login.

        Args:
            name: The channel's name.
            settings: Server, sender and recipients, and the variables with the login.

        Raises:
            TastemakerError: If the user or the password is missing.
        """
        self.name, self._settings = name, settings
        self._user, self._password = (
            None if variable is None else read_secret(name, variable)
            for variable in (settings.user_variable, settings.password_variable)
        )
        self._reached: OrderedDict[str, set[str]] = OrderedDict()

    def send(self, notification: Notification) -> Delivery:
        """Send one message to the recipients who do not have it yet."""
        return self._deliver(email_message(notification, self._settings), notification.delivery_id)

    def send_bulletin(self, bulletin: Bulletin) -> Delivery:
        """Send a bulletin to the recipients who do not have it yet."""
        return self._deliver(bulletin_message(bulletin, self._settings), bulletin.delivery_id)

    def _deliver(self, message: EmailMessage, delivery_id: str) -> Delivery:
        settings = self._settings
        reached = self._reached.setdefault(delivery_id, set())
        while len(self._reached) > REMEMBERED:
            self._reached.popitem(last=False)
        missing = [one for one in settings.recipients if one not in reached]
        if not missing:
            return Delivery("sent", "all recipients have it")
        smtp = self._client()
        try:
            refused = call_within(
                settings.timeout_seconds,
                lambda: self._sent(smtp, message, missing),
                lambda: close_socket(smtp.sock),
            )
        except TimeoutError:
            detail = f"{settings.host} did not answer within {settings.timeout_seconds:g} s"
            return Delivery("retry", detail)
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
        except smtplib.SMTPResponseException as error:
            refusal = self._line(f"{error.smtp_code}: {_text(error.smtp_error)}")
            return Delivery("rejected" if error.smtp_code >= 500 else "retry", refusal)
        except smtplib.SMTPNotSupportedError as error:
            return Delivery("rejected", self._line(f"{settings.host}: {error}"))
        except Exception as error:  # a socket, TLS or a server that is not one: all mean that it was not sent
            return Delivery("retry", self._line(network_error(settings.host, error)))
        reached.update(one for one in missing if one not in refused)
        return self._delivery(refused)

    def _delivery(self, refused: dict[str, tuple[int, bytes]]) -> Delivery:
        """Return what came of it: temporary refusals are tried again."""
        if not refused:
            return Delivery("sent", "accepted")
        words = "; ".join(f"{who}: {code} {_text(said)}" for who, (code, said) in refused.items())
        if any(code < 500 for code, _ in refused.values()):
            return Delivery("retry", self._line(words))
        all_users = len(refused) == len(self._settings.recipients)
        return Delivery("rejected" if all_users else "sent", self._line(f"refused for {words}"))

    def _client(self) -> smtplib.SMTP:
        """Return a client that is not connected."""
        settings = self._settings
        own = socket.gethostname() or "localhost"
        seconds = settings.timeout_seconds + BEYOND_SECONDS
        smtp = (
            smtplib.SMTP_SSL(local_hostname=own, timeout=seconds, context=ssl.create_default_context())
            if settings.security == "tls"
            else smtplib.SMTP(local_hostname=own, timeout=seconds)
        )
        # The name that the certificate must have; smtplib sets it in a constructor that also connects.
        smtp._host = settings.host  # type: ignore[attr-defined]
        return smtp

    def _sent(
        self, smtp: smtplib.SMTP, message: EmailMessage, recipients: list[str]
    ) -> dict[str, tuple[int, bytes]]:
        """Return the recipients that were refused. Raises what smtplib, sockets and ssl raise."""
        settings = self._settings
        code, said = smtp.connect(settings.host, settings.port or PORTS[settings.security])
        if code != 220:
            raise smtplib.SMTPConnectError(code, said)
        with smtp:
            if settings.security == "starttls":
                smtp.starttls(context=ssl.create_default_context())
            if self._user is not None and self._password is not None:
                smtp.login(self._user.get_secret_value(), self._password.get_secret_value())
            return smtp.send_message(message, settings.sender, recipients)

    def _line(self, text: str) -> str:
        secrets = [one.get_secret_value() for one in (self._user, self._password) if one is not None]
        return without_secrets(text, secrets)


def email_message(notification: Notification, settings: EmailChannelSettings) -> EmailMessage:
    """Return the message; it is the same in every attempt.

    The trigger's Message-ID follows from the incident, so that later messages can refer to it.

    Args:
        notification: What is reported; its incident and event identify the message.
        settings: Sender and recipients.
    """
    message = _envelope(settings, notification.occurred_at)
    domain = settings.sender.rpartition("@")[2]
    root = _message_id(f"{notification.key}\n{notification.incident}", domain)
    name = shortened(subject(notification), SUBJECT_CHARACTERS)
    if notification.event == "trigger":
        message["Subject"], message["Message-ID"] = name, root
    else:
        message["Subject"] = f"Re: {name}"
        message["Message-ID"] = _message_id(notification.delivery_id, domain)
        message["In-Reply-To"] = message["References"] = root
    message.set_content(plain_text(notification))
    message.add_alternative(_html(notification), subtype="html")
    return message


def bulletin_message(bulletin: Bulletin, settings: EmailChannelSettings) -> EmailMessage:
    """Return the message of a bulletin, as text and as HTML; it is a thread of its own.

    Args:
        bulletin: What is sent, with its text and its HTML.
        settings: Sender and recipients.
    """
    message = _envelope(settings, bulletin.created_at)
    message["Subject"] = shortened(one_line(bulletin.subject), SUBJECT_CHARACTERS)
    message["Message-ID"] = _message_id(bulletin.delivery_id, settings.sender.rpartition("@")[2])
    message.set_content(bulletin.text)
    message.add_alternative(bulletin.html, subtype="html")
    return message


def _envelope(settings: EmailChannelSettings, at: datetime) -> EmailMessage:
    message = EmailMessage()
    message["From"] = Address("Tastemaker", addr_spec=settings.sender)
    message["To"] = [Address(addr_spec=one) for one in settings.recipients]
    message["Date"] = at
    message["Auto-Submitted"] = "auto-generated"
    return message


def _message_id(text: str, domain: str) -> str:
    return f"<{blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}@{domain}>"


def _html(notification: Notification) -> str:
    details = _listed("{}", map(one_line, notification.details))
    requests = _listed("<code>{}</code>", map(one_line, notification.examples))
    commands = _listed("<code>{}</code>", map(one_line, notification.commands))
    links = Markup(" · ").join(
        Markup('<a href="{}">{}</a>').format(link.url, one_line(link.title))
        for link in web_links(notification)
    )
    return Markup(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title></head>'
        '<body style="font-family:sans-serif"><h1 style="font-size:1.2em">{top}</h1>{facts}{details}'
        "{requests}{commands}<p>{links}</p><p><small>{name}</small></p></body></html>\n"
    ).format(
        name=subject(notification),
        top=headline(notification),
        facts=Markup("").join(Markup("<p>{}</p>").format(fact) for fact in facts(notification)),
        details=details,
        requests=Markup("<p>Requests to look at:</p>{}").format(requests) if requests else "",
        commands=Markup("<p>Commands:</p>{}").format(commands) if commands else "",
        links=links,
    )


def _listed(item: str, lines: Iterable[str]) -> Markup:
    items = Markup("").join(Markup(f"<li>{item}</li>").format(line) for line in lines)
    return Markup("<ul>{}</ul>").format(items) if items else Markup("")


def _text(said: bytes | str) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said
