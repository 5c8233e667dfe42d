"""Access to every page: which host and origin, who asks, and whether a form has its token."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import parse_qs, urlencode

from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tastemaker.dashboard.access import cookies, csrf
from tastemaker.dashboard.access.cookies import Cookies
from tastemaker.dashboard.access.csrf import CsrfTokens, form_holder
from tastemaker.dashboard.access.identity import Identification, Identity
from tastemaker.dashboard.access.last_answers import DatabaseAway
from tastemaker.dashboard.access.proxied_user import TrustedProxies
from tastemaker.dashboard.access.refusals import AWAY, Refused, refusal
from tastemaker.util.request_origin import host_name, is_for, is_from_own_page

LOGIN: Final = "/login"
MOST_BODY_BYTES = 1 << 16
_READS = ("GET", "HEAD")


class AccessMiddleware:
    """ASGI middleware that answers only requests whose sender is known.

    For pages, `request.state` has `viewer`, `csrf_token` and `has_session`; for the login, `cookies` and
    `identity`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        identification: Identification,
        proxies: TrustedProxies,
        tokens: CsrfTokens,
        names: Collection[str],
        https_names: Collection[str] = (),
        public: tuple[str, ...] = (),
    ) -> None:
        """Stand before an application.

        Args:
            app: The application that answers requests which are admitted.
            identification: Finds out who asks.
            proxies: The proxies whose headers say whether a browser's connection is encrypted.
            tokens: Tokens of forms.
            names: Names of this server, in lower case.
            https_names: Those of them that browsers use encrypted only.
            public: Beginnings of the paths that need no user and check their callers themselves.
        """
        self._app, self._identification, self._proxies, self._tokens = app, identification, proxies, tokens
        self._names, self._https_names, self._public = names, https_names, public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http" or scope["path"].startswith(self._public):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            answer = await self._admit(request)
            if answer is None and request.method not in _READS:
                receive = await self._check_token(request)
        except DatabaseAway:
            answer = refusal(AWAY)
        except ClientDisconnect:
            return
        except Refused as refused:
            answer = refusal(refused)
        await (answer or self._app)(scope, receive, send)

    async def _admit(self, request: Request) -> Response | None:
        """Note who asks; return the answer for a request without a known sender."""
        if not is_for(request, self._names):
            raise Refused(
                421,
                "Wrong host",
                f"{host_name(request)[:100]!r} is not a name of this dashboard: set dashboard.public_url.",
            )
        if request.method not in _READS and not is_from_own_page(request, self._names):
            raise Refused(403, "Wrong origin", "The form was not on a page of this dashboard.")
        is_https = self._proxies.is_https(request) or host_name(request) in self._https_names
        jar = Cookies(is_https=is_https)
        identity = await self._identification.identify(request, jar.read(request, cookies.SESSION))
        request.state.cookies, request.state.identity = jar, identity
        if identity is not None:
            request.state.viewer = identity.viewer
            request.state.has_session = identity.session_id is not None
            request.state.csrf_token = self._tokens.token(identity.holder)
        elif not await self._identification.has_users():
            raise self._identification.no_users()
        elif request.url.path != LOGIN:
            return _to_login(request)
        return None

    async def _check_token(self, request: Request) -> Receive:
        """Check the token of a form, and return what gives the application the form's body again."""
        body = await _read(request)
        identity: Identity | None = request.state.identity
        form = request.state.cookies.read(request, cookies.FORM)
        holder = identity.holder if identity is not None else form_holder(form or "")
        if (identity is None and not form) or not self._tokens.is_token(_token(request, body), holder):
            raise Refused(
                403,
                "The form has expired",
                "Go back, reload the page and send it again. Your browser must accept cookies.",
            )
        return _again(body, request.receive)


def _to_login(request: Request) -> Response:
    if request.method not in _READS:
        raise Refused(401, "You are logged out", "Log in again, then repeat what you did.")
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{LOGIN}?{urlencode({'next': request.url.path + query})}", 303)


async def _read(request: Request) -> bytes:
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > MOST_BODY_BYTES:
            raise Refused(413, "Too long", f"A form may have {MOST_BODY_BYTES:,} bytes.")
    return bytes(found)


def _token(request: Request, body: bytes) -> str:
    if (given := request.headers.get(csrf.HEADER)) is not None:
        return given
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=1_000)
    except ValueError:
        return ""
    return fields.get(csrf.FIELD, [""])[0]


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a receiver that gives a body that was read, and then what comes after it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return waiting.pop() if waiting else await receive()

    return received
