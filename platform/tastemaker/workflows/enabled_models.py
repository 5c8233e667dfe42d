"""Which of the installed models take part: all, but for what the settings leave out."""

from __future__ import annotations

from collections.abc import Iterable

from tastemaker.errors import TastemakerError
from tastemaker.plugins.discovery import installed_names
from tastemaker.settings import ModelsSettings
from tastemaker.util.spelling import did_you_mean


def takes_part(model: str, models: ModelsSettings, baseline: str) -> bool:
    """Whether a model is trained and compared; the baseline always is: the others are compared with it."""
    if model == baseline:
        return True
    return model not in models.disabled and (models.enabled is None or model in models.enabled)


def require_choice(models: ModelsSettings, baseline: str | None = None) -> None:
    """Hold the names in the settings against the installed models, importing none.

    Raises TastemakerError for a name that is not installed, and where the baseline is disabled.
    """
    names = installed_names()
    require_installed("models.enabled", models.enabled or (), names)
    require_installed("models.disabled", models.disabled, names)
    require_installed("a section [models.NAME] of tastemaker.toml", models.configs, names)
    if baseline in models.disabled:
        raise TastemakerError(
            f"models.disabled leaves out {baseline}, the baseline that all others are compared with",
            fix="remove it from models.disabled, or name another model as baseline in the problem file",
        )


def require_installed(where: str, given: Iterable[str], installed: Iterable[str]) -> None:
    """Raise TastemakerError for the first given name that is not an installed model's."""
    known = sorted(installed)
    for name in given:
        if name not in known:
            listed = f"installed are: {', '.join(known)}"
            raise TastemakerError(
                f"{where} names {name!r}, which is not an installed model",
                fix=did_you_mean(name, known, f"remove it; {listed}"),
            )
