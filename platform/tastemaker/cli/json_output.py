"""Output of commands as JSON."""

from __future__ import annotations

from typing import Any

import click


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    from tastemaker.util import strict_json

    click.echo(strict_json.dumps(value))
