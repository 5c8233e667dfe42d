"""A circuit breaker: what failed several times in a row is left alone for a while, then tried once."""

from __future__ import annotations

from tastemaker.errors import TastemakerError


class CircuitBreaker:
    """Closed: everything passes. Open: nothing does. Half-open, when the rest is over: one probe passes.

    A probe that succeeds closes it; one that fails opens it again, for twice as long.
    """

    def __init__(
        self, *, failures: int = 3, rest_seconds: float = 1.0, longest_seconds: float = 60.0
    ) -> None:
        if failures < 1 or not 0 < rest_seconds <= longest_seconds:
            raise TastemakerError(f"a breaker of {failures} failures and {rest_seconds} s can't work")
        self._limit, self._first, self._longest = failures, rest_seconds, longest_seconds
        self._failures = 0
        self._rest = rest_seconds
        self._closed_again: float | None = None
        """When the next probe may pass; None while closed."""
        self._probing = False

    @property
    def closed(self) -> bool:
        """Whether all is well."""
        return self._closed_again is None

    def admits(self, now: float) -> bool:
        """Whether one more may try; `now` in seconds of any steady clock. Half-open, it is the probe."""
        if self._closed_again is None:
            return True
        if now < self._closed_again:
            return False
        self._probing = True
        self._closed_again = now + self._rest  # another probe, should this one never be heard of again
        return True

    def good(self) -> None:
        """One succeeded."""
        self._failures, self._rest, self._closed_again, self._probing = 0, self._first, None, False

    def bad(self, now: float) -> None:
        """One failed."""
        self._failures += 1
        if self._probing:
            self._rest = min(2 * self._rest, self._longest)
        if self._probing or self._failures >= self._limit:
            self._closed_again, self._probing = now + self._rest, False
