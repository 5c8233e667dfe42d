"""Every setting, typed, from the environment (`TASTEMAKER_...`), else from tastemaker.toml, else its default.

Nothing is read when this module is imported: `Settings()` reads, and whoever needs settings is handed them.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from tastemaker.errors import TastemakerError
from tastemaker.snapshot.canonical_ids import MISSING_IDS, IdForm
from tastemaker.util.atomic_files import sqlite_url
from tastemaker.util.unknown_settings import meant_key, mistyped_variables

FILE_SOURCES = ("table", "online_retail")
"""The sources that read the file at `source.path`."""


def _names(given: Any) -> Any:
    """Names as the environment gives them, `ease, als` or `["ease", "als"]`; other values as they are."""
    if not isinstance(given, str):
        return given
    return tuple(name for name in re.split(r"[\s,\[\]\"']+", given) if name)


Names = Annotated[tuple[str, ...], BeforeValidator(_names), NoDecode]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class SourceSettings(_Section):
    """Where events come from. Which fields count depends on the source (`tastemaker data check --help`)."""

    name: str = "simulated"
    """A source: online_retail, table, sql or simulated. Left out: table where there is a path, sql where
    there is a url, else simulated."""
    path: Path | None = None
    """The file to read (online_retail, table)."""
    url: str | None = None
    """SQLAlchemy URL (sql). Better given as TASTEMAKER_SOURCE__URL: it may hold a password."""
    events: str | None = None
    """Table or SELECT that yields events (sql)."""
    items: str | None = None
    """Table or SELECT (sql) or file (table) that yields items."""
    users: str | None = None
    """Table or SELECT (sql) or file (table) that yields users."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Canonical column, or one of item_columns or user_columns -> the source's own column (table, sql)."""
    item_columns: tuple[str, ...] = ()
    """The shop's own columns of items to keep, such as brand, for models that read content (table, sql)."""
    user_columns: tuple[str, ...] = ()
    """The shop's own columns of users to keep, for slices and for models that read them (table, sql). Others
    are not kept."""
    timezone: str = "UTC"
    """Zone of timestamps that carry none."""
    encoding: str | None = None
    """Encoding of text files (table, online_retail), such as cp1252; found out if absent."""
    delimiter: str | None = None
    """What parts the fields of text files (table, online_retail): one character, or tab; found out if
    absent."""
    time_format: str | None = None
    """How columns of times are written (table, sql): "day first", "month first", "year first", "seconds",
    "milliseconds", "microseconds", "nanoseconds", "yyyymmdd", "excel" (serial days) or a pattern such as
    "%d/%m/%Y %H:%M". Found out from the whole column if absent."""
    decimal: Literal[".", ","] | None = None
    """What parts off decimals in text (table, sql); the other of the two may part thousands. Found out if
    absent."""
    ids: IdForm = "canonical"
    """Which ids are the same, in every table and request: canonical takes 27.0 for 27; numbers takes 00027
    for 27, too; text takes nothing but blanks around an id away."""
    missing_ids: tuple[str, ...] = MISSING_IDS
    """What stands for a missing id in any letter case. An empty list lets an item be called None."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of one source only, such as the simulated shop's size."""

    @model_validator(mode="before")
    @classmethod
    def _name_what_is_given(cls, given: Any) -> Any:
        """A file or a database that is named is what is read, also where the source's name is left out."""
        if not isinstance(given, dict) or given.get("name") is not None:
            return given
        found = next((name for key, name in (("path", "table"), ("url", "sql")) if given.get(key)), None)
        return given if found is None else {**given, "name": found}

    def for_file(self, path: Path, name: str | None = None) -> SourceSettings:
        """The settings that read this file: the source `name`, else the configured one if it reads files.

        What belongs to another source (its database, options and tables of items and users) is left out.
        """
        chosen = name or (self.name if self.name in FILE_SOURCES else "table")
        if chosen == self.name:
            return self.model_copy(update={"path": path})
        foreign = {"name", "path", "url", "events", "items", "users", "options"}
        foreign |= {"item_columns", "user_columns"}
        return SourceSettings(name=chosen, path=path, **self.model_dump(exclude=foreign, exclude_unset=True))


class OnlineStoreSettings(_Section):
    """Where Feast keeps online features."""

    type: Literal["sqlite", "redis", "postgres"] = "sqlite"
    """SQLite in the home folder, or a server."""
    url: str | None = None
    """redis://host:port/0 or postgresql://user:password@host:port/database."""


