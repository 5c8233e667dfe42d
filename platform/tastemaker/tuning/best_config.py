"""Best config of a search: a file per problem and model in the home folder, which training reads.

    home/tuned/a_shop-1f0c2d3e/ials.json

Values under [models.<name>] in tastemaker.toml take precedence. Without the file the defaults are used.
"""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tastemaker.errors import TastemakerError
from tastemaker.util.atomic_files import atomic_write


def path_of(home: Path, problem: str, model: str) -> Path:
    """Return the path of a model's config, in a folder of the problem's name and its hash.

    Args:
        home: The home folder.
        problem: The problem's name.
        model: The model's name.
    """
    readable = re.sub(r"[^a-z0-9]+", "_", problem.lower()).strip("_")[:40]
    digest = blake2b(problem.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return home / "tuned" / f"{readable}-{digest}" / f"{model}.json"


def read(home: Path, problem: str, model: str) -> dict[str, Any]:
    """Return the hyperparameters found, {} if there are none.

    Args:
        home: The home folder.
        problem: The problem's name.
        model: The model's name.

    Raises:
        TastemakerError: The file is damaged.
    """
    path = path_of(home, problem, model)
    try:
        config = json.loads(path.read_text("utf-8"))["config"]
        if not isinstance(config, dict):
            raise TypeError(f"config is {config!r}, must be an object")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TastemakerError(
            f"{path}, the config that tuning found for {model}, can't be read: {error!r}",
            fix=f"delete it, or search again: tastemaker tune {model}",
        ) from error
    return config


def write(path: Path, config: dict[str, Any], study: dict[str, Any]) -> None:
    """Write a config and its origin, atomically.

    Args:
        path: The result of `path_of`.
        config: The hyperparameters that the search found, by name.
        study: Where they come from: data, trials and figures.
    """
    with atomic_write(path) as partial:
        partial.write_text(
            json.dumps({"config": config, "study": study}, indent=2, ensure_ascii=False) + "\n"
        )
