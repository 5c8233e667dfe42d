"""Choice of the installed models that are trained and compared, by the settings."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tastemaker.errors import TastemakerError
from tastemaker.models_settings import ModelsSettings
from tastemaker.plugins.discovery import installed_names
from tastemaker.util.spelling import did_you_mean


def takes_part(model: str, models: ModelsSettings, baseline: str) -> bool:
    """Return whether a model is trained and compared; the baseline always is.

    Args:
        model: The model's name.
        models: The settings that enable and disable models.
        baseline: The name of the baseline.
    """
    if model == baseline:
        return True
    return model not in models.disabled and (models.enabled is None or model in models.enabled)


def require_choice(models: ModelsSettings, baseline: str | None = None) -> None:
    """Check the names in the settings against the installed models, without importing any.

    Args:
        models: The settings that enable and disable models.
        baseline: The name of the baseline; None to skip its check.

    Raises:
        TastemakerError: A name is not installed, or the baseline is disabled.
    """
    names = installed_names()
    require_installed("models.enabled", models.enabled or (), names)
    require_installed("models.disabled", models.disabled, names)
    require_installed("a section [models.NAME] of tastemaker.toml", models.configs, names)
    require_baseline("models.disabled", models.disabled, baseline)


def require_baseline(where: str, disabled: Collection[str], baseline: str | None) -> None:
    """Check that the baseline takes part.

    Args:
        where: What contains the names, for the message.
        disabled: The names of the models that don't take part.
        baseline: The name of the baseline; None to skip the check.

    Raises:
        TastemakerError: The baseline is disabled.
    """
    if baseline in disabled:
        raise TastemakerError(
            f"{where} contains {baseline}, the baseline that all others are compared with",
            fix=f"remove it from {where}, or name another model as baseline in the problem file",
        )


def require_installed(where: str, given: Iterable[str], installed: Iterable[str]) -> None:
    """Raise TastemakerError for the first name that is not an installed model.

    Args:
        where: What contains the names, for the message.
        given: The names to check; the first unknown one is reported.
        installed: The names of the installed models.

    Raises:
        TastemakerError: A name is not installed; the fix has the nearest one that is, if one is near.
    """
    known = sorted(installed)
    for name in given:
        if name not in known:
            listed = f"installed are: {', '.join(known)}"
            raise TastemakerError(
                f"{where} contains {name!r}, which is not an installed model",
                fix=did_you_mean(name, known, f"remove it; {listed}"),
            )
