"""README.md and docs/: every command is executed, in order, in a fresh clone, and does what the page says.

The simulated shop is made small by settings; all else is as after `make install`. A newcomer reads README.md
and then the tutorial. The other pages are for a reader who has come as far as its `tastemaker run`:
each begins with the home folder as it was then.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import documented_commands
from support.documented_commands import Command, Shell, commands
from support.home_copies import copy_home
from support.repository import ROOT

pytestmark = pytest.mark.servers

README = "README.md"
TUTORIAL = "docs/tutorial/first-run.md"
NEWCOMER = (README, TUTORIAL)
"""These pages install the environment and activate it themselves."""
PAGES = sorted(
    page
    for path in (ROOT / "docs").rglob("*.md")
    if (page := path.relative_to(ROOT).as_posix())
    and page != TUTORIAL
    and any(commands(path.read_text("utf-8"), page))
)
SHOP = "[source]\noptions = { n_users = 150, n_items = 100, n_days = 90, events_per_day = 150, seed = 1 }\n"
RANKER = {"retrievers": ["popularity", "bought_again"], "trees": 20, "label_days": 10}
ENVIRONMENT = {
    "TASTEMAKER_MODELS__RANKER": json.dumps(RANKER),
    # Without it pip fetches the build backend, which the environment has already. The value 0 switches off.
    "PIP_NO_BUILD_ISOLATION": "0",
}
KEPT = ("LANG", "LC_ALL", "TMPDIR", "OMP_NUM_THREADS")


class Clone:
    """A clone of this repository as it stands, with an environment as `make install` makes it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._logs = folder / "clone", folder / "logs"
        self._home, self._saved = self.folder / ".tastemaker", folder / "saved"
        git = ["git", "-C", str(ROOT), "-c", "user.name=-", "-c", "user.email=-"]
        changed = _done([*git, "stash", "create"]).strip()  # what is not committed is tested, too
        _done(["git", "clone", "--quiet", str(ROOT), str(self.folder)])
        if changed:
            _done(["git", "-C", str(self.folder), "fetch", "--quiet", str(ROOT), changed])
            _done(["git", "-C", str(self.folder), "checkout", "--quiet", changed])
        _install(self.folder)
        (self.folder / "tastemaker.toml").write_text(SHOP)

    def shell(self, page: str) -> Shell:
        """A new terminal of a reader of `page`."""
        path = os.pathsep.join(
            one for one in os.environ["PATH"].split(os.pathsep) if Path(one) != Path(sys.executable).parent
        )
        own = {"PATH": path, "HOME": str(self.folder.parent), "COLUMNS": "120"}
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        logs = self._logs / page.replace("/", "-")
        shell = Shell(self.folder, kept | own | ENVIRONMENT, logs)
        if page not in NEWCOMER:
            shell.run(". .venv/bin/activate")
        return shell

    def save(self) -> None:
        """Remember the home folder and the problem, if they are not remembered yet."""
        if not self._saved.exists():
            copy_home(self._home, self._saved / "home")
            shutil.copy(self.folder / "problem.yaml", self._saved)

    def restore(self) -> None:
        """The home folder as it was."""
        shutil.rmtree(self._home)
        copy_home(self._saved / "home", self._home)
        shutil.copy(self._saved / "problem.yaml", self.folder)


def _done(words: list[str], folder: Path | None = None) -> str:
    ended = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def _install(clone: Path) -> None:
    """An environment in the clone: these packages by a path, the clone's own by the Makefile's command."""
    _done([sys.executable, "-m", "venv", "--without-pip", ".venv"], clone)
    packages = next((clone / ".venv" / "lib").glob("python*/site-packages"))
    (packages / "pins.pth").write_text(
        next(path for path in sys.path if path.endswith("site-packages")) + "\n"
    )
    own, others = clone / ".venv" / "bin", Path(sys.executable).parent
    for program in others.iterdir():
        if not (own / program.name).exists() and program.is_file() and not program.is_symlink():
            content = program.read_bytes()
            (own / program.name).write_bytes(
                content.replace(str(others).encode(), str(own).encode()) if content[:2] == b"#!" else content
            )
            shutil.copymode(program, own / program.name)
    [install] = [
        line for line in _done(["make", "--dry-run", "install"], clone).splitlines() if " --no-deps " in line
    ]
    _done(["bash", "-c", f"{install} --offline"], clone)
    (clone / ".venv" / "installed").touch()


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return Clone(tmp_path_factory.mktemp("newcomer"))


@pytest.fixture(scope="module")
def newcomer(clone: Clone) -> dict[str, list[str]]:
    """What went wrong on the pages that a newcomer reads first."""
    return {page: list(_typed(clone, page)) for page in NEWCOMER}


def _typed(clone: Clone, page: str) -> Iterator[str]:
    """Type a page's commands, and README's Python; what went wrong."""
    shell = clone.shell(page)
    try:
        text = (ROOT / page).read_text("utf-8")
        for command in commands(text, page, python=page == README):
            result = shell.type(command)
            print(f"{result.seconds:6.1f} s  {command.place}")
            for why in _wrong(command, result):
                print(f"FAILED  {why}")
                yield f"{command.place}\n{why}\n{result.said[-3_000:]}"
            if page == TUTORIAL and command.text.startswith("tastemaker run"):
                clone.save()
    finally:
        ended = shell.close()
    yield from (
        f"{page}: {name} of a server holds a stack trace\n{result.said[-3_000:]}"
        for name, result in ended.items()
        if "Traceback" in result.said
    )


def _wrong(command: Command, result: documented_commands.Result) -> Iterator[str]:
    if result.status != command.status:
        yield f"ended with status {result.status}, not {command.status}"
    if "Traceback" in result.said:
        yield "a stack trace is not an answer"
    if missing := documented_commands.keys_shown(command.shown) - documented_commands.keys_shown(result.said):
        yield f"the page shows fields that are not there: {sorted(missing)}"
    if "about:blank" in result.said and "about:blank" not in command.shown:
        yield "the service refused it"


@pytest.mark.parametrize("page", NEWCOMER)
def test_every_command_for_newcomers_works(page: str, newcomer: dict[str, list[str]]) -> None:
    assert newcomer[page] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_works(page: str, clone: Clone, newcomer: dict[str, list[str]]) -> None:
    clone.restore()
    assert list(_typed(clone, page)) == []
