"""Pages of the validation results of a table: the platform's own, and Great Expectations' with the details.

The library's page (Data Docs) loads styles and scripts from other hosts. They are removed here, and replaced
by a small style sheet.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

from tastemaker.data.validation.gate import ValidationRule
from tastemaker.html import Page, join, render, table, titled

if TYPE_CHECKING:
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult

REMOTE = re.compile(
    r"<link\b[^>]*>|<script\b.*?</script>|<img\b[^>]*>|<footer\b.*?</footer>|<nav\b.*?</nav>|</?a\b[^>]*>"
    r"|background: url\([^)]*\)[^;]*;",
    re.DOTALL | re.IGNORECASE,
)

Results = Sequence[tuple[ValidationRule, "ExpectationValidationResult"]]


class CheckedRows(NamedTuple):
    """Number of rows that were checked, and the times of the first and the last."""

    rows: int = 0
    first: datetime | None = None
    last: datetime | None = None

    def with_chunk(self, chunk: pa.Table) -> CheckedRows:
        """Return the counts with the rows of a chunk added."""
        ends = [self.first, self.last]
        if "occurred_at" in chunk.column_names and pa.types.is_timestamp(chunk["occurred_at"].type):
            ends += pc.min_max(chunk["occurred_at"]).as_py().values()
        known = [timestamp for timestamp in ends if timestamp is not None]
        return CheckedRows(self.rows + len(chunk), min(known, default=None), max(known, default=None))

    def __str__(self) -> str:
        rows = f"{self.rows:,} rows checked"
        if self.first is None or self.last is None:
            return rows
        return f"{rows}, {self.first:%Y-%m-%d} to {self.last:%Y-%m-%d}"


STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem }
body, td { overflow-wrap: anywhere } th { overflow-wrap: normal }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .6rem; text-align: left; vertical-align: top }
.text-success { color: #176f2c } .text-danger { color: #b00020 }
.fa-check-circle::before { content: "✓" } .fa-times::before { content: "✗" }
.card, .collapse, .lead, [data-toggle=collapse] { display: none } .container { padding-top: 0 }
.ge-section { margin: 0; padding-bottom: 0 } .alert h5 { font-size: 1rem; margin: 1rem 0 0 }
</style></head>"""


def page(
    source: str, table_name: str, found: CheckedRows, results: Results, made_at: datetime, details: str
) -> str:
    """Return the page of a table's results.

    Args:
        source: The name of the source.
        table_name: The name of the table.
        found: The rows that were checked.
        results: Each rule with its result.
        made_at: The time that the page shows.
        details: The file name of the library's page.
    """
    broken = [(rule, result) for rule, result in results if result.result["unexpected_count"]]
    rows = [[rule.name, rule.meaning, f"{result.result['unexpected_count']:,}"] for rule, result in results]
    body = join(
        [
            Markup("<h2>Rules</h2>"),
            table(
                ["ValidationRule", "Meaning", "Rows"],
                rows,
                classes={0: "name", 1: "text"},
            ),
            Markup(
                '<p><a href="{}">Each rule in detail</a>, a page made by Great Expectations (Data Docs).</p>'
            ).format(quote(details)),
        ]
    )
    return render(
        Page(
            f"Data check: {table_name} of {source}", _verdict(broken, len(results)), str(found), made_at, body
        )
    )


def _verdict(broken: Results, rules: int) -> str:
    """Return which rules were broken, the most often broken first."""
    if not broken:
        return f"No row breaks any of the {rules} rules."
    most = sorted(broken, key=lambda one: -one[1].result["unexpected_count"])
    named = ", ".join(f"{rule.name} ({result.result['unexpected_count']:,})" for rule, result in most)
    return (
        f"{len(broken)} of {rules} rules are broken, and rows that break one are kept in quarantine: {named}."
    )


def details(source: str, table_name: str, results: Results) -> str:
    """Return the library's page, without its references to other hosts.

    Args:
        source: The name of the source.
        table_name: The name of the table.
        results: Each rule with its result.
    """
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    found = [result for _, result in results]
    passed = sum(bool(result.success) for result in found)
    validation = ExpectationSuiteValidationResult(
        suite_name=f"{table_name} of {source}",
        success=passed == len(results),
        results=found,
        statistics={
            "evaluated_expectations": len(results),
            "successful_expectations": passed,
            "unsuccessful_expectations": len(results) - passed,
            "success_percent": 100 * passed / len(results),
        },
        meta={},
    )
    view: Any = DefaultJinjaPageView()
    html: str = view.render(ValidationResultsPageRenderer().render(validation))
    styled = REMOTE.sub("", html).replace("</head>", STYLE, 1)
    return titled(styled, f"Data check in detail: {table_name} of {source}")
