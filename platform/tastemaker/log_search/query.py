"""The query language of `tastemaker log search`: conditions on fields, and free text in the context.

    user:17850 stage:popular items<k since:2h "home page"

All conditions must hold. `:` and `=` mean equal; numbers also have `<`, `<=`, `>`, `>=`, and may be compared
with another number's field. `!=` excludes. A `*` at the end of a text searches its beginning.
"""

from __future__ import annotations

import operator as operators
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from tastemaker.errors import TastemakerError
from tastemaker.event_log.records import Record
from tastemaker.log_search.fields import FIELDS, Field, NumberField, TextField, TimeField
from tastemaker.privacy.pseudonyms import PREFIX, Pseudonyms
from tastemaker.snapshot.canonical_ids import IdForm, canonical
from tastemaker.util.spelling import did_you_mean

_TERM = re.compile(
    r'(?:(?P<field>[A-Za-z_]\w*)(?P<operator>!=|<=|>=|[:=<>]))?+(?P<value>"(?:[^"\\]|\\.)*"|[^\s"]\S*)(?!\S)'
)
_PSEUDONYM = re.compile(PREFIX + "[0-9a-f]{32}")
_AGO = re.compile(r"(\d+)([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operators.eq,
    "!=": operators.ne,
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
}
_TEXT_OPERATORS: Final = (":", "=", "!=")


@dataclass(frozen=True)
class TextTerm:
    """A condition on a text: one of its values is, or begins with, one of these."""

    field: TextField
    values: tuple[str, ...]
    """Other written forms of one value; () for a field that has no value at all."""
    is_prefix: bool = False
    is_negated: bool = False

    @property
    def is_exact(self) -> bool:
        """Whether only these values match."""
        return not (self.is_prefix or self.is_negated)

    def sql(self, bind: Callable[[object], str]) -> str:
        """Return the condition in DuckDB's SQL; `bind` returns the name of a parameter for a value."""
        found = " OR ".join(self._in(column, bind) for column in self.field.columns)
        found = f"coalesce({found}, false)"
        return f"NOT {found}" if self.is_negated else found

    def matches(self, record: Record) -> bool:
        """Return whether a record meets the condition."""
        values = self.field.values(record)
        if self.is_prefix:
            found = any(value.startswith(self.values) for value in values)
        else:
            found = any(value in self.values for value in values) if self.values else not list(values)
        return found != self.is_negated

    def _in(self, column: str, bind: Callable[[object], str]) -> str:
        if not self.values:
            return f"{column} IS NULL"
        tests = []
        for value in map(bind, self.values):
            if self.field.is_list and self.is_prefix:
                tests.append(f"len(list_filter({column}, lambda one : starts_with(one, {value}))) > 0")
            elif self.field.is_list:
                tests.append(f"list_contains({column}, {value})")
            else:
                tests.append(f"starts_with({column}, {value})" if self.is_prefix else f"{column} = {value}")
        return (
            " OR ".join(f"coalesce({test}, false)" for test in tests)
            if self.field.is_list
            else (" OR ".join(tests))
        )


@dataclass(frozen=True)
class NumberTerm:
    """A comparison of a number with a constant, or with another field's number."""

    field: NumberField
    operator: str
    value: float | NumberField

    def sql(self, bind: Callable[[object], str]) -> str:
        """Return the condition as SQL; numbers are compared in the lake's precision."""
        other = f"{bind(self.value)}::FLOAT" if isinstance(self.value, float) else self.value.column
        return f"coalesce({self.field.column} {self.operator} {other}, false)"

    def matches(self, record: Record) -> bool:
        """Return whether a record meets the condition."""
        other = self.value if isinstance(self.value, float) else self.value.value(record)
        return _COMPARE[self.operator](_as_stored(self.field.value(record)), _as_stored(other))


@dataclass(frozen=True)
class TimeTerm:
    """A bound of the request's time."""

    field: TimeField
    timestamp: datetime

    def sql(self, bind: Callable[[object], str]) -> str:
        """Return the condition as SQL, with its values bound."""
        return f"occurred_at {self.field.operator} {bind(self.timestamp)}"

    def matches(self, record: Record) -> bool:
        """Return whether a record meets the condition."""
        return _COMPARE[self.field.operator](record.occurred_at, self.timestamp.timestamp())


