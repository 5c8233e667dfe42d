"""Settings, typed: each from its environment variable, else tastemaker.toml, else its default.

Nothing is read when this module is imported: `load_settings` reads, and functions take settings as arguments.
"""

from __future__ import annotations

import os
import tomllib
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from tastemaker.alert_settings import AlertsSettings
from tastemaker.automation_settings import AutomationSettings
from tastemaker.dashboard_settings import DashboardSettings
from tastemaker.elasticsearch_settings import ElasticsearchSettings
from tastemaker.errors import TastemakerError, mistake
from tastemaker.experiment_settings import ExperimentSettings
from tastemaker.models_settings import ModelsSettings
from tastemaker.orchestrator_settings import OrchestratorSettings
from tastemaker.product_settings import ProductSettings
from tastemaker.promotion_settings import PromotionSettings
from tastemaker.serving_settings import RetrievalSettings, ServingSettings
from tastemaker.snapshot.canonical_ids import MISSING_IDS, IdForm
from tastemaker.util.atomic_files import sqlite_url
from tastemaker.util.unknown_settings import is_setting, meant_key, mistyped_variables
from tastemaker.watch_settings import WatchSettings

FILE_SOURCES = ("table", "online_retail")
"""The sources that read the file at `source.path`."""
NEAR_SECRETS = ("channels", "heartbeat_url", "heartbeat_fail_url")
"""Settings of `watch` that no error message repeats: addresses with keys, and keys in the wrong place."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class SourceSettings(_Section):
    """Source of events, items and users. Which settings apply depends on the source, as noted in each."""

    name: str = "simulated"
    """The source: online_retail, table, sql or simulated. If absent: table if `path` is set, sql if `url` is
    set, else simulated."""
    path: Path | None = None
    """Path of the file to read (online_retail, table)."""
    url: str | None = None
    """SQLAlchemy URL of the database (sql). Set it by TASTEMAKER_SOURCE__URL if it contains a password."""
    events: str | None = None
    """Table name or SELECT statement of the events (sql)."""
    items: str | None = None
    """Table name or SELECT statement (sql), or file (table), of the items; none if absent."""
    users: str | None = None
    """Table name or SELECT statement (sql), or file (table), of the users; none if absent."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Names of the source's columns, by canonical column or by a name in item_columns or user_columns (table,
    sql). Columns that are not listed have their canonical names."""
    item_columns: tuple[str, ...] = ()
    """Custom columns of items to keep, such as brand, for models that read item content (table, sql). Other
    custom columns are dropped."""
    user_columns: tuple[str, ...] = ()
    """Custom columns of users to keep, for slices and for models that read them (table, sql). Other custom
    columns are dropped."""
    timezone: str = "UTC"
    """Time zone of timestamps without one."""
    encoding: str | None = None
    """Encoding of text files, such as cp1252 (table, online_retail); detected if absent."""
    delimiter: str | None = None
    """Delimiter of text files: one character, or `tab` (table, online_retail); detected if absent."""
    time_format: str | None = None
    """Format of columns of times (table, sql): "day first", "month first", "year first", "seconds",
    "milliseconds", "microseconds", "nanoseconds", "yyyymmdd", "excel" (serial days) or a pattern such as
    "%d/%m/%Y %H:%M". Detected from the whole column if absent."""
    decimal: Literal[".", ","] | None = None
    """Decimal separator of numbers in text (table, sql); the other character may separate thousands. Detected
    if absent."""
    ids: IdForm = "canonical"
    """Which ids are equal, in every table and request. text: ids are equal as text, without blanks around.
    canonical: 27.0 equals 27, too. numbers: 00027 equals 27, too."""
    missing_ids: tuple[str, ...] = MISSING_IDS
    """Texts that mean a missing id, in any letter case. With an empty list an item may be called None."""
    ended: bool = False
    """Whether the source brings no newer events, such as a history that was exported once. Experiments then
    wait for events from callers alone. It takes effect with the next ingestion."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options that only one source has, such as the size of the simulated shop."""

    @model_validator(mode="before")
    @classmethod
    def _name_what_is_given(cls, given: Any) -> Any:
        """Derive the source from a given file or database if its name is absent."""
        if not isinstance(given, dict) or given.get("name") is not None:
            return given
        found = next((name for key, name in (("path", "table"), ("url", "sql")) if given.get(key)), None)
        return given if found is None else {**given, "name": found}

    def for_file(self, path: Path, name: str | None = None) -> SourceSettings:
        """Return the settings that read a file.

        Settings of another source (its database, options and tables of items and users) are left out.

        Args:
            path: The file.
            name: The source; None for the configured one if it reads files, else table.
        """
        chosen = name or (self.name if self.name in FILE_SOURCES else "table")
        if chosen == self.name:
            return self.model_copy(update={"path": path})
        foreign = {"name", "path", "url", "events", "items", "users", "options"}
        foreign |= {"item_columns", "user_columns"}
        return SourceSettings(name=chosen, path=path, **self.model_dump(exclude=foreign, exclude_unset=True))


