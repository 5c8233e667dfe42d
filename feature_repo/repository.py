"""The objects that `feast apply` registers in this folder: those of `tastemaker_features.store.apply`.

Feast's command looks for objects at the top level of modules, so this module, which no other imports, reads
the settings when it is imported.
"""

import os

import click

from tastemaker.errors import TastemakerError
from tastemaker.settings import load_settings
from tastemaker_features.store import definitions

if not os.path.isabs(os.environ.get("TASTEMAKER_HOME", "")):
    raise click.ClickException(
        "TASTEMAKER_HOME must be an absolute path, since feature_store.yaml names it\n"
        '  fix: export TASTEMAKER_HOME="$(cd .. && pwd)/.tastemaker"'
    )

try:
    settings = load_settings()
    settings.feast.mkdir(parents=True, exist_ok=True)  # Feast makes one level of folders, not two
    globals().update({f"{type(each).__name__}_{each.name}": each for each in definitions(settings).objects})
except TastemakerError as error:
    raise click.ClickException(str(error)) from error