@dataclass(frozen=True)
class ContextTerm:
    """A text that the request's context has somewhere, in any letter case."""

    text: str

    def sql(self, bind: Callable[[object], str]) -> str:
        """Return the condition as SQL, with its values bound."""
        return f"coalesce(contains(lower(context), {bind(self.text.lower())}), false)"

    def matches(self, record: Record) -> bool:
        """Return whether a record meets the condition."""
        if record.context is None:
            return False
        return self.text.lower() in msgspec.json.encode(record.context).decode().lower()


Term = TextTerm | NumberTerm | TimeTerm | ContextTerm


@dataclass(frozen=True)
class Query:
    """Conditions that all must hold; without any, every request matches."""

    terms: tuple[Term, ...] = ()

    def sql(self) -> tuple[str, dict[str, Any]]:
        """Return a condition in DuckDB's SQL, and its parameters."""
        parameters: dict[str, Any] = {}

        def bind(value: object) -> str:
            name = f"value_{len(parameters)}"
            parameters[name] = value
            return f"${name}"

        return " AND ".join(f"({term.sql(bind)})" for term in self.terms) or "true", parameters

    def matches(self, record: Record) -> bool:
        """Return whether a record meets every condition."""
        return all(term.matches(record) for term in self.terms)

    @property
    def since(self) -> datetime | None:
        """The latest lower bound of the time; None if there is none."""
        return max(self._bounds("since"), default=None)

    @property
    def until(self) -> datetime | None:
        """The earliest upper bound of the time, exclusive; None if there is none."""
        return min(self._bounds("until"), default=None)

    def exactly(self, name: str) -> tuple[str, ...] | None:
        """Return the only values that a text field may have; None if the query does not say."""
        for term in self.terms:
            if isinstance(term, TextTerm) and term.field.name == name and term.values and term.is_exact:
                return term.values
        return None

    def _bounds(self, name: str) -> Iterator[datetime]:
        return (one.timestamp for one in self.terms if isinstance(one, TimeTerm) and one.field.name == name)


