"""Builds a process's worker from the settings: the log, the engines, the router and the checks of health.

A service of several engines builds each with `open_engine` and hands `assemble` a router over them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tastemaker.event_log.spool import Spool
from tastemaker.plugins import discovery
from tastemaker.privacy.pseudonyms import open_pseudonyms
from tastemaker.registry.deployment import Followed, Target
from tastemaker.serving.inference.batcher import Batcher, Limits
from tastemaker.serving.inference.predictor import Predictor
from tastemaker.serving.ranking.recent_feedback import RecentFeedback
from tastemaker.serving.runtime import database_status
from tastemaker.serving.runtime.answer_log import log_answers
from tastemaker.serving.runtime.health import Check, Health
from tastemaker.serving.runtime.hot_swap import Swapper, VersionWatcher
from tastemaker.serving.runtime.metrics import Metrics, Reason
from tastemaker.serving.runtime.online_updates import ModelRefresher
from tastemaker.serving.runtime.router import Router, SingleRouter
from tastemaker.serving.runtime.served_engine import ServedEngine
from tastemaker.serving.runtime.stored_ids import IdCheck
from tastemaker.serving.runtime.version_loader import VersionLoader, first_sound
from tastemaker.serving.runtime.version_selection import folders, followed, pinned_version, remember
from tastemaker.serving.runtime.watch_status import WatchStatus
from tastemaker.serving.runtime.worker import Worker
from tastemaker.serving.runtime.worker_slots import Workers
from tastemaker.settings import Settings


class WorkerPlace(NamedTuple):
    """Where a process stands among the workers of its server."""

    shared: Path | None = None
    """The folder that the workers share; None where there are no others."""
    number: int = 1
    server: int | None = None
    """The server's process id."""


class Parts(NamedTuple):
    """What the engines of a process share."""

    settings: Settings
    spool: Spool
    metrics: Metrics
    recent: RecentFeedback


def open_parts(settings: Settings, place: WorkerPlace, endpoints: Mapping[str, Iterable[int]]) -> Parts:
    """Open the log, the metrics and the recent feedback of a process.

    Args:
        settings: Say where.
        place: The process's.
        endpoints: The paths' templates, and the statuses that each may answer with.

    Returns:
        What all engines of the process share.
    """
    log = settings.log
    spool = Spool(settings.spool, capacity=log.spool_records, max_bytes=log.spool_bytes)
    metrics = Metrics(
        spool,
        place.shared,
        place=place.number,
        server=place.server,
        endpoints=endpoints,
        folders={"home": settings.home, "spool": settings.spool},
    )
    return Parts(settings, spool, metrics, RecentFeedback(settings.spool))


def open_engine(
    parts: Parts,
    name: str,
    candidates: Iterable[Path],
    *,
    follows: Followed | None = None,
    pinned: bool = False,
    learns: bool = True,
    swapped: Callable[[Target], None] = lambda target: None,
) -> ServedEngine:
    """Load the first sound version, and follow what replaces it.

    Args:
        parts: What the engines share.
        name: The model of the first version.
        candidates: The folders of the versions that may answer first, best first.
        follows: The deployment; None for a version that is not replaced.
        pinned: Whether a person pinned the version.
        learns: Whether any version that it may serve learns online.
        swapped: Called when another version is served.

    Returns:
        The engine, which answers from now on: from `serving.static_items` if no version can be loaded.

    Raises:
        TastemakerError: If no version can be loaded and there are no `serving.static_items`. A fault of a
            plugin is raised as it is.
    """
    settings, serving = parts.settings, parts.settings.serving
    metrics = parts.metrics.engine(name)
    loader = VersionLoader(settings, metrics, parts.recent)
    found, refused = first_sound(loader, candidates)
    predictor = found if isinstance(found, Predictor) else None
    if isinstance(found, Exception) and not serving.static_items:
        raise found
    if predictor is not None:
        metrics.serves(predictor.model, predictor.version)
    batcher = Batcher(
        name,
        predictor,
        partial(log_answers, parts.spool, metrics),
        Limits(serving.model_timeout_seconds, serving.max_waiting),
        serving.static_items,
        parts.recent,
        metrics.batch,
    )
    refresher = None
    if learns:
        seconds = settings.learning.poll_seconds
        refresher = ModelRefresher(settings.learning_root, batcher, metrics, seconds=seconds)

    def on_swap(target: Target) -> None:
        swapped(target)
        if refresher is not None:
            refresher.poll()  # with what it has learned

    watcher = None
    if follows is not None:
        swapper = Swapper(settings.artifacts, loader, batcher, metrics, swapped=on_swap)
        watcher = VersionWatcher(follows, swapper, refused=refused)
    return ServedEngine(batcher, loader, watcher, refresher, pinned, metrics)


def assemble(
    parts: Parts, router: Router, *, shared: Path | None = None, checks: Mapping[Reason, Check] | None = None
) -> Worker:
    """Build a worker over engines that are open, and begin to measure health and to poll recent feedback.

    Args:
        parts: What the engines share.
        router: Chooses the engine of a request.
        shared: The folder that the workers of one server share, if there are others.
        checks: Further parts that may fail while lists are answered.

    Returns:
        The worker, whose `close` also closes the engines.
    """
    spool, recent = parts.spool, parts.recent
    all_checks: dict[Reason, Check] = {
        "log": lambda: spool.trouble,
        "recent": lambda: recent.trouble,
        "watch": WatchStatus(parts.settings.home).trouble,
    }
    if shared is not None:
        all_checks["workers"] = partial(getattr, Workers(shared), "trouble")
        all_checks["database"] = partial(database_status.trouble, shared)
    health = Health(parts.metrics, router.engines, all_checks | dict(checks or {}))
    recent.follow()
    return Worker(
        router,
        spool,
        parts.metrics,
        health,
        pseudonyms=open_pseudonyms(parts.settings),
        recent=recent,
        ids=parts.settings.source.ids,
        id_check=IdCheck(parts.settings.source.missing_ids),
    )


def assemble_single(
    settings: Settings,
    model: str | None,
    packed: Path | None,
    place: WorkerPlace,
    endpoints: Mapping[str, Iterable[int]],
    checks: Mapping[Reason, Check],
) -> Worker:
    """Build the worker of a service with one engine: of a model, or of the champion.

    Args:
        settings: Of the home folder.
        model: The service's model; None for the champion's service.
        packed: The folder of the version inside the Bento that is served, if it is one.
        place: The process's place among the workers of its server.
        endpoints: As in `open_parts`.
        checks: As in `assemble`.

    Returns:
        The worker, as of `assemble`. Its engine follows the deployment, unless the version is packed or
        pinned.
    """
    shared = place.shared
    parts = open_parts(settings, place, endpoints)
    candidates: Sequence[Path] = [packed] if packed else list(folders(settings, model, shared))
    pinned = packed is None and pinned_version() is not None
    engine = open_engine(
        parts,
        model or candidates[0].parent.name,
        candidates,
        follows=None if packed or pinned else followed(settings, model),
        pinned=pinned,
        learns=model is None or discovery.get(model).recommender.capabilities.learns_online,
        swapped=lambda target: None if shared is None else remember(shared, target),
    )
    return assemble(parts, SingleRouter(engine), shared=shared, checks=checks)
