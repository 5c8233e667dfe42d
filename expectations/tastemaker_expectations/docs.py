"""Great Expectations' Data Docs as one page that needs no network.

The library's own page takes its styles and scripts from public content networks. Here they are cut out, and a
small style sheet stands in for them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult

REMOTE = re.compile(
    r"<link\b[^>]*>|<script\b.*?</script>|<img\b[^>]*https?://[^>]*>|<form\b.*?</form>",
    re.DOTALL | re.IGNORECASE,
)

STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .6rem; text-align: left; vertical-align: top }
ul { padding-left: 1.2rem } .alert { border-left: 4px solid #c33; padding-left: 1rem }
.text-success { color: #176f2c } .text-danger { color: #b00020 } .d-none, .modal, .collapse { display: none }
.fa-check-circle::before { content: "✓"; color: #176f2c } .fa-times::before { content: "✗"; color: #b00020 }
.container { padding-top: 0 } .ge-section { margin: 0 } footer { display: none }
</style></head>"""


def page(source: str, table: str, results: list[ExpectationValidationResult]) -> str:
    """The HTML page over a table's results."""
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    passed = sum(bool(result.success) for result in results)
    validation = ExpectationSuiteValidationResult(
        suite_name=f"{table} of {source}",
        success=passed == len(results),
        results=results,
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
    return REMOTE.sub("", html).replace("</head>", STYLE, 1)
