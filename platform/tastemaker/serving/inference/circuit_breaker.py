"""A circuit breaker: after several failures in a row, no call is made for a while, then one is tried."""

from __future__ import annotations

from tastemaker.errors import TastemakerError


class CircuitBreaker:
    """A circuit breaker.

    Closed, every call passes. Open, none does. When the open time is over it is half-open: one probe passes,
    which closes it on success, and on failure opens it again for twice as long.
    """

    def __init__(
        self, *, failures: int = 3, open_seconds: float = 1.0, longest_seconds: float = 60.0
    ) -> None:
        """Create a closed circuit breaker.

        Args:
            failures: How many failures in a row open it, at least 1.
            open_seconds: How long it is open at first, above 0; doubled by each probe that fails.
            longest_seconds: The longest that it is open, at least `open_seconds`.

        Raises:
            TastemakerError: One of them is out of range.
        """
        if failures < 1 or not 0 < open_seconds <= longest_seconds:
            raise TastemakerError(
                f"a circuit breaker has failures = {failures} and open_seconds = {open_seconds}; it needs "
                f"failures >= 1 and 0 < open_seconds <= {longest_seconds}"
            )
        self._limit, self._first, self._longest = failures, open_seconds, longest_seconds
        self._failures = 0
        self._open_seconds = open_seconds
        self._closed_again: float | None = None
        """When the next probe may pass; None while closed."""
        self._probing = False

    @property
    def closed(self) -> bool:
        """Whether every call passes."""
        return self._closed_again is None

    def admits(self, now: float) -> bool:
        """Return whether a call may be made; half-open, it is the probe. `now`: of a monotonic clock."""
        if self._closed_again is None:
            return True
        if now < self._closed_again:
            return False
        self._probing = True
        self._closed_again = now + self._open_seconds  # another probe, in case this one never returns
        return True

    def record_success(self) -> None:
        """Close the circuit."""
        self._failures, self._open_seconds, self._closed_again, self._probing = 0, self._first, None, False

    def record_failure(self, now: float) -> None:
        """Count a failure, and open the circuit if it was one too many."""
        self._failures += 1
        if self._probing:
            self._open_seconds = min(2 * self._open_seconds, self._longest)
        if self._probing or self._failures >= self._limit:
            self._closed_again, self._probing = now + self._open_seconds, False
