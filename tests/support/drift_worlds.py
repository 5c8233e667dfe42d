"""A simulated shop in which a version is served day by day, and a drift report is made each night."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tastemaker.api.schemas import Request
from tastemaker.data.lake import Lake
from tastemaker.dataset.dataset import Dataset
from tastemaker.event_log.records import Record
from tastemaker.event_log.rows import request_rows
from tastemaker.features.snapshots import SnapshotFeatures
from tastemaker.monitoring.drift import DriftReport, drift_report
from tastemaker.plugins import discovery
from tastemaker.problem import EventReward, Objective, ProblemSpec
from tastemaker.registry import Registry, Version
from tastemaker.serving.inference.predictor import InferenceRequest, Predictor
from tastemaker.simulator.shop.config import ShopConfig
from tastemaker.simulator.shop.shifts import Shift
from tastemaker.simulator.shop.shop import Shop
from tastemaker.snapshot.ids import IdIndex
from tastemaker.storage.engine import open_engine
from tastemaker.workflows.drift_reference import ensure_drift_reference

LOOKS_PER_REQUEST = 4
"""A visit has so many looks and one request."""
PROBLEM = ProblemSpec(
    name="simulated shop",
    objectives=(Objective(name="interest", events={"view": EventReward(), "purchase": EventReward()}),),
)


class DriftWorld:
    """A shop with some days of events, a version that learned from them, and the days after."""

    def __init__(
        self,
        home: Path,
        *,
        model: str = "trending",
        learned_days: int = 70,
        days: int = 30,
        shifts: Sequence[Shift] = (),
        **options: Any,
    ) -> None:
        """Open a shop, and train the first version.

        Args:
            home: An empty folder.
            model: The model that is served.
            learned_days: Days before the first version.
            days: Days that it is served.
            shifts: What changes in the shop.
            **options: Further options of the shop.
        """
        self.shop = Shop(ShopConfig(n_days=learned_days + days, shifts=tuple(shifts), **options))
        self.home, self.model, self.day = home, model, 0
        self.lake = Lake(home / "lake")
        self.engine = open_engine(f"sqlite:///{home / 'tastemaker.db'}")
        self.registry = Registry(self.engine, home / "artifacts")
        self.lake.write("users", self.shop.users())
        for _ in range(learned_days):
            self.land()
        self.version = self.train()

    @property
    def date(self) -> date:
        """Today: the day that is not landed yet."""
        return self.shop.config.first_date + timedelta(days=self.day)

    def land(self) -> None:
        """Write today's events, and the catalogue as it is today. Then it is tomorrow."""
        for rows in self.shop.read([self.date]):
            self.lake.write_day("events", self.date, rows)
        items, prices = self.shop.items(), self.shop.on(self.day)[0].prices
        at = items.column_names.index("price")
        self.lake.write("items", items.set_column(at, items.schema.field(at), pa.array(prices)))
        self.day += 1

    def train(self) -> Version:
        """Fit and register a version on all days until today, with its drift reference."""
        dataset = Dataset.load(self.lake, PROBLEM, feature_root=self.home / "features")
        cut = dataset.cut()
        data = cut.training(0)
        model = discovery.get(self.model).recommender().fit(data)
        version = self.registry.add(
            model,
            problem=PROBLEM,
            snapshot=cut.serving_snapshot,
            window=(cut.start, cut.end),
            counts={"events": len(data.events), "users": data.n_users, "items": data.n_items},
            seed=0,
        )
        ensure_drift_reference(self.lake, self.registry, version)
        return version

    def serve(self, version: Version) -> None:
        """Answer today's requests, and log the answers."""
        loaded = self.registry.open(version)
        events = self.shop.draw_day(self.day)
        rng = np.random.default_rng((self.shop.config.seed, self.day))
        chosen = (events.types == 0) & (rng.random(len(events.types)) < 1 / LOOKS_PER_REQUEST)
        users = [f"u{user:07d}" for user in events.users[chosen].tolist()]
        midnight = datetime.combine(self.date, time(), UTC).timestamp()
        names = loaded.model.capabilities.user_features
        features = None
        if names:
            index = IdIndex.build(users)
            table = SnapshotFeatures(self.lake, self.home / "features", index, IdIndex.build([])).users(
                int(midnight)
            )
            features = lambda ids: table.select(names).values[index.lookup(ids)]  # noqa: E731
        predictor = Predictor(loaded, features=features)
        asks = [
            InferenceRequest(Request(user, 10), f"{self.day:016x}{number:016x}", midnight)
            for number, user in enumerate(users)
        ]
        records = [
            Record(
                ask.request_id,
                midnight + microseconds / 1e6,
                user,
                10,
                version.model,
                version.id,
                result.answer.items,
                1.0,
                features=result.features,
            )
            for ask, user, microseconds, result in zip(
                asks, users, events.microseconds[chosen].tolist(), predictor.recommend(asks), strict=True
            )
        ]
        self.lake.write_day("requests", self.date, request_rows(records))

    def night(self, *, retrain: bool = True) -> DriftReport:
        """Serve and land a day, report on the version that answered, and train the next one."""
        self.serve(self.version)
        self.land()
        now = datetime.combine(self.date, time(3), UTC)
        reference = ensure_drift_reference(self.lake, self.registry, self.version)
        report = drift_report(self.lake, self.engine, self.home / "reports", self.version, reference, now=now)
        if retrain:
            self.version = self.train()
        return report
