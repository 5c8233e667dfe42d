"""`tastemaker serve`: answer requests with one model."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import click

from tastemaker.errors import PluginError, TastemakerError

if TYPE_CHECKING:
    from tastemaker.settings import Settings

BUSY_SECONDS = 2.0
"""How long to wait for a port that is taken."""
_HERE = ("127.0.0.1", "::1", "localhost")


@click.command()
@click.argument("model", required=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option(
    "--port", default=3000, show_default=True, type=click.IntRange(1, 65_535), help="Port to listen on."
)
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1, 128), help="Processes that answer."
)
def serve(model: str | None, host: str, port: int, workers: int) -> None:
    """Answer POST /recommend with MODEL's deployed version (else its newest), or with the champion.

    \b
    Examples:
      tastemaker serve
      tastemaker serve popularity --port 3001
      curl -X POST localhost:3000/recommend -d '{"user_id": "17850", "k": 5}'
    """
    from tastemaker.settings import load_settings

    settings = load_settings()
    chosen = _choose(settings, model)
    target = _service(chosen.model)
    _require_free(host, port)
    click.echo(f"serving {chosen.model} {chosen.version} ({chosen.why}) on http://{host}:{port}", err=True)
    if host not in _HERE and not settings.keys.exists():
        click.echo("no API key exists, so only this machine is answered: tastemaker keys new", err=True)
    home = settings.home.resolve()
    defaults = {"OPENBLAS_NUM_THREADS": "1"}  # a worker is a core's worth: more of them, not more threads
    environment = (
        defaults
        | os.environ
        | {
            "BENTOML_DO_NOT_TRACK": "True",
            "BENTOML_HOME": str(home / "bentoml"),
            "BENTOML_CONFIG_OPTIONS": f"services.{chosen.model}.workers={workers}",
            "TASTEMAKER_HOME": str(home),
            "TASTEMAKER_VERSION": chosen.version,
        }
    )
    command = [sys.executable, "-m", "bentoml", "serve", target, "--host", host, "--port", str(port)]
    os.execve(sys.executable, command, environment)


class _Chosen(NamedTuple):
    model: str
    version: str
    why: str


def _choose(settings: Settings, model: str | None) -> _Chosen:
    """The version to serve and why. Raises RegistryError if there is none."""
    from tastemaker.plugins import finder
    from tastemaker.serving.choice import deployed_folder, newest_folder, open_registry

    if model is not None:
        finder.get(model)  # a wrong name is told apart from an untrained model
        if (deployed := deployed_folder(settings, model)) is not None:
            return _Chosen(model, deployed.name, "the deployed version")
        return _Chosen(model, newest_folder(settings, model).name, "its newest version")
    from tastemaker.problem import load_problem

    problem, registry = load_problem(settings.problem), open_registry(settings)
    champion = registry.champion(problem.name)
    if champion is not None:
        return _Chosen(champion.model, champion.id, f"the champion of {problem.name!r}")
    why = f"the model to beat, for {problem.name!r} has no champion yet"
    return _Chosen(problem.to_beat, registry.newest(problem.to_beat, problem=problem.name).id, why)


def _service(model: str) -> str:
    """Where the model's BentoML service is: `service.py` beside it, named as its class."""
    from importlib.util import find_spec

    from tastemaker.plugins import finder

    module, _, name = finder.get(model).entry_point.partition(":")
    package = module.rpartition(".")[0]
    if not package or find_spec(f"{package}.service") is None:
        raise PluginError(
            f"model {model} has no service.py in {package or module}",
            fix=f"write one: from tastemaker.serving.bento import service; {name} = service({model!r})",
        )
    return f"{package}.service:{name}"


def _require_free(host: str, port: int) -> None:
    """Raises TastemakerError if the port stays taken: the workers of a killed server need a moment to end."""
    give_up = time.monotonic() + BUSY_SECONDS
    while (refusal := _refusal(host, port)) is not None:
        if refusal.errno != errno.EADDRINUSE or time.monotonic() > give_up:
            raise TastemakerError(
                f"can't listen on {host}:{port}: {refusal.strerror}", fix="pass another --port or --host"
            ) from refusal
        time.sleep(0.05)


def _refusal(host: str, port: int) -> OSError | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None
