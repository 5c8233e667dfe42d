"""Does a running service keep its OpenAPI document? Schemathesis asks everything that it allows and forbids.

    tastemaker serve &
    python benchmarks/contract.py http://127.0.0.1:3000 --key tm_... --cases 10000
    python benchmarks/contract.py --smoke        # a few cases against a small service of its own

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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

SMOKE_CASES = 50


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("url", required=False)
@click.option("--key", help="An API key with the scopes recommend, feedback and manage.")
@click.option("--cases", default=10_000, show_default=True, type=click.IntRange(1), help="At least so many.")
@click.option("--seed", default=1, show_default=True, help="Another seed, other cases.")
@click.option("--smoke", is_flag=True, help="A few cases against a small service that it starts itself.")
def main(url: str | None, key: str | None, cases: int, seed: int, smoke: bool) -> None:
    """Try URL's contract and say how it went; exit status 1 if it was broken."""
    if smoke:
        with small_service() as (own_url, own_key):
            sys.exit(run(own_url, own_key, SMOKE_CASES, seed))
    if url is None or key is None:
        raise click.UsageError("give the service's URL and a --key, or --smoke")
    sys.exit(run(url, key, cases, seed))


def run(url: str, key: str, cases: int, seed: int) -> bool:
    """Return whether Schemathesis found the contract broken, or tried fewer cases than asked for."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        done = subprocess.run(_command(url, key, cases, seed, report), cwd=folder)
        if not report.exists():
            sys.exit("Schemathesis did not get as far as a report")
        found = json.loads(report.read_text())
    tried, broken = found["test_cases"]["generated"], found["test_cases"]["unique_failures"]
    click.echo(
        f"{tried:,} cases over {found['operations']['tested']} operations, {broken} failures, seed {seed}"
    )
    return bool(done.returncode) or tried < cases


@contextmanager
def small_service() -> Iterator[tuple[str, str]]:
    """Start a service of a small shop, and yield its URL and a key for it."""
    from support.bento_servers import running
    from support.served_homes import make_home
    from tastemaker.serving.http.api_keys import add, changed

    with tempfile.TemporaryDirectory(prefix="contract-") as folder:
        home = Path(folder) / "home"
        make_home(home, ["popularity"])
        with changed(home / "keys.json") as keys:
            secret = add(keys, "everything", ["recommend", "feedback", "manage"]).secret
        environment = {"TASTEMAKER_HOME": str(home), "BENTOML_HOME": f"{folder}/bentoml"}
        command = ["bentoml", "serve", "tastemaker_baselines.service:Popularity"]
        with running(command, Path(folder), environment) as client:
            yield str(client.base_url), secret


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
    """Return how many operations take something that can be varied, beside the request's id."""
    with urllib.request.urlopen(document) as answer:
        paths: dict[str, Any] = json.load(answer)["paths"]
    return sum(
        len(operation["parameters"]) > 1 or "requestBody" in operation
        for methods in paths.values()
        for operation in methods.values()
    )


if __name__ == "__main__":
    main()
