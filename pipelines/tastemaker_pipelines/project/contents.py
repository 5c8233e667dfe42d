"""What the files of a new project say, by its source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from tastemaker_pipelines.project.data import Examined, examine, relative, test_days
from tastemaker_pipelines.project.scaffold import Project, toml
from tastemaker_pipelines.recent_shop import recent_first_day

HEADING = "# Where events come from."
SQL = (
    "# Better set as TASTEMAKER_SOURCE__URL: it holds a password.",
    'url = "postgresql+psycopg2://user@host/shop"',
    "# Tables, or SELECTs that yield user_id, item_id, occurred_at, and optionally event_type and value.",
    'events = "SELECT * FROM events"',
    '# items = "items"',
)
TABLE = (
    "# Zone of times that carry none.",
    '# timezone = "UTC"',
    "# Files of items and users, and columns of your own to keep for models and slices.",
    '# items = "items.csv"',
    '# item_columns = ["brand"]',
)
SHOP = (
    "# The date of the shop's first day; how many users and items it begins with, and events per day.",
    'options.dated = "{first_day}"',
    "# options.n_users = 2800",
    "# options.n_items = 1200",
    "# options.events_per_day = 1300",
    "# The shop is not open after its last day, so experiments wait for none of its events.",
    "ended = true",
    '# For a file of your own instead: name = "table", and path = "orders.csv" in the place of the options.',
)
CHECK = "tastemaker data check            # what validation makes of your rows"
LIST = "tastemaker models list           # what can be trained"


def simulated(folder: Path) -> Project:
    """Return the contents for a simulated shop that is open now."""
    first = recent_first_day(datetime.now(UTC).date())
    section = _section("simulated", *(line.format(first_day=first) for line in SHOP))
    problem = (files("tastemaker.simulator") / "problem.yaml").read_text("utf-8")
    return Project(title(folder), section, problem, LIST)


def without_file(folder: Path, source: str) -> tuple[Project, list[str]]:
    """Return the contents for a source that reads no file, such as sql, and what is left to fill in.

    Args:
        folder: The project's folder, whose name becomes the title.
        source: The name of the source.
    """
    section = _section(source, *(SQL if source == "sql" else ()))
    project = Project(title(folder), section, _problem({"name": title(folder)}), CHECK)
    return project, [
        "before the first run, complete [source] in tastemaker.toml and the events in problem.yaml"
    ]


def with_file(folder: Path, data: Path, source: str, columns: Mapping[str, str]) -> tuple[Project, list[str]]:
    """Return the contents for the user's own file, and what to know of it.

    Args:
        folder: The project's folder.
        data: The file, which is read once.
        source: A source that reads files.
        columns: Canonical column -> the file's own column.

    Raises:
        TastemakerError: If the file can't be read or mapped.
    """
    from tastemaker.problem.spec import SplitSpec

    found = examine(data, source, columns)
    horizon = test_days(found.days, SplitSpec().test_days)
    pairs = ", ".join(f"{name} = {toml(own)}" for name, own in columns.items())
    mapped = [f"columns = {{ {pairs} }}"] if columns else []
    examples = TABLE if source == "table" else ()
    section = _section(source, f"path = {toml(relative(data, folder))}", *mapped, *examples)
    answers = {"name": title(folder), "event_type": found.goal, "test_days": horizon}
    return Project(title(folder), section, _problem(answers), CHECK), _notes(found, horizon)


def title(folder: Path) -> str:
    """Return the folder's name as words on one line."""
    words = re.sub(r"[^\w.]+|_", " ", folder.absolute().name)
    return " ".join(words.split()) or "shop"


def _section(source: str, *lines: str) -> str:
    return "\n".join([HEADING, "[source]", f"name = {toml(source)}", *lines, ""])


def _problem(answers: Mapping[str, object]) -> str:
    from tastemaker.framing.answers import to_problem
    from tastemaker.problem.writing import to_yaml

    return to_yaml(to_problem(answers))


def _notes(found: Examined, horizon: int) -> list[str]:
    types = ", ".join(f"{name} ({rows:,})" for name, rows in found.event_types.items())
    return [
        f"the problem counts {found.goal} events; the file has {types}",
        f"the file covers {found.days:,} days; the last {horizon:,} of them are the test period",
        *found.warnings,
    ]
