"""Settings of the models to train: `[models]` in tastemaker.toml."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from tastemaker.util.setting_types import Names


def _config(given: Any) -> Any:
    """Return the hyperparameters in JSON text; return other values unchanged."""
    try:
        return json.loads(given) if isinstance(given, str) else given
    except json.JSONDecodeError:
        return given


class ModelsSettings(BaseModel):
    """Choice of the models to train and compare, and their hyperparameters under each model's name."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, Annotated[dict[str, Any], BeforeValidator(_config)]]

    enabled: Names | None = None
    """Names of the models to use; null: all installed ones. The problem's baseline is always used."""
    disabled: Names = ()
    """Names of models not to use."""

    @property
    def configs(self) -> dict[str, dict[str, Any]]:
        """Hyperparameters that differ from the model's defaults, by the model's name."""
        return self.__pydantic_extra__

    def get(self, name: str, default: dict[str, Any]) -> dict[str, Any]:
        """Return the hyperparameters of one model that differ from the model's defaults.

        Args:
            name: The model's name.
            default: What is returned if the settings have no section of the model.
        """
        return self.configs.get(name, default)
