"""Requests to erase a user: approved by a person, executed until nothing remains, kept without the user id.

The database never holds the user id, so that no free page, copy or backup of it does. While a request is
open, the id is in a file of its own in the home folder, the last place that it is deleted from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, insert, select, update

from tastemaker.errors import TastemakerError
from tastemaker.privacy.forget import Proof, forget, person_of, search
from tastemaker.privacy.search import Searched
from tastemaker.settings import Settings
from tastemaker.snapshot.canonical_ids import canonical
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import erasure_requests
from tastemaker.util.atomic_files import atomic_write
from tastemaker.util.file_lock import file_lock

FIRST_RETRY, LONGEST_RETRY = timedelta(minutes=10), timedelta(hours=6)
"""Time from an attempt that is not proved to the next one: doubled with each, up to the longest."""
OPEN = ("waiting", "approved")


class ErasureRequest(NamedTuple):
    """A request, as the table `erasure_requests` describes it."""

    number: int
    state: str
    requested_by: str
    requested_at: datetime
    reason: str
    due_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    decision: str | None
    attempts: int
    attempted_at: datetime | None
    problem_text: str | None
    remains: list[dict[str, Any]]
    erased_places: int
    searched_places: int | None
    looked_at: int | None
    ended_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether it waits for a person, or for a proof."""
        return self.state in OPEN

    @property
    def attempt_at(self) -> datetime | None:
        """When the user is erased next; None: it waits for a person, or has ended."""
        if self.state != "approved":
            return None
        if self.attempted_at is None:
            return self.decided_at
        doublings = min(self.attempts - 1, 10)
        return self.attempted_at + min(LONGEST_RETRY, FIRST_RETRY * (1 << doublings))

    def is_overdue(self, now: datetime) -> bool:
        """Return whether it is open after its deadline."""
        return self.is_open and now > self.due_at

    def to_json(self, now: datetime) -> dict[str, Any]:
        """Return it as JSON, times as ISO text."""
        found = self._asdict() | {"attempt_at": self.attempt_at, "overdue": self.is_overdue(now)}
        return {
            name: value.isoformat() if isinstance(value, datetime) else value for name, value in found.items()
        }


