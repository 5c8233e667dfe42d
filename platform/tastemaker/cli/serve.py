"""`tastemaker serve`: answer requests with a model, or with the champion."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from tastemaker.errors import ArtifactError, RegistryError, TastemakerError

if TYPE_CHECKING:
    from tastemaker.registry.deployment import Followed, Target
    from tastemaker.settings import Settings

PORT_WAIT_SECONDS = 2.0
"""Seconds to wait for a port that is taken."""
PINNED, CHOSEN = "TASTEMAKER_VERSION", "TASTEMAKER_CHOSEN_VERSION"
"""As in `serving.runtime.version_selection`, which `--help` does not import."""
CHAMPION = "tastemaker.serving.champion_service:Champion"
_HERE = ("127.0.0.1", "::1", "localhost")


def listens(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a command that becomes a server."""
    options = (
        click.option(
            "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all."
        ),
        click.option(
            "--port",
            default=3000,
            show_default=True,
            type=click.IntRange(1, 65_535),
            help="Port to listen on.",
        ),
        click.option(
            "--workers",
            default=1,
            show_default=True,
            type=click.IntRange(1, 128),
            help="Number of worker processes.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("model", metavar="[MODEL[@VERSION]]", required=False)
@listens
def serve(model: str | None, host: str, port: int, workers: int) -> None:
    """Serve the champion, or a version of a model, over HTTP.

    Without MODEL the service follows the champion of the problem: after a promotion or a rollback it switches
    within seconds, without a failed request. While there is no champion, it serves the baseline.

    With MODEL it serves the deployed version of that model, or its newest if none is deployed.

    With MODEL@VERSION it serves that version only: no deployment, promotion or rollback replaces it.

    \b
    Examples:
      tastemaker serve
      tastemaker serve popularity --port 3001
      tastemaker serve popularity@20261129-075116-298164-dec17f385e20
      curl -X POST localhost:3000/recommend -d '{"user_id": "17850", "k": 5}'
    """
    from tastemaker.serving.runtime.server_command import (
        server_command,
        server_environment,
        service_target,
    )
    from tastemaker.settings import load_settings

    settings = load_settings()
    model, pinned = _parsed(model)
    chosen = _choose(settings, model, pinned)
    target = CHAMPION if model is None else service_target(model)
    require_free(host, port)
    click.echo(f"serving {chosen.model} {chosen.version} ({chosen.why}) on http://{host}:{port}", err=True)
    warn_without_keys(settings, host)
    environment = server_environment(settings.home, model or "champion", workers)
    if model is not None:
        environment |= {PINNED if pinned else CHOSEN: chosen.version}
    os.execve(sys.executable, server_command(target, host, port), environment)


def warn_without_keys(settings: Settings, host: str) -> None:
    """Warn that requests to an address of the network will be refused.

    Args:
        settings: Say where the file of API keys is; there is no warning if it exists.
        host: The address to listen on; there is no warning for one of this machine alone.
    """
    if host not in _HERE and not settings.keys.exists():
        click.echo(
            "no API key exists, so requests from other machines are refused: "
            "create one with tastemaker keys new",
            err=True,
        )


class _Chosen(NamedTuple):
    model: str
    version: str
    why: str


def _parsed(argument: str | None) -> tuple[str | None, str | None]:
    """Return the model and the pinned version of MODEL@VERSION, or of MODEL with TASTEMAKER_VERSION.

    Raises TastemakerError if both pin a version and they differ, or if no model is named.
    """
    from tastemaker.serving.runtime.version_selection import check_pin, pinned_version

    model, at, version = (argument or "").partition("@")
    pinned = pinned_version()
    if argument is not None and (not model or (at and not version)):
        raise ArtifactError(f"{argument!r} is not MODEL or MODEL@VERSION", fix="tastemaker models versions")
    if version and pinned not in (None, version):
        raise ArtifactError(f"{argument} and {PINNED} = {pinned!r} name two versions", fix=f"unset {PINNED}")
    check_pin(model or None, None)
    return model or None, version or pinned


def _choose(settings: Settings, model: str | None, pinned: str | None) -> _Chosen:
    """Return the version to serve and why. Raises RegistryError if there is none."""
    from tastemaker.plugins import discovery
    from tastemaker.registry.artifact import verify_version
    from tastemaker.serving.runtime.version_selection import deployed_folder, newest_folder

    if model is not None and pinned is not None:
        discovery.get(model)
        folder = settings.artifacts / model / pinned
        if Path(pinned).name != pinned or not folder.is_dir():
            raise RegistryError(
                f"{model} has no version {pinned!r}", fix="list them: tastemaker models versions"
            )
        verify_version(folder)
        return _Chosen(model, pinned, "pinned: no deployment replaces it")
    if model is not None:
        discovery.get(model)  # so that a wrong name and an untrained model have different errors
        if (deployed := deployed_folder(settings, model)) is not None:
            return _Chosen(model, deployed.name, "the deployed version")
        return _Chosen(model, newest_folder(settings, model).name, "its newest version")
    return _choose_champion(settings)


def _choose_champion(settings: Settings) -> _Chosen:
    """Return the version that a service which follows the champion starts with."""
    from tastemaker.problem import load_problem
    from tastemaker.registry.artifact import verify_version
    from tastemaker.serving.runtime.version_selection import at_start, followed, open_registry

    problem = load_problem(settings.problem)
    try:
        open_registry(settings).publish(problem.name)
    except TastemakerError as error:  # the files beside the artifacts say what is served
        click.echo(f"the champion's file is not checked against the database: {error.problem}", err=True)
    wanted = _wanted(followed(settings, None))
    for folder in at_start(settings, None):
        try:
            manifest = verify_version(folder)
        except TastemakerError as error:
            click.echo(f"version {folder.name} can't be served: {error.problem}", err=True)
            continue
        if wanted is None:
            why = f"the baseline: {problem.name!r} has no champion yet; the service switches once it has"
        elif manifest.version == wanted.version:
            why = f"the champion of {problem.name!r}; the service follows it"
        else:
            why = f"instead of the champion of {problem.name!r}, {wanted}"
        return _Chosen(manifest.model, manifest.version, why)
    raise RegistryError(f"no version for {problem.name!r} can be served", fix="train one: tastemaker run")


def _wanted(follows: Followed) -> Target | None:
    try:
        return follows.wanted()
    except ArtifactError as error:
        click.echo(f"the champion is not known: {error.problem}", err=True)
        return None


def require_free(host: str, port: int) -> None:
    """Raise TastemakerError if the port stays taken: workers of a killed server end soon after it.

    Args:
        host: The address to listen on; one with a colon is of IPv6.
        port: The port, which is waited for up to two seconds.

    Raises:
        TastemakerError: Another process listens there, or this one may not.
    """
    give_up = time.monotonic() + PORT_WAIT_SECONDS
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
