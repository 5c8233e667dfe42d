"""A notification as text: what e-mail, chats and pagers have in common."""

from __future__ import annotations

from datetime import UTC, datetime

from tastemaker.notifications.notification import Event, Link, Notification

EVENT_WORDS: dict[Event, str] = {
    "trigger": "Firing",
    "reminder": "Still firing",
    "acknowledge": "Acknowledged",
    "resolve": "Resolved",
}


def headline(notification: Notification) -> str:
    """Return the event and the summary in one line."""
    return one_line(f"{EVENT_WORDS[notification.event]}: {notification.summary}")


def subject(notification: Notification) -> str:
    """Return the incident's name, the same from its trigger to its resolve: mail programs sort by it."""
    labels = ", ".join(notification.labels.values())
    name = f"{notification.rule} ({labels})" if labels else notification.rule
    return one_line(f"[{notification.severity}] {name}, incident {notification.incident}")


def since(notification: Notification) -> str:
    """Return when the incident began and how long it has lasted."""
    lasted = (notification.occurred_at - notification.started_at).total_seconds()
    until = "lasted" if notification.event == "resolve" else "for"
    text = f"Since {time_text(notification.started_at)}"
    return f"{text}, {until} {rough_duration(lasted)}" if lasted >= 1 else text


def utc_time(at: datetime) -> str:
    """Return a time in UTC, to the second, where the reader knows the zone."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def time_text(at: datetime) -> str:
    """Return a time in UTC, to the second, with its zone."""
    return f"{utc_time(at)} UTC"


def rough_duration(seconds: float) -> str:
    """Return a duration in its two largest units.

    >>> rough_duration(42), rough_duration(150), rough_duration(90_061)
    ('42 s', '2 min 30 s', '1 d 1 h')
    """
    units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")]
    left = int(abs(seconds))
    parts: list[tuple[int, str]] = []
    for size, unit in units:
        number, left = divmod(left, size)
        if number or parts:
            parts.append((number, unit))
    text = " ".join(f"{number} {unit}" for number, unit in parts[:2] if number)
    return text or "0 s"


def plain_text(notification: Notification) -> str:
    """Return the whole message as plain text."""
    sections = [
        "\n".join([headline(notification), *facts(notification)]),
        "\n".join(f"- {one_line(detail)}" for detail in notification.details),
        _listed("Requests to look at", notification.examples),
        _listed("Commands", notification.commands),
        _listed("Links", [f"{one_line(link.title)}: {link.url}" for link in web_links(notification)]),
        subject(notification),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def facts(notification: Notification) -> list[str]:
    """Return the condition, and since when it holds."""
    return [one_line(text) for text in (notification.condition, since(notification)) if text]


def web_links(notification: Notification) -> list[Link]:
    """Return the links that a browser opens; paths of files and other schemes are left out."""
    return [link for link in notification.links if link.url.startswith(("https://", "http://"))]


def one_line(text: str) -> str:
    """Return text without line breaks and control characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def shortened(text: str, characters: int) -> str:
    """Return text of at most so many characters; what is cut off is replaced by an ellipsis.

    Args:
        text: Text of one or more lines.
        characters: The most characters, at least 1; the ellipsis is one of them.
    """
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _listed(title: str, lines: tuple[str, ...] | list[str]) -> str:
    return "\n".join([f"{title}:", *(f"  {line}" for line in lines)]) if lines else ""