class ErasureRequests:
    """The requests of a home folder."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.home / "erasure_requests"
        """One file per open request, with the user id."""

    @cached_property
    def _engine(self) -> Engine:
        return open_engine(self.settings.metadata_url)

    def enter(self, user_id: str, *, actor: str, reason: str) -> ErasureRequest:
        """Enter a request, which then waits for a person's approval.

        Args:
            user_id: As callers give it.
            actor: Who enters it; recorded.
            reason: Why, without the user's id, since it is kept after the erasure.

        Returns:
            The new request, with its number and deadline.

        Raises:
            TastemakerError: The id is empty, the reason names it, or a request for the user is open.
        """
        if not user_id.strip():
            raise TastemakerError("the user id is empty", fix="pass the id that requests carry")
        self._require_unnamed(reason, user_id)
        with self._locked():
            for path in self._files():
                if self._canonical(_user_id(path)) == self._canonical(user_id):
                    raise TastemakerError(
                        f"the erasure of this user is requested already: request {path.stem}",
                        fix=f"tastemaker erasure show {path.stem}",
                    )
            now = datetime.now(UTC)
            row = {
                "state": "waiting",
                "requested_by": actor,
                "requested_at": now,
                "reason": reason,
                "due_at": now + timedelta(days=self.settings.privacy.erasure_days),
                "attempts": 0,
                "remains": [],
                "erased_places": 0,
            }
            with self._engine.begin() as connection:
                (number,) = connection.execute(insert(erasure_requests).values(row)).inserted_primary_key or (
                    0,
                )
                with atomic_write(self._file(number), mode=0o600) as partial:
                    partial.write_text(json.dumps({"user_id": user_id}), "utf-8")
        return self.get(number)

    def get(self, number: int) -> ErasureRequest:
        """Return a request. Raises TastemakerError if there is none of that number."""
        for one in self._read(erasure_requests.c.number == number):
            return one
        raise TastemakerError(f"there is no erasure request {number}", fix="tastemaker erasure list --all")

    def listed(self, *, only_open: bool) -> list[ErasureRequest]:
        """Return the requests, those with the nearest deadline first."""
        return self._read(erasure_requests.c.state.in_(OPEN)) if only_open else self._read()

    def find_user(self, number: int) -> list[Searched]:
        """Return where the user of an open request is, apart from the request's own file.

        Raises:
            TastemakerError: A place can't be searched; the message does not quote the id.
        """
        settings = self.settings
        try:
            found = search(settings, person_of(settings, _user_id(self._file(number))))
        except Exception as error:
            raise TastemakerError(f"the user can't be searched: {_problem(error)}", fix="try again") from None
        return [place for place in found if place.found and not self._is_own(place, number)]

    def approve(self, number: int, *, actor: str, reason: str) -> ErasureRequest:
        """Approve a waiting request.

        Args:
            number: The request's number.
            actor: Who approves it; recorded.
            reason: Why, without the user's id, since it is kept after the erasure.

        Returns:
            The request, which is approved.

        Raises:
            TastemakerError: It does not exist, or does not wait, or the reason names the user.
        """
        return self._decide(number, "approved", actor, reason)

    def decline(self, number: int, *, actor: str, reason: str) -> ErasureRequest:
        """Decline a waiting request, and delete the id.

        Args:
            number: The request's number.
            actor: Who declines it; recorded.
            reason: Why, without the user's id, since it is kept after the erasure.

        Returns:
            The request, which is declined.

        Raises:
            TastemakerError: The request does not wait, or the reason names the user.
        """
        return self._decide(number, "declined", actor, reason)

    def execute(self, number: int) -> ErasureRequest:
        """Erase the user of an approved request, and record whether a search still found them.

        Called again after an interruption, it repeats the erasure, which finds less. No error is raised
        that might quote the id: what went wrong is recorded with the request.

        Args:
            number: The request; one that is not approved is returned as it is.
        """
        with file_lock(self.folder / "execute.lock"):
            request = self.get(number)
            if request.state != "approved":
                return request
            try:
                found = self._outcome(number, forget(self.settings, _user_id(self._file(number))))
            except Exception as error:
                found = {"problem_text": _problem(error)}
            with self._locked():
                self._record(request, found)
            return self.get(number)

    def _outcome(self, number: int, proof: Proof) -> dict[str, Any]:
        remains = [place for place in proof.remains if not self._is_own(place, number)]
        if remains:
            return {
                "problem_text": "the user remains in versions in use, or in places of others",
                "remains": [{"place": one.place, "how": one.how, "found": one.found} for one in remains],
                "erased_places": erasure_requests.c.erased_places + len(proof.erased),
            }
        return {
            "state": "done",
            "problem_text": None,
            "remains": [],
            "erased_places": erasure_requests.c.erased_places + len(proof.erased),
            "searched_places": len(proof.searched),
            "looked_at": sum(place.looked_at for place in proof.searched),
            "ended_at": datetime.now(UTC),
        }

    def _record(self, request: ErasureRequest, found: dict[str, Any]) -> None:
        attempt = {"attempts": request.attempts + 1, "attempted_at": datetime.now(UTC)}
        with self._engine.begin() as connection:
            connection.execute(
                update(erasure_requests)
                .where(erasure_requests.c.number == request.number)
                .values(attempt | found)
            )

    def _decide(self, number: int, state: str, actor: str, reason: str) -> ErasureRequest:
        with self._locked():
            request = self.get(number)
            if request.state != "waiting":
                raise TastemakerError(
                    f"erasure request {number} is {request.state}, must be waiting",
                    fix=f"tastemaker erasure show {number}",
                )
            if state == "approved" or self._file(number).exists():
                self._require_unnamed(reason, _user_id(self._file(number)))
            now = datetime.now(UTC)
            ended = {"ended_at": now} if state == "declined" else {}
            decided = {"state": state, "decided_by": actor, "decided_at": now, "decision": reason}
            with self._engine.begin() as connection:
                connection.execute(
                    update(erasure_requests)
                    .where(erasure_requests.c.number == number)
                    .values(decided | ended)
                )
        return self.get(number)

    def _read(self, *conditions: Any) -> list[ErasureRequest]:
        columns = [erasure_requests.c[name] for name in ErasureRequest._fields]
        query = select(*columns).where(*conditions).order_by(erasure_requests.c.due_at)
        with self._engine.connect() as connection:
            return [ErasureRequest(*row) for row in connection.execute(query)]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with file_lock(self.folder / "requests.lock"):
            self._delete_ids_of_ended()
            yield
            self._delete_ids_of_ended()

    def _delete_ids_of_ended(self) -> None:
        """Delete the ids of requests that are not open, also where a process was killed before it did so."""
        numbers = {str(one.number) for one in self.listed(only_open=True)}
        for path in self._files():
            if path.stem not in numbers:
                path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.json"))

    def _file(self, number: int) -> Path:
        return self.folder / f"{number}.json"

    def _is_own(self, place: Searched, number: int) -> bool:
        return place.place == str(self._file(number).relative_to(self.settings.home))

    def _canonical(self, user_id: str) -> str:
        return canonical(user_id, self.settings.source.ids)

    def _require_unnamed(self, reason: str, user_id: str) -> None:
        forms = {user_id, self._canonical(user_id)}
        if any(re.search(rf"(?<!\w){re.escape(form)}(?!\w)", reason) for form in forms):
            raise TastemakerError(
                "the reason names the user, and it is kept after the erasure",
                fix="leave the id out: refer to a ticket",
            )


def _user_id(path: Path) -> str:
    try:
        found: str = json.loads(path.read_text("utf-8"))["user_id"]
    except FileNotFoundError:
        raise TastemakerError(
            f"{path} is missing, which holds the user id of erasure request {path.stem}",
            fix=f"tastemaker erasure decline {path.stem} --reason lost, then enter the request again",
        ) from None
    return found


def _problem(error: Exception) -> str:
    """Return what went wrong without the id, which the message of a database may quote."""
    return error.problem if isinstance(error, TastemakerError) else type(error).__name__
