"""A source with pseudonyms in the place of user ids, and without the rows of users who were erased.

The raw columns (`raw_...`) would put user ids into quarantine. With pseudonyms, quarantine keeps the
canonical columns of a row instead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from tastemaker.data.sources import Reading, Source
from tastemaker.privacy.pseudonyms import Pseudonyms
from tastemaker.privacy.suppression_list import SuppressionList


class PrivateSource:
    """A source, filtered to what may be stored."""

    def __init__(
        self,
        source: Source,
        pseudonyms: Pseudonyms | None,
        forgotten: SuppressionList,
        *,
        first_day: date = date.min,
    ) -> None:
        """Wrap a source.

        Args:
            source: What is read; its rows may name users.
            pseudonyms: None keeps the user ids.
            forgotten: Users whose earlier rows are removed.
            first_day: Days before it are not offered, since they would not be kept.
        """
        self._source, self._pseudonyms, self._forgotten = source, pseudonyms, forgotten
        self._first_day = first_day
        self.name = source.name

    @property
    def identity(self) -> str:
        """The source's identity and the key's fingerprint: rows of different keys must not mix."""
        own = self._source.identity
        return own if self._pseudonyms is None else f"{own} (pseudonyms {self._pseudonyms.fingerprint})"

    @property
    def readings(self) -> Sequence[Reading]:
        return self._source.readings

    def days(self) -> dict[date, str]:
        return {
            day: digest for day, digest in self._source.days().items() if not date.min < day < self._first_day
        }

    def read(self, days: Collection[date] | None, rows: int) -> Iterator[pa.Table]:
        """Yield the rows of some days as tables, without those of erased users from before their erasure.

        With pseudonyms in place of user ids, the columns `raw_...` are left out.

        Args:
            days: The days to read; None: all that are offered.
            rows: The maximal number of rows of a table.
        """
        for chunk in self._source.read(self.days() if days is None else days, rows):
            yield self._filtered(chunk, "occurred_at")

    def items(self) -> pa.Table:
        return self._source.items()

    def users(self) -> pa.Table:
        return self._filtered(self._source.users(), "first_seen_at")

    def _filtered(self, rows: pa.Table, time: str) -> pa.Table:
        if self._pseudonyms is not None:
            hidden = _hidden(rows["user_id"], self._pseudonyms)
            rows = rows.set_column(rows.schema.get_field_index("user_id"), rows.field("user_id"), hidden)
            rows = rows.select([name for name in rows.column_names if not name.startswith("raw_")])
        return self._forgotten.without(rows, time)


def _hidden(user_ids: pa.ChunkedArray, pseudonyms: Pseudonyms) -> pa.Array:
    encoded = user_ids.combine_chunks().dictionary_encode()
    names = [None if name is None else pseudonyms.of(name) for name in encoded.dictionary.to_pylist()]
    return pc.take(pa.array(names, pa.string()), encoded.indices)
