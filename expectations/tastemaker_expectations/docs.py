"""Great Expectations' Data Docs as one page that needs no network.

The library's own page takes its styles and scripts from public content networks. Here they are cut out, and a
small style sheet stands in for them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from tastemaker.data.gate import Rule

if TYPE_CHECKING:
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult

REMOTE = re.compile(
    r"<link\b[^>]*>|<script\b.*?</script>|<img\b[^>]*>|<footer\b.*?</footer>|<nav\b.*?</nav>|</?a\b[^>]*>"
    r"|background: url\([^)]*\)[^;]*;",
    re.DOTALL | re.IGNORECASE,
)

STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .6rem; text-align: left; vertical-align: top }
.text-success { color: #176f2c } .text-danger { color: #b00020 }
.fa-check-circle::before { content: "✓" } .fa-times::before { content: "✗" }
.card, .collapse, .lead, [data-toggle=collapse] { display: none } .container { padding-top: 0 }
.ge-section { margin: 0; padding-bottom: 0 } .alert h5 { font-size: 1rem; margin: 1rem 0 0 }
</style></head>"""


def page(source: str, table: str, results: Sequence[tuple[Rule, ExpectationValidationResult]]) -> str:
    """The HTML page over a table's results: the rules in words, then what the library says of each."""
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    found = [result for _, result in results]
    passed = sum(bool(result.success) for result in found)
    validation = ExpectationSuiteValidationResult(
        suite_name=f"{table} of {source}",
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
    return styled.replace("<body>", f"<body>{_summary(source, table, results)}", 1)


def _summary(source: str, table: str, results: Sequence[tuple[Rule, ExpectationValidationResult]]) -> str:
    rows = "".join(
        f"<tr><td>{rule.name}</td><td>{escape(rule.meaning)}</td><td>{result.result['unexpected_count']:,}</td></tr>"
        for rule, result in results
    )
    head = "<tr><th>Rule</th><th>What is wrong with a row that fails it</th><th>Rows</th></tr>"
    return f"<h1>{escape(table)} of {escape(source)}</h1><table>{head}{rows}</table>"
