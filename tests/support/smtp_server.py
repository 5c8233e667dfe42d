"""An SMTP server on the loopback that keeps its messages and answers by a script (aiosmtpd)."""

from __future__ import annotations

import ssl
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from support.certificates import CERTIFICATE, KEY
from support.servers import free_port

USER, PASSWORD = "mailer", "mail-password-4711"


@dataclass(frozen=True)
class Mail:
    """One accepted message."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage
    user: str | None
    is_encrypted: bool


class SmtpServer:
    """A mail server that runs while it is entered.

    Args:
        security: As the setting of the e-mail channel.
        certificates: A folder of `certify`, for starttls and tls.
        wants_login: Whether only USER with PASSWORD may send.
    """

    def __init__(
        self, security: str = "none", certificates: Path | None = None, *, wants_login: bool = False
    ) -> None:
        self.mails: list[Mail] = []
        self.refusals: dict[str, deque[str]] = {}
        """Recipient -> replies that refuse it, one per attempt."""
        self.data_replies: deque[str] = deque()
        """Replies to the next messages' contents, in place of accepting them."""
        self.port, self._wants_login = free_port(), wants_login
        context = None
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates / CERTIFICATE, certificates / KEY)
        starttls = security == "starttls"
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            ssl_context=context if security == "tls" else None,
            tls_context=context if starttls else None,
            require_starttls=starttls,
            auth_require_tls=starttls,
            authenticator=_authenticate,
        )

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(AssertionError):  # it was stopped by the test
            self._controller.stop(no_assert=True)

    async def handle_RCPT(
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if self._wants_login and not session.authenticated:
            return "530 5.7.0 log in first"
        replies = self.refusals.get(address)
        if replies:
            return replies.popleft()
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        if self.data_replies:
            return self.data_replies.popleft()
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        user = session.auth_data.decode() if isinstance(session.auth_data, bytes) else session.auth_data
        encrypted = session.ssl is not None or self._controller.ssl_context is not None
        self.mails.append(Mail(envelope.mail_from, tuple(envelope.rcpt_tos), message, user, encrypted))
        return "250 OK"


def _authenticate(server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (
        USER.encode(),
        PASSWORD.encode(),
    )
    return AuthResult(success=right, auth_data=data.login if right else None, handled=False)
