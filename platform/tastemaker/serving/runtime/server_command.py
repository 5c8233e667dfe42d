"""How a BentoML server is started: its command and its environment."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from tastemaker.errors import PluginError
from tastemaker.plugins import discovery

SOCKET = "TASTEMAKER_SOCKET"
"""Environment: the path of the Unix socket that a server listens on instead of its port."""


def service_target(model: str) -> str:
    """Return the import path of the model's BentoML service: `service.py` beside it, named as its class."""
    module, _, name = discovery.get(model).entry_point.partition(":")
    package = module.rpartition(".")[0]
    if not package or find_spec(f"{package}.service") is None:
        raise PluginError(
            f"model {model} has no service.py in {package or module}",
            fix="write service.py: from tastemaker.serving.bento_service import service; "
            f"{name} = service({model!r})",
        )
    return f"{package}.service:{name}"


def server_command(target: str, host: str = "127.0.0.1", port: int = 3000) -> list[str]:
    """Return the command that serves the service at an import path.

    Args:
        target: The import path of the service.
        host: Address to listen on.
        port: Port to listen on.
    """
    return [sys.executable, "-m", "bentoml", "serve", target, "--host", host, "--port", str(port)]


def server_environment(home: Path, service: str, workers: int) -> dict[str, str]:
    """Return this process's environment with what a server of a home folder needs.

    Args:
        home: The home folder.
        service: The name of the BentoML service.
        workers: The number of its processes.
    """
    defaults = {"OPENBLAS_NUM_THREADS": "1"}  # a worker is a core's worth: more of them, not more threads
    return (
        defaults
        | os.environ
        | {
            "BENTOML_DO_NOT_TRACK": "True",
            "BENTOML_HOME": str(home.resolve() / "bentoml"),
            "BENTOML_CONFIG_OPTIONS": f"services.{service}.workers={workers}",
            "TASTEMAKER_HOME": str(home.resolve()),
        }
    )
