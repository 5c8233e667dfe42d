"""Great Expectations as it is used here: no analytics, no progress bars, frames in memory as batches."""

from __future__ import annotations

import importlib
import os
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from great_expectations.core.batch_definition import BatchDefinition


def load_library() -> None:
    """Import Great Expectations with its analytics off and its use of deprecated modules unmentioned."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        importlib.import_module("great_expectations")


def open_batches() -> BatchDefinition[Any]:
    """Return where pandas frames become batches: a context in memory that makes no connection."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    asset = context.data_sources.add_pandas("chunks").add_dataframe_asset("rows")
    return asset.add_batch_definition_whole_dataframe("all")
