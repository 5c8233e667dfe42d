"""Pages that are answered instead of those that were asked for."""

from __future__ import annotations

from typing import Final

from starlette.responses import HTMLResponse, Response

from tastemaker.dashboard.rendering import environment


class Refused(Exception):
    """A request that is not answered with its page."""

    def __init__(self, status: int, title: str, text: str, *, retry_after: int | None = None) -> None:
        """Refuse a request.

        Args:
            status: HTTP status of the answer.
            title: What happened, in a few words.
            text: Why, and what to do.
            retry_after: Seconds after which the request may succeed.
        """
        super().__init__(title)
        self.status, self.title, self.text, self.retry_after = status, title, text, retry_after


AWAY: Final = Refused(
    503,
    "The database does not answer",
    "Whether you may see this page can't be checked now. It is tried again with each request.",
    retry_after=5,
)


def refusal(refused: Refused) -> Response:
    """Return the page that says why a request is refused, with its status and its Retry-After header."""
    response = page("refused.html", refused.status, title=refused.title, text=refused.text)
    if refused.retry_after is not None:
        response.headers["Retry-After"] = str(refused.retry_after)
    return response


def page(template: str, status: int, **content: str) -> Response:
    """Return a page without navigation, for users that are not logged in.

    Args:
        template: Name of the template.
        status: HTTP status.
        content: What the template shows.
    """
    return HTMLResponse(environment().get_template(template).render(content), status)