class LogSettings(_Section):
    """The log of requests, feedback, and changed items and users."""

    target: Literal["lake", "postgres"] = "lake"
    """Where local logs are drained to: the home folder's lake, or a database where several meet."""
    url: str | None = None
    """postgresql://user:password@host/database (postgres); the metadata database if absent."""
    spool_records: Annotated[int, Field(ge=5_000)] = 50_000
    """Records that may wait in memory for the disk; about 1 kB each."""
    spool_bytes: Annotated[int, Field(ge=1 << 20)] = 1 << 30
    """What may lie on the local disk undrained. Feedback is refused (429) at 80 % of either limit."""


class RetrievalSettings(_Section):
    """How lists are put together from candidates."""

    index_items: Annotated[int, Field(ge=1)] = 50_000
    """Catalogues of more items than this get an index of their vectors; smaller ones are scored whole."""
    diversity: Annotated[float, Field(ge=0, le=1)] = 0.0
    """λ of maximal marginal relevance: 0 leaves the model's order, 1 wants nothing but variety."""
    new_items: bool = True
    """Whether lists of 5 and more give their last place to an item that no model knows yet."""


class ServingSettings(_Section):
    """How requests are answered."""

    model_seconds: Annotated[float, Field(gt=0, le=60)] = 0.5
    """The model's deadline. A request that it has not answered by then gets a precomputed list."""
    waiting: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    """Requests that may wait for the model. One more gets a precomputed list at once."""
    features_seconds: Annotated[float, Field(gt=0, le=60)] = 0.05
    """How long a request may wait for the online feature store; later, it goes on without the features."""
    features_fresh_seconds: Annotated[float, Field(ge=0)] = 30.0
    """How long a user's features are remembered before they are read again."""
    features_users: Annotated[int, Field(ge=0)] = 100_000
    """How many users' features are remembered."""
    lists_users: Annotated[int, Field(ge=0, le=10_000_000)] = 50_000
    """How many users get a precomputed list when a version is registered: those who came last."""
    lists_items: Annotated[int, Field(ge=1, le=1_000)] = 50
    """How long these lists are."""
    static_items: tuple[str, ...] = ()
    """Item ids for when nothing else can answer; what was popular when the model was loaded, if empty."""
    connections: Annotated[int, Field(ge=10, le=100_000)] = 1_000
    """Open connections of each worker, but 200 less than the system's limit of open files (ulimit -n). Beyond
    them, one that has sent no whole request makes room."""
    hosts: Names = ()
    """Host names, without port, by which the service may be asked while there is no API key, besides
    localhost and its own address: a proxy's or a container's."""
    pin_workers: bool = False
    """Whether each worker keeps to one processor, which no other worker keeps to: faster where the processors
    are the services' own; not where other programs, or containers that do the same, want them too."""


class PrivacySettings(_Section):
    """How people are hidden, and how long what they did is kept."""

    pseudonymize: bool = False
    """Keep a keyed hash in the place of user ids. Its key: TASTEMAKER_PSEUDONYM_KEY in the environment."""
    log_days: Annotated[int, Field(ge=1)] | None = None
    """Requests, feedback and impressions older than this are deleted; null: they are kept."""
    events_days: Annotated[int, Field(ge=1)] | None = None
    """Events older than this are deleted, also as they were landed; null: they are kept."""


class LearningSettings(_Section):
    """How models learn from live feedback."""

    feedback_delay_seconds: Annotated[float, Field(ge=0, le=30 * 86_400)] = 600.0
    """An item shown is learned when it is so old, with what was told of it by then. What is told later waits
    for the next training."""
    poll_seconds: Annotated[float, Field(gt=0, le=86_400)] = 5.0
    """How long a learner that follows the log waits between two looks, and a service between two looks for
    what was learned."""


def _config(given: Any) -> Any:
    """A model's hyperparameters as the environment gives them, JSON; other values as they are."""
    try:
        return json.loads(given) if isinstance(given, str) else given
    except json.JSONDecodeError:
        return given


class ModelsSettings(_Section):
    """Which installed models take part, and under each model's name its hyperparameters."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[dict[str, Any], BeforeValidator(_config)]]

    enabled: Names | None = None
    """Only these models, and the baseline (`baseline`) with which they are compared; null: all installed."""
    disabled: Names = ()
    """All but these models."""

    @property
    def configs(self) -> dict[str, dict[str, Any]]:
        """Model name -> hyperparameters that differ from the model's defaults."""
        return self.__pydantic_extra__

    def get(self, name: str, default: dict[str, Any]) -> dict[str, Any]:
        """Return the hyperparameters of one model, or `default` where its section is absent."""
        return self.configs.get(name, default)


class PromotionSettings(_Section):
    """What may become champion."""

    max_loss: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Of the champion's figure: the 95 % interval of the paired difference must not reach below this loss."""


