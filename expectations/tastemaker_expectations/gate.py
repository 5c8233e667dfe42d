"""Validation gate on Great Expectations: suites over pandas batches, row by row, and offline Data Docs."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tastemaker.data.validation.gate import RowChecks, ValidationRule, partition_rows
from tastemaker.util.atomic_files import atomic_write
from tastemaker_expectations.docs import CheckedRows
from tastemaker_expectations.library import load_library, open_batches
from tastemaker_expectations.suite import Suite

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult

TABLES = ("events", "items", "users")
RESULT_FORMAT = {
    "result_format": "COMPLETE",
    "exclude_unexpected_values": True,
    "return_unexpected_index_query": False,
}


class GreatExpectationsGate:
    """The Great Expectations gate of one source. It keeps its results for `write_docs`.

    Args:
        source: The name of the source, whose own rules of events come first if this package has them.
        now: The time that no event may lie far ahead of, aware; None: the time of each check.
    """

    def __init__(self, source: str, *, now: datetime | None = None) -> None:
        self.source = source
        self._now = now
        self._results: dict[str, dict[str, ExpectationValidationResult]] = {}
        self._found: dict[str, CheckedRows] = {}
        load_library()
        self._suites = {table: load_suite(table, source) for table in TABLES}

    @cached_property
    def version(self) -> str:
        """Hash of every rule's name and expectation."""
        checks = [
            (
                table,
                check.rule.name,
                check.expectation.configuration.type,
                check.expectation.configuration.kwargs,
            )
            for table, suite in self._suites.items()
            for check in suite.checks
        ]
        return hashlib.sha256(json.dumps(checks, default=str).encode()).hexdigest()[:16]

    def rules(self, table: str) -> tuple[ValidationRule, ...]:
        """Return the table's rules, in the order in which a row is evaluated."""
        return tuple(check.rule for check in self._suites[table].checks)

    def check(self, table: str, chunk: pa.Table) -> RowChecks:
        """Partition a chunk into valid and invalid rows.

        The result of each rule is added to those of the table's earlier chunks, for `write_docs`.

        Args:
            table: `events`, `items` or `users`.
            chunk: Landed rows with the columns that the rules read, such as `item_id_was_seen`; may be empty.

        Returns:
            The accepted rows, the quarantined ones, and the number of rows by the first rule that they
                failed.
        """
        checks = self._suites[table].checks
        names = [check.rule.name for check in checks]
        failed = np.zeros((len(chunk), len(names)), np.bool_)
        if len(chunk):
            self._found[table] = self._found.get(table, CheckedRows()).with_chunk(chunk)
            for name, result in self._validate(table, chunk).items():
                failed[result.result["unexpected_index_list"], names.index(name)] = True
        return partition_rows(self.source, table, chunk, names, failed)

    def write_docs(self, folder: Path) -> list[Path]:
        """Write two pages per table that are readable offline: ours and Great Expectations' own.

        Returns:
            The paths of our pages.
        """
        from tastemaker_expectations.docs import details, page

        pages, made_at = [], datetime.now(UTC)
        for table, results in self._results.items():
            path = folder / f"{self.source}-{table}.html"
            behind = path.with_name(f"{path.stem}-details.html")
            seen = [(rule, results[rule.name]) for rule in self.rules(table)]
            ours = page(self.source, table, self._found[table], seen, made_at, behind.name)
            for written, document in ((behind, details(self.source, table, seen)), (path, ours)):
                with atomic_write(written) as partial:
                    partial.write_text(document, "utf-8")
            pages.append(path)
        return pages

    def _validate(self, table: str, chunk: pa.Table) -> dict[str, ExpectationValidationResult]:
        """Return the result of each expectation on the chunk's rows, by the rule's name."""
        suite = self._suites[table]
        measures = suite.measure(chunk, self._now or datetime.now(UTC))
        batch = self._batches.get_batch({"dataframe": pa.table(measures).to_pandas()})
        found = batch.validate(self._expectations[table], result_format=RESULT_FORMAT)
        results = {}
        for result in found.results:
            name = _rule_of(result)
            results[name] = result
            if "unexpected_index_list" not in result.result:
                raise RuntimeError(f"the rule {name} could not be checked: {result.exception_info}")
            _add(self._results.setdefault(table, {}), name, result)
        return results

    @cached_property
    def _expectations(self) -> dict[str, ExpectationSuite]:
        import great_expectations as gx

        for suite in self._suites.values():
            for check in suite.checks:
                check.expectation.meta = {"rule": check.rule.name, "notes": check.rule.meaning}
        return {
            table: gx.ExpectationSuite(table, expectations=[check.expectation for check in suite.checks])
            for table, suite in self._suites.items()
        }

    @cached_property
    def _batches(self) -> BatchDefinition[Any]:
        return open_batches()


def load_suite(table: str, source: str) -> Suite:
    """Return the suite of a table.

    Events are checked by the rules of the source first, if this package has a module of the source's name.

    Args:
        table: `events`, `items` or `users`.
        source: The name of the source.
    """
    suite: Suite = importlib.import_module(f"tastemaker_expectations.{table}").suite()
    own = f"tastemaker_expectations.{source}"
    if table == "events" and source not in TABLES and importlib.util.find_spec(own) is not None:
        suite = suite.after(importlib.import_module(own).suite())
    return suite


def _rule_of(result: ExpectationValidationResult) -> str:
    config = result.expectation_config
    if config is None or config.meta is None:
        raise RuntimeError(f"a result without its expectation: {result}")
    return str(config.meta["rule"])


def _add(
    results: dict[str, ExpectationValidationResult], name: str, found: ExpectationValidationResult
) -> None:
    """Count a chunk's result in, so that the docs speak of the whole table."""
    counted = results.setdefault(name, found)
    if counted is not found:
        counted.success = bool(counted.success and found.success)
        for count in ("element_count", "missing_count", "unexpected_count"):
            counted.result[count] = counted.result.get(count, 0) + found.result.get(count, 0)
    total = counted.result["element_count"] or 1
    present = total - counted.result.get("missing_count", 0)
    unexpected = counted.result["unexpected_count"]
    counted.result["unexpected_percent"] = 100 * unexpected / (present or 1)
    counted.result["unexpected_percent_total"] = 100 * unexpected / total
