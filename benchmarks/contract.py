"""Does a running service keep its OpenAPI document? Schemathesis asks everything that it allows and forbids.

    tastemaker serve &
    python benchmarks/contract.py http://127.0.0.1:3000 --key tm_... --cases 10000

The key needs all three scopes. Fails if an answer is a 5xx, or anything is answered otherwise than the
document says: another status, body, header or content type, sound input refused or unsound input taken.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("url")
@click.option("--key", required=True, help="An API key with the scopes recommend, feedback and manage.")
@click.option("--cases", default=10_000, show_default=True, type=click.IntRange(1), help="At least so many.")
@click.option("--seed", default=1, show_default=True, help="Another seed, other cases.")
def main(url: str, key: str, cases: int, seed: int) -> None:
    """Try URL's contract and say how it went; exit status 1 if it was broken."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        done = subprocess.run(_command(url, key, cases, seed, report), cwd=folder)
        if not report.exists():
            sys.exit("Schemathesis did not get as far as a report")
        told = json.loads(report.read_text())
    tried, broken = told["test_cases"]["generated"], told["test_cases"]["unique_failures"]
    click.echo(
        f"{tried:,} cases over {told['operations']['tested']} operations, {broken} failures, seed {seed}"
    )
    sys.exit(bool(done.returncode) or tried < cases)


def _command(url: str, key: str, cases: int, seed: int, report: Path) -> list[str]:
    document = f"{url.rstrip('/')}/openapi.json"
    return [
        str(Path(sys.executable).parent / "schemathesis"),
        "run",
        document,
        "--phases=examples,coverage,fuzzing",
        # On top of these come the cases that cover each limit of the document: two in five at least.
        f"--max-examples={math.ceil(cases / _varied(document) / 1.4)}",
        f"--seed={seed}",
        "--continue-on-failure",
        f"--header=Authorization: Bearer {key}",
        "--report=json",
        f"--report-json-path={report}",
    ]


def _varied(document: str) -> int:
    """How many operations take something that can be varied, beside the request's id."""
    with urllib.request.urlopen(document) as answer:
        paths: dict[str, Any] = json.load(answer)["paths"]
    return sum(
        len(operation["parameters"]) > 1 or "requestBody" in operation
        for methods in paths.values()
        for operation in methods.values()
    )


if __name__ == "__main__":
    main()
