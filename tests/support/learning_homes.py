"""Homes whose models learn from a log that is written here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from support import served_homes
from support.request_logs import fill
from tastemaker.data.lake import Lake
from tastemaker.dataset.dataset import Dataset
from tastemaker.event_log.attribution import as_feedback, impressions
from tastemaker.event_log.records import Entry, FeedbackRecord, Item, Record
from tastemaker.event_log.spool_file import FILE_NAME, read
from tastemaker.online_learning.checkpoints import Checkpoints
from tastemaker.online_learning.learner import LearningResult
from tastemaker.plugins import Feedback, discovery
from tastemaker.registry import Version
from tastemaker.registry.artifact import LoadedVersion, load_version
from tastemaker.settings import LearningSettings, Settings
from tastemaker.workflows.online_learning import learning_session
from tastemaker.workflows.workspace import Workspace

END = int(served_homes.START.timestamp()) + served_homes.DAYS * 86_400
FEEDBACK_DELAY = 60.0
LATER = END + 10_000.0


def workspace(home: Path, feedback_delay: float = FEEDBACK_DELAY) -> Workspace:
    """What lies in a home."""
    (home / "problem.yaml").write_text(served_homes.problem().model_dump_json())
    learning = LearningSettings(feedback_delay_seconds=feedback_delay, poll_seconds=0.1)
    return Workspace(Settings(home=home, problem=home / "problem.yaml", learning=learning))


def shown(number: int, version: str, at: float, items: Sequence[str], **other: Any) -> Record:
    """An answer `at` seconds after the training window."""
    fields: dict[str, Any] = {
        "request_id": f"{number:032x}",
        "occurred_at": END + at,
        "user_id": f"user-{number % 40:02d}",
        "k": len(items),
        "model": "thompson",
        "version": version,
        "items": [Item(item, 1.0, 0.1) for item in items],
        "latency_ms": 1.0,
    }
    return Record(**fields | other)


def bought(
    name: str, of: Record, item: str, after: float, *, came_after: float | None = None
) -> FeedbackRecord:
    """A purchase of an item of a list, so many seconds after it was shown."""
    came = after if came_after is None else came_after
    timestamp = of.occurred_at
    return FeedbackRecord(
        name, item, "purchase", 1.0, timestamp + after, timestamp + came, request_id=of.request_id
    )


def traffic(
    version: str, n: int, *, seconds: float = 3_000, seed: int = 0, width: int = 0
) -> list[Record | FeedbackRecord]:
    """Requests of lists of three; item-00 is bought every other time, the others rarely."""
    rng = np.random.default_rng(seed)
    entries: list[Record | FeedbackRecord] = []
    for number in range(n):
        items = [f"item-{item:02d}" for item in rng.choice(served_homes.N_ITEMS, 3, replace=False)]
        context = rng.normal(size=width).tolist() if width else None
        record = shown(1_000_000 * seed + number, version, rng.uniform(0, seconds), items, context=context)
        entries.append(record)
        for item in items:
            if rng.random() < (0.5 if item == "item-00" else 0.05):
                entries.append(bought(f"{record.request_id}-{item}", record, item, rng.uniform(1, 50)))
    return entries


def log(home: Path, entries: Iterable[Entry]) -> None:
    """Write them into the home's spool."""
    fill(home / "spool", list(entries))


def learn(home: Path, version: Version, now: float = LATER, *, whole: bool = True) -> LearningResult:
    """One look by a learner that then ends."""
    opened = workspace(home)
    with learning_session(opened, opened.registry.get(version.id)) as learning:
        return learning.step(now, whole=whole)


def state(home: Path, version: Version) -> dict[str, bytes]:
    """File -> content of the state that is served."""
    states = Checkpoints(home / "learning", load_version(version.folder))
    name = states.current()
    assert name is not None
    folder = states.folder / name / "model"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def logged_feedback(entries: Iterable[Entry], loaded: LoadedVersion) -> Feedback:
    """The entries as a model learns them, in the log's order."""
    with tempfile.TemporaryDirectory() as folder:
        log(Path(folder), entries)
        undrained = read(Path(folder) / "spool" / FILE_NAME, 100_000)
        problem = served_homes.problem()
        lake = Lake(Path(folder) / "lake")
        shown = impressions(lake, problem, feedback_delay=FEEDBACK_DELAY, undrained=undrained)
        return as_feedback(shown, loaded.snapshot.user_ids, loaded.snapshot.item_ids)


def contextual_home(home: Path, width: int) -> Version:
    """A home whose model looks at contexts of this width."""
    made = served_homes.make_home(home, ())
    assert not made
    recommender = discovery.get("lin_ucb").recommender
    model = recommender(context_size=width)
    return served_homes.register(home, model, Dataset.load(Lake(home / "lake"), served_homes.problem()))