@dataclass(frozen=True)
class Parser:
    """Reads queries for one home."""

    now: datetime
    """To which relative times refer."""
    ids: IdForm = "canonical"
    """The form of the log's ids."""
    pseudonyms: Pseudonyms | None = None
    """Hides the user ids that a query names, where the log has pseudonyms."""

    def parse(self, text: str) -> Query:
        """Read a query.

        Raises:
            TastemakerError: A field, an operator or a value is wrong; the message names the allowed ones.
        """
        terms, at = list[Term](), 0
        while at < len(text):
            if text[at].isspace():
                at += 1
                continue
            found = _TERM.match(text, at)
            if found is None:
                raise TastemakerError(
                    f"the query can't be read from {text[at:]!r} on: a value is missing or a quotation mark "
                    "is not closed",
                    fix='write field:value, or "a text" that the context contains',
                )
            at = found.end()
            terms.append(self._read(found))
        return Query(tuple(terms))

    def as_stored(self, text: str) -> str:
        """Return a query as an audit stores it: user ids in the form that the log has them in.

        Args:
            text: A query that `parse` can read.

        >>> Parser(datetime(2026, 3, 1, tzinfo=UTC)).as_stored('user:27.0 since:2h "27.0"')
        'user:27 since:2h "27.0"'
        """
        return _TERM.sub(self._stored, text)

    def term(self, name: str, operator: str, value: str) -> Term:
        """Return one condition.

        Args:
            name: A field.
            operator: One of `:`, `=`, `!=`, `<`, `<=`, `>`, `>=`.
            value: As written, without quotation marks. A `*` in it has no special meaning.

        Raises:
            TastemakerError: As `parse`.
        """
        field = _field(name)
        if isinstance(field, TextField):
            return self._text(field, operator, value, is_quoted=True)
        return self._other(field, operator, value)

    def _read(self, found: re.Match[str]) -> Term:
        value, is_quoted = _unquoted(found["value"])
        if found["field"] is None:
            return ContextTerm(value)
        field = _field(found["field"])
        if isinstance(field, TextField):
            return self._text(field, found["operator"], value, is_quoted=is_quoted)
        return self._other(field, found["operator"], value)

    def _stored(self, found: re.Match[str]) -> str:
        if (found["field"] or "").lower() != "user":
            return found[0]
        value, is_quoted = _unquoted(found["value"])
        if not is_quoted and value.endswith("*"):
            return found[0]
        stored = canonical(value, self.ids)
        if self.pseudonyms is not None and not _PSEUDONYM.fullmatch(value):
            stored = self.pseudonyms.of(stored)
        if is_quoted:
            stored = '"' + re.sub(r'(["\\])', r"\\\1", stored) + '"'
        return f"{found['field']}{found['operator']}{stored}"

    def _other(self, field: NumberField | TimeField, operator: str, value: str) -> Term:
        if isinstance(field, NumberField):
            return NumberTerm(field, "=" if operator == ":" else operator, _number(field, value))
        if operator not in (":", "="):
            raise _wrong_operator(field, operator, (":", "="))
        return TimeTerm(field, self._timestamp(field, value))

    def _text(self, field: TextField, operator: str, value: str, *, is_quoted: bool) -> TextTerm:
        if operator not in _TEXT_OPERATORS:
            raise _wrong_operator(field, operator, _TEXT_OPERATORS)
        negated = operator == "!="
        if field.allowed and value not in field.allowed:
            raise TastemakerError(
                f"{field.name} is {value!r}, must be one of {', '.join(field.allowed)}",
                fix=did_you_mean(value, field.allowed, "name one of them"),
            )
        if field.name == "fallback" and value in ("any", "none"):
            return TextTerm(field, (), is_negated=(value == "any") != negated)
        if not value:
            raise TastemakerError(f"{field.name} is empty", fix=f"write a value, such as {field.name}:abc")
        is_prefix = not is_quoted and value.endswith("*")
        if is_prefix:
            value = value[:-1]
        if field.name == "user" and self.pseudonyms is not None:
            if is_prefix:
                raise TastemakerError(
                    f"user:{value}* can't be searched: the log has pseudonyms, which begin differently",
                    fix="write the whole user id",
                )
            return TextTerm(field, self._hidden(value, self.pseudonyms), is_negated=negated)
        forms = (value,) if is_prefix or not field.is_id else (value, canonical(value, self.ids))
        return TextTerm(field, tuple(dict.fromkeys(forms)), is_prefix=is_prefix, is_negated=negated)

    def _hidden(self, user_id: str, pseudonyms: Pseudonyms) -> tuple[str, ...]:
        """Return the pseudonyms of a user's id; a value that is a pseudonym stays as it is."""
        forms = dict.fromkeys((user_id, canonical(user_id, self.ids)))
        hidden = tuple(map(pseudonyms.of, forms))
        return (*hidden, user_id) if user_id.startswith(PREFIX) else hidden

    def _timestamp(self, field: TimeField, value: str) -> datetime:
        try:
            if ago := _AGO.fullmatch(value):
                return self.now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            timestamp = datetime.fromisoformat(value)
        except (ValueError, OverflowError):
            raise TastemakerError(
                f"{field.name} is {value!r}, must be a time",
                fix="write 2026-03-01, 2026-03-01T12:30 (UTC unless it has an offset), or 15m, 2h, 7d or 1w "
                "for a time ago",
            ) from None
        return timestamp if timestamp.tzinfo is not None else timestamp.replace(tzinfo=UTC)


def _unquoted(written: str) -> tuple[str, bool]:
    """Return a value without its quotation marks, and whether it had them."""
    if not written.startswith('"'):
        return written, False
    return re.sub(r"\\(.)", r"\1", written[1:-1]), True


def _field(name: str) -> Field:
    field = FIELDS.get(name.lower())
    if field is None:
        raise TastemakerError(
            f"the query names a field {name!r}, must be one of {', '.join(FIELDS)}",
            fix=did_you_mean(name.lower(), FIELDS, "name one of them")
            + '; quote a text that the context contains, "a:b"',
        )
    return field


def _number(field: NumberField, value: str) -> float | NumberField:
    other = FIELDS.get(value)
    if isinstance(other, NumberField):
        return other
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if number != number or number in (float("inf"), float("-inf")):
        names = [name for name, one in FIELDS.items() if isinstance(one, NumberField)]
        raise TastemakerError(
            f"{field.name} is compared with {value!r}, must be a number or one of {', '.join(names)}",
            fix=f"write a number, such as {field.name}>10",
        )
    return number


def _wrong_operator(field: TextField | TimeField, operator: str, allowed: tuple[str, ...]) -> TastemakerError:
    return TastemakerError(
        f"{field.name} is compared by {operator}, must be one of {' '.join(allowed)}",
        fix=f"write {field.name}:value",
    )


def _as_stored(value: float) -> float:
    """Return a number in the lake's precision, 32 bits."""
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