class OnlineStoreSettings(_Section):
    """Online feature store."""

    type: Literal["sqlite", "redis", "postgres"] = "sqlite"
    """The kind of store: a SQLite file in the home folder, or a server."""
    url: str | None = None
    """URL of the server: redis://host:port/0 or postgresql://user:password@host:port/database."""


class LogSettings(_Section):
    """Log of requests, feedback, and changes of items and users."""

    target: Literal["lake", "postgres"] = "lake"
    """Destination of local logs: the home folder's lake, or a database that several machines can share."""
    url: str | None = None
    """URL of that database (postgres), postgresql://user:password@host/database; the metadata database if
    absent."""
    spool_records: Annotated[int, Field(ge=5_000)] = 50_000
    """Largest number of records in memory that are not yet on disk; a record takes about 1 kB. Feedback is
    refused (429) at 80 % of the limit."""
    spool_bytes: Annotated[int, Field(ge=1 << 20)] = 1 << 30
    """Largest size in bytes of the local log that is not yet drained. Feedback is refused (429) at 80 % of
    the limit."""


class PrivacySettings(_Section):
    """Pseudonymization and retention."""

    pseudonymize: bool = False
    """Whether a keyed hash is stored instead of user ids. The environment variable TASTEMAKER_PSEUDONYM_KEY
    holds its key."""
    log_days: Annotated[int, Field(ge=1)] | None = None
    """Days after which requests, feedback and impressions are deleted; null: never."""
    events_days: Annotated[int, Field(ge=1)] | None = None
    """Days after which events are deleted, in the landed data, too; null: never."""
    erasure_days: Annotated[int, Field(ge=1, le=365)] = 30
    """Days from a request to erase a user to its deadline."""


class LearningSettings(_Section):
    """Online learning from logged feedback."""

    feedback_delay_seconds: Annotated[float, Field(ge=0, le=30 * 86_400)] = 600.0
    """Seconds to wait after an impression before it is learned, with the feedback that has arrived by then.
    Feedback that arrives later is used at the next full training."""
    poll_seconds: Annotated[float, Field(gt=0, le=86_400)] = 5.0
    """Seconds between two polls of the log by a learner, and between two polls of the learner's checkpoints
    by a service."""


class _TomlFile(TomlConfigSettingsSource):
    """Settings source that reads tastemaker.toml, also with a byte order mark."""

    def _read_file(self, file_path: Path | Traversable) -> dict[str, Any]:
        return tomllib.loads(file_path.read_text("utf-8-sig"))