class _TomlFile(TomlConfigSettingsSource):
    """tastemaker.toml, also with the byte order mark that Windows editors write."""

    def _read_file(self, file_path: Path | Traversable) -> dict[str, Any]:
        return tomllib.loads(file_path.read_text("utf-8-sig"))


class Settings(BaseSettings):
    """All settings. Environment names are TASTEMAKER_HOME, TASTEMAKER_SOURCE__NAME and so on."""

    model_config = SettingsConfigDict(
        env_prefix="TASTEMAKER_",
        env_nested_delimiter="__",
        toml_file="tastemaker.toml",
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    home: Path = Path(".tastemaker")
    """The folder that holds everything while no servers are set."""
    database_url: str | None = None
    """SQLAlchemy URL for metadata; SQLite in the home folder if absent."""
    problem: Path = Path("problem.yaml")
    """The problem file."""
    source: SourceSettings = SourceSettings()
    """Where events come from."""
    online_store: OnlineStoreSettings = OnlineStoreSettings()
    """Where Feast keeps online features."""
    log: LogSettings = LogSettings()
    """The log of requests, feedback, and changed items and users."""
    retrieval: RetrievalSettings = RetrievalSettings()
    """How lists are put together from candidates."""
    serving: ServingSettings = ServingSettings()
    """How requests are answered."""
    privacy: PrivacySettings = PrivacySettings()
    """How people are hidden, and how long what they did is kept."""
    learning: LearningSettings = LearningSettings()
    """How models learn from live feedback."""
    promotion: PromotionSettings = PromotionSettings()
    """What may become champion."""
    models: ModelsSettings = ModelsSettings()
    """Which models take part, and model name -> hyperparameters that differ from the model's defaults."""
    chunk_rows: Annotated[int, Field(ge=1_000, le=10_000_000)] = 250_000
    """Rows that are held in memory at once while data is read and checked."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seeds every random number of a run."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Threads for training; 0 means as many as there are processors."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _TomlFile(settings_cls)

    @property
    def metadata_url(self) -> str:
        """The SQLAlchemy URL of the metadata database."""
        return self.database_url or sqlite_url(self.home / "tastemaker.db")

    @property
    def log_url(self) -> str:
        """The SQLAlchemy URL of the database where logs meet."""
        return self.log.url or self.metadata_url

    @property
    def lake(self) -> Path:
        """Tables at rest: one folder a table, Parquet by day."""
        return self.home / "lake"

    @property
    def features(self) -> Path:
        """Feature snapshots, Parquet."""
        return self.home / "features"

    @property
    def feast(self) -> Path:
        """Feast's registry and, by default, its online store."""
        return self.home / "feast"

    @property
    def artifacts(self) -> Path:
        """Model versions."""
        return self.home / "artifacts"

    @property
    def spool(self) -> Path:
        """The durable request-response log, before it is drained into the lake."""
        return self.home / "spool"

    @property
    def learning_root(self) -> Path:
        """What versions have learned since their training."""
        return self.home / "learning"

    @property
    def keys(self) -> Path:
        """Digests of the service's API keys."""
        return self.home / "keys.json"

    @property
    def reports(self) -> Path:
        """HTML and PNG for people."""
        return self.home / "reports"


def load_settings(**overrides: Any) -> Settings:
    """Read the settings. Raises TastemakerError naming every wrong key, its value and what is allowed."""
    if wrong := mistyped_variables(os.environ, Settings):
        raise TastemakerError(
            "environment variables are mistyped:\n    " + "\n    ".join(wrong), fix="rename or unset them"
        )
    try:
        return Settings(**overrides)
    except tomllib.TOMLDecodeError as error:
        raise TastemakerError(f"tastemaker.toml is no TOML: {error}", fix="mend it at that place") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TastemakerError(
            f"tastemaker.toml can't be read: {error}", fix="save it as a text file in UTF-8"
        ) from error
    except SettingsError as error:
        raise TastemakerError(
            f"settings are wrong: {error}: {error.__cause__ or ''}",
            fix="write the value of that environment variable as JSON",
        ) from error
    except ValidationError as error:
        raise TastemakerError(
            f"settings are wrong:\n    {described(error, Settings)}",
            fix="mend the TASTEMAKER_... environment variable or the key in tastemaker.toml",
        ) from error


def described(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """Every mistake on a line of its own: key, value and what is allowed.

    With the `model` that was refused, a mistyped key has the one that was meant beside it.
    """
    lines = []
    for wrong in error.errors(include_url=False):
        said = f"{'.'.join(str(part) for part in wrong['loc'])} = {wrong['input']!r}: {wrong['msg']}"
        guess = meant_key(wrong["loc"], model) if model and wrong["type"] == "extra_forbidden" else None
        lines.append(said if guess is None else f"{said}; did you mean {guess}?")
    return "\n    ".join(lines)
