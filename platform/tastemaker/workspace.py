"""A workspace: the settings, and the parts of the platform opened once from them. Commands and assets start here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tastemaker.settings import Settings, load_settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from tastemaker.data.dataset import Dataset
    from tastemaker.data.lake import Lake
    from tastemaker.data.sources import Source
    from tastemaker.problem import ProblemSpec
    from tastemaker.registry import Registry


@dataclass(frozen=True)
class Workspace:
    """What one home folder (and its servers, if any) holds. Each part is imported and opened when first asked for."""

    settings: Settings

    @classmethod
    def open(cls) -> Workspace:
        """The workspace that the environment and tastemaker.toml describe."""
        return cls(load_settings())

    @cached_property
    def problem(self) -> ProblemSpec:
        """The problem file. Raises ProblemError."""
        from tastemaker.problem import load_problem

        return load_problem(self.settings.problem)

    @cached_property
    def engine(self) -> Engine:
        """The metadata database, migrated."""
        from tastemaker.storage.engine import open_engine

        return open_engine(self.settings.metadata_url)

    @cached_property
    def lake(self) -> Lake:
        """The tables at rest."""
        from tastemaker.data.lake import Lake

        return Lake(self.settings.lake)

    @cached_property
    def source(self) -> Source:
        """Where events come from. Raises SourceError."""
        from tastemaker.data.sources import open_source

        return open_source(self.settings.source)

    @cached_property
    def registry(self) -> Registry:
        """The model versions."""
        from tastemaker.registry import Registry

        return Registry(self.engine, self.settings.artifacts)

    def dataset(self) -> Dataset:
        """The lake's events as arrays, as of now."""
        from tastemaker.data.dataset import Dataset

        return Dataset.load(self.lake, self.problem, feature_root=self.settings.features, seed=self.settings.seed)