class Settings(BaseSettings):
    """All settings; their environment variables are TASTEMAKER_HOME, TASTEMAKER_SOURCE__NAME, ..."""

    model_config = SettingsConfigDict(
        env_prefix="TASTEMAKER_",
        env_nested_delimiter="__",
        toml_file="tastemaker.toml",
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    home: Path = Path(".tastemaker")
    """The home folder, which holds all data that is not on a configured server."""
    database_url: str | None = None
    """SQLAlchemy URL of the metadata database; a SQLite file in the home folder if absent."""
    problem: Path = Path("problem.yaml")
    """Path of the problem file."""
    source: SourceSettings = SourceSettings()
    """Source of events, items and users."""
    online_store: OnlineStoreSettings = OnlineStoreSettings()
    """Online feature store."""
    log: LogSettings = LogSettings()
    """Log of requests, feedback, and changes of items and users."""
    retrieval: RetrievalSettings = RetrievalSettings()
    """Retrieval of candidates and reranking."""
    serving: ServingSettings = ServingSettings()
    """Prediction service."""
    privacy: PrivacySettings = PrivacySettings()
    """Pseudonymization and retention."""
    learning: LearningSettings = LearningSettings()
    """Online learning from logged feedback."""
    promotion: PromotionSettings = PromotionSettings()
    """Promotion of versions to champion."""
    automation: AutomationSettings = AutomationSettings()
    """When models are trained again, and with how much memory."""
    orchestrator: OrchestratorSettings = OrchestratorSettings()
    """Runs of the asset graph."""
    alerts: AlertsSettings = AlertsSettings()
    """Alert rules."""
    elasticsearch: ElasticsearchSettings = ElasticsearchSettings()
    """Elasticsearch or OpenSearch, as a copy of the log for searches."""
    watch: WatchSettings = WatchSettings()
    """`tastemaker watch`: what it scrapes, and who it notifies."""
    dashboard: DashboardSettings = DashboardSettings()
    """`tastemaker dashboard`: the web pages for product staff."""
    product: ProductSettings = ProductSettings()
    """Product metrics."""
    experiments: ExperimentSettings = ExperimentSettings()
    """Experiments over models."""
    models: ModelsSettings = ModelsSettings()
    """Choice of the models, and their hyperparameters under each model's name."""
    chunk_rows: Annotated[int, Field(ge=1_000, le=10_000_000)] = 250_000
    """Number of rows held in memory while data is read and validated."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of all random numbers of a run."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Number of threads for training; 0: one per processor."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where settings come from; of several values for one setting, the first source's counts.

        The sources are the arguments of the constructor, the environment and tastemaker.toml.
        pydantic-settings calls it.

        Args:
            settings_cls: This class, for which tastemaker.toml is read.
            init_settings: The arguments of the constructor.
            env_settings: The environment.
            dotenv_settings: A file `.env`, which is not read.
            file_secret_settings: A folder with a file per secret, which is not read.
        """
        return init_settings, env_settings, _TomlFile(settings_cls)

    @property
    def metadata_url(self) -> str:
        """SQLAlchemy URL of the metadata database."""
        return self.database_url or sqlite_url(self.home / "tastemaker.db")

    @property
    def log_url(self) -> str:
        """SQLAlchemy URL of the database that logs are drained to."""
        return self.log.url or self.metadata_url

    @property
    def lake(self) -> Path:
        """Folder of the lake: one folder per table, Parquet by day."""
        return self.home / "lake"

    @property
    def features(self) -> Path:
        """Folder of the feature snapshots, Parquet."""
        return self.home / "features"

    @property
    def feast(self) -> Path:
        """Folder of Feast's registry and, by default, its online store."""
        return self.home / "feast"

    @property
    def artifacts(self) -> Path:
        """Folder of the model versions."""
        return self.home / "artifacts"

    @property
    def spool(self) -> Path:
        """Folder of the durable request-response log, before it is drained."""
        return self.home / "spool"

    @property
    def learning_root(self) -> Path:
        """Folder of the checkpoints of online learning."""
        return self.home / "learning"

    @property
    def report_in(self) -> Path:
        """Folder of files that foreign models report, in a folder per source."""
        return self.home / "report_in"

    @property
    def keys(self) -> Path:
        """File with the hashes of the service's API keys."""
        return self.home / "keys.json"

    @property
    def product_root(self) -> Path:
        """Folder of the days that product metrics are computed from, Parquet by day."""
        return self.home / "product"

    @property
    def experiments_root(self) -> Path:
        """Folder of the plan of the experiments in force, and of the files beside it."""
        return self.home / "experiments"

    @property
    def shop_timezone(self) -> str:
        """Name of the time zone at whose midnight a day of the shop begins."""
        return self.product.timezone or self.source.timezone

    @property
    def reports(self) -> Path:
        """Folder of the reports, HTML and PNG."""
        return self.home / "reports"


def load_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Args:
        overrides: Settings by name, which take precedence over the environment and tastemaker.toml.

    Raises:
        TastemakerError: The message names every wrong key, its value and what is allowed.
    """
    if wrong := mistyped_variables(os.environ, Settings):
        raise TastemakerError(
            "environment variables are mistyped:\n    " + "\n    ".join(wrong), fix="rename or unset them"
        )
    try:
        return Settings(**overrides)
    except tomllib.TOMLDecodeError as error:
        raise TastemakerError(
            f"tastemaker.toml is not valid TOML: {error}", fix="correct it at that place"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise TastemakerError(
            f"tastemaker.toml can't be read: {error}", fix="save it as a text file in UTF-8"
        ) from error
    except SettingsError as error:
        text = getattr(error.__cause__, "doc", None)  # what is not JSON; not shown, it may hold a password
        names = [name for name in sorted(os.environ) if is_setting(name) and os.environ[name] == text]
        raise TastemakerError(
            f"settings are wrong: {', '.join(names)} is not JSON: {error.__cause__ or error}",
            fix="""write a list as '["brand"]', and a table as '{"user_id": "customer"}'""",
        ) from error
    except ValidationError as error:
        raise TastemakerError(
            f"settings are wrong:\n    {described(error, Settings)}",
            fix="correct the TASTEMAKER_... environment variable or the key in tastemaker.toml",
        ) from error


def described(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """Return a validation error in words, one line per mistake: key, value and what is allowed.

    Args:
        error: What Pydantic found, with the place and the value of each mistake.
        model: The model that refused the values; with it, the intended key is suggested for a mistyped one.
    """
    lines = []
    for wrong in error.errors(include_url=False):
        section, *inner = wrong["loc"] or ("",)
        near = section == "watch" and (not inner or inner[0] in NEAR_SECRETS)
        text = mistake(wrong, shows_value=not near)
        guess = meant_key(wrong["loc"], model) if model and wrong["type"] == "extra_forbidden" else None
        lines.append(text if guess is None else f"{text}; did you mean {guess}?")
    return "\n    ".join(lines)
