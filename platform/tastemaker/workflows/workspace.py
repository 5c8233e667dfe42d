"""Workspace: the settings, and the parts of the platform that are opened from them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tastemaker.errors import TastemakerError
from tastemaker.settings import Settings, SourceSettings, described, load_settings

logger = logging.getLogger("tastemaker.workflows")

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from tastemaker.data.lake import Lake
    from tastemaker.data.sources import Source
    from tastemaker.dataset.as_of import AsOf
    from tastemaker.dataset.dataset import Dataset
    from tastemaker.dataset.split import Split
    from tastemaker.evaluation.backtest import Backtest, Backtester
    from tastemaker.evaluation.evaluator import Progress
    from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard
    from tastemaker.experiments.analysis.looks import ExperimentLooks
    from tastemaker.experiments.lifecycle.store import Experiments
    from tastemaker.plugins import Config
    from tastemaker.plugins.discovery import Plugin, Plugins
    from tastemaker.problem import ProblemSpec
    from tastemaker.product.measure import ProductMetrics
    from tastemaker.registry import Registry
    from tastemaker.trainings.records import TrainingRecords
    from tastemaker.trainings.requests import TrainingRequests
    from tastemaker.workflows.promotion_gate import PromotionGate


@dataclass(frozen=True)
class Workspace:
    """Access to one home folder and its servers, if any. Each part is opened when it is first used."""

    settings: Settings
    _loaded: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def open(cls) -> Workspace:
        """Return the workspace of the settings in the environment and tastemaker.toml."""
        return cls(load_settings())

    @cached_property
    def problem(self) -> ProblemSpec:
        """The problem, from the problem file. Raises ProblemError."""
        from tastemaker.problem import load_problem

        return load_problem(self.settings.problem)

    @cached_property
    def engine(self) -> Engine:
        """Engine of the metadata database, whose schema is up to date."""
        from tastemaker.storage.engine import open_engine

        return open_engine(self.settings.metadata_url)

    @cached_property
    def lake(self) -> Lake:
        """The lake with the stored tables."""
        from tastemaker.data.lake import Lake

        return Lake(self.settings.lake)

    @cached_property
    def source_settings(self) -> SourceSettings:
        """The settings of the source; in the home of a demo, those of the demo's shop."""
        from tastemaker.simulator.source import as_demo

        return as_demo(self.settings.source, self.settings.home)

    @cached_property
    def source(self) -> Source:
        """The source of events, with pseudonymization and retention applied. Raises SourceError."""
        from tastemaker.data.sources import open_source
        from tastemaker.privacy.private_source import PrivateSource
        from tastemaker.privacy.pseudonyms import open_pseudonyms
        from tastemaker.privacy.retention import first_day
        from tastemaker.privacy.suppression_list import SuppressionList

        pseudonyms = open_pseudonyms(self.settings)
        return PrivateSource(
            open_source(self.source_settings),
            pseudonyms,
            SuppressionList(self.settings.home),
            first_day=first_day(self.settings.privacy.events_days),
        )

    @cached_property
    def registry(self) -> Registry:
        """The registry of model versions."""
        from tastemaker.registry import Registry

        return Registry(self.engine, self.settings.artifacts, on_promotion=self.publish_experiments)

    @property
    def training_records(self) -> TrainingRecords:
        """What is recorded of the problem's trainings. Raises as `problem`."""
        from tastemaker.trainings.records import TrainingRecords

        return TrainingRecords(self.engine, self.settings.artifacts, self.problem.name)

    @property
    def training_requests(self) -> TrainingRequests:
        """The requests for trainings of the problem. Raises as `problem`."""
        from tastemaker.trainings.requests import TrainingRequests

        return TrainingRequests(self.engine, self.problem.name)

    @property
    def experiments(self) -> Experiments:
        """The experiments of the problem in use. Raises as `problem`."""
        from tastemaker.experiments.lifecycle.store import Experiments

        return Experiments(self.engine, self.settings.home, self.problem, self.settings.retrieval)

    def publish_experiments(self) -> None:
        """Compile the experiments' plan again if there is one of this problem: its default is the champion.

        What prevents it is logged, as the plan in force stays.
        """
        from tastemaker.experiments.lifecycle.kills import PLAN, read_plan

        path = self.settings.experiments_root / PLAN
        if not path.exists():
            return
        try:
            if self.experiments.owns(read_plan(path)):
                self.experiments.publish()
        except TastemakerError as error:
            logger.warning("the experiments' plan is not compiled again: %s", error)

    @property
    def product_metrics(self) -> ProductMetrics:
        """The computation of product metrics. Raises as `problem`."""
        from tastemaker.data.lake import Lake
        from tastemaker.privacy.retention import first_day
        from tastemaker.product.measure import KeptFrom, ProductMetrics
        from tastemaker.product.shop_days import ShopDays

        kept = self.settings.privacy
        return ProductMetrics(
            self.lake,
            Lake(self.settings.product_root),
            self.problem,
            self.engine,
            ShopDays(self.settings.shop_timezone),
            self.settings.product,
            KeptFrom(first_day(kept.log_days), first_day(kept.events_days)),
        )

    @property
    def experiment_looks(self) -> ExperimentLooks:
        """The looks at the results of experiments. Raises as `problem`."""
        from tastemaker.experiments.analysis.looks import ExperimentLooks

        return ExperimentLooks(self.engine, self.lake, self.problem, self.settings.experiments_root)

    @property
    def promotion_gate(self) -> PromotionGate:
        """The gate that versions must pass to become champion."""
        from tastemaker.trainings.enabled_models import takes_part
        from tastemaker.workflows.promotion_gate import PromotionGate

        return PromotionGate(
            self.registry,
            max_loss=self.settings.promotion.max_loss,
            takes_part=lambda model, baseline: takes_part(model, self.settings.models, baseline),
        )

    def plugins(self) -> Plugins:
        """Return the installed models that the settings enable.

        Raises TastemakerError for a name in the settings that is not installed.
        """
        from tastemaker.plugins.discovery import find, find_matching
        from tastemaker.trainings.enabled_models import require_choice

        models = self.settings.models
        if models.enabled is None and not models.disabled:
            require_choice(models)  # needs no problem file, as steps that bring in logs need none
            return find()
        require_choice(models, self.problem.baseline)
        return find_matching(self.takes_part)

    def takes_part(self, model: str, problem: ProblemSpec | None = None) -> bool:
        """Return whether the settings enable a model.

        Args:
            model: The model's name.
            problem: The problem whose baseline always takes part; None: the problem in use.
        """
        from tastemaker.trainings.enabled_models import takes_part

        return takes_part(model, self.settings.models, (problem or self.problem).baseline)

    def leaderboard(self, problem: ProblemSpec | None = None, *, metric: str | None = None) -> Leaderboard:
        """Return the comparison of the enabled models; models whose last backtest failed are listed, too.

        Args:
            problem: The problem; None for the one in use.
            metric: The metric to order by; None for the problem's.

        Raises:
            TastemakerError: No model has been evaluated.
        """
        from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard

        spec = problem or self.problem
        return Leaderboard.load(
            self.engine,
            spec,
            self.settings.artifacts,
            metric=metric,
            takes_part=lambda model: self.takes_part(model, spec),
        )

    def config(self, plugin: Plugin, *, tuned: bool = True) -> Config:
        """Return a model's hyperparameters: those of tastemaker.toml, else of tuning, else the defaults.

        Args:
            plugin: The model.
            tuned: Whether the config that tuning found is used.

        Raises:
            TastemakerError: The message names every hyperparameter that is wrong.
        """
        from pydantic import ValidationError

        found = self._tuned(plugin) if tuned else {}
        try:
            return plugin.recommender.config_type(**found | self.settings.models.get(plugin.name, {}))
        except ValidationError as error:
            wrong = described(error, plugin.recommender.config_type)
            raise TastemakerError(
                f"the config of model {plugin.name} is wrong:\n    {wrong}",
                fix=f"correct [models.{plugin.name}] in tastemaker.toml: tastemaker models show {plugin.name}"
                + (f"; or tune it again: tastemaker tune {plugin.name}" if found else ""),
            ) from error

    def _tuned(self, plugin: Plugin) -> dict[str, Any]:
        """Return the config that tuning found for the problem in use."""
        from tastemaker.tuning import best_config

        home, problem = self.settings.home, self.settings.problem
        if not (home / "tuned").exists() or not problem.exists():
            return {}
        return best_config.read(home, self.problem.name, plugin.name)

    def backtester(self, plugin: Plugin) -> Backtester:
        """Return a backtester of a model with its config. Raises as `config` and `split`."""
        from tastemaker.evaluation.backtest import Backtester

        return Backtester(
            plugin, self.config(plugin), self.dataset(), self.split(), self.engine, self.settings.artifacts
        )

    def backtest(self, plugin: Plugin, *, progress: Progress | None = None) -> Backtest:
        """Return a model's backtest on the problem's split; run it unless it is stored.

        If it fails, the leaderboard shows the model with the reason until a backtest of it succeeds.

        Args:
            plugin: The model.
            progress: Called with the number of users evaluated, and of all; not for a stored backtest.
        """
        from tastemaker.evaluation import failures

        split = self.split()  # an error in the data is not the model's failure
        try:
            result = self._backtest(plugin, split, progress)
        except Exception as error:
            failures.put(self.engine, self.problem.name, plugin.name, failures.reason_of(plugin.name, error))
            raise
        failures.clear(self.engine, self.problem.name, plugin.name, fitted=False)
        return result

    def _backtest(self, plugin: Plugin, split: Split, progress: Progress | None) -> Backtest:
        from tastemaker.evaluation import backtest

        return backtest.run(
            plugin,
            self.config(plugin),
            split,
            self.problem,
            self.engine,
            self.settings.artifacts,
            progress=progress,
        )

    def dataset(self) -> Dataset:
        """Return the lake's events as arrays; they are loaded again only if a file of the lake changed."""
        from tastemaker.data.tables import HISTORY
        from tastemaker.dataset.dataset import Dataset

        tables = ("events", "items", "users", HISTORY)
        files = [file.stat() for table in tables for file in self.lake.files(table)]
        state = tuple((file.st_ino, file.st_mtime_ns, file.st_size) for file in files)
        if self._loaded.get("state") != state:
            self._loaded.clear()
            self._loaded["dataset"] = Dataset.load(
                self.lake, self.problem, feature_root=self.settings.features, seed=self.settings.seed
            )
            self._loaded["state"] = state
        dataset: Dataset = self._loaded["dataset"]
        return dataset

    def cut(self) -> AsOf:
        """Return the data set as of its end, on which versions are fitted."""
        dataset = self.dataset()
        if "cut" not in self._loaded:
            self._loaded["cut"] = dataset.cut()
        cut: AsOf = self._loaded["cut"]
        return cut

    def split(self) -> Split:
        """Return the training window and the test period that the problem defines."""
        dataset = self.dataset()
        if "split" not in self._loaded:
            self._loaded["split"] = dataset.split()
        split: Split = self._loaded["split"]
        return split
