"""What the documentation asks its readers to type: found in the pages, and typed into a shell.

A block of commands is fenced, and the words after the language say what becomes of it:

    ```bash                      typed; every command ends with status 0
    ```bash exits 1: reason      typed; every command ends with status 1
    ```bash not typed: reason    left out, such as what takes minutes or has a placeholder
    ```console                   what follows `$ ` is typed; it prints every field of the JSON that is shown
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

_FENCE = re.compile(r"^```(.*)$")
_INFO = re.compile(r"bash(?: exits (?P<status>[1-9][0-9]*): \S.*| not typed: (?P<why>\S.*))?")
_COMMAND = re.compile(
    r"(?:\$ )?(?:tastemaker|bentoml|dagster|pip|uv|python3?|make|curl|pytest|git|docker|export|source|\.) \S"
)
_SERVER = re.compile(r"(tastemaker serve|bentoml serve|dagster dev)\b")
_FOLLOWER = re.compile(r"tastemaker (learn|ship)\b.* --follow\b")
_PORT = re.compile(r"--port (\d+)")
READY = {"dagster dev": "/server_info", "tastemaker serve": "/readyz", "bentoml serve": "/readyz"}
ISOLATED = ("unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Before a program: a network and process numbers of its own; whatever it started ends with it."""
START_SECONDS, FOLLOW_SECONDS, LIMIT_SECONDS = 300, 8, 600


class Command(NamedTuple):
    """One command of a page."""

    page: str
    line: int
    text: str
    status: int = 0
    """What it must end with."""
    shown: str = ""
    """What the page says that it prints."""

    @property
    def port(self) -> int | None:
        """Where it listens, if it is a server in the foreground."""
        if not _SERVER.match(self.text):
            return None
        found = _PORT.search(self.text)
        return 3000 if found is None else int(found[1])

    @property
    def place(self) -> str:
        """Page, line and text."""
        return f"{self.page}:{self.line}: {self.text}"


class Block(NamedTuple):
    """A fenced or indented block of a page."""

    line: int
    """Of its first line of text."""
    info: str | None
    """What stands after the fence; None: the block is indented."""
    lines: list[str]


def blocks(page: str) -> Iterator[Block]:
    """Every block of a Markdown page."""
    lines = page.split("\n")
    at, blank = 0, True
    while at < len(lines):
        if fence := _FENCE.match(lines[at]):
            end = next(n for n in range(at + 1, len(lines)) if lines[n].startswith("```"))
            yield Block(at + 2, fence[1].strip(), lines[at + 1 : end])
            at = end
        elif lines[at].startswith("    ") and blank:
            end = at
            while end < len(lines) and lines[end].startswith("    "):
                end += 1
            yield Block(at + 1, None, [line[4:] for line in lines[at:end]])
            at = end - 1
        blank = not lines[at].strip()
        at += 1


def commands(page: str, name: str, *, python: bool = False) -> list[Command]:
    """The commands of a page, in order, with `python` also its blocks of Python, each as one command.

    Raises ValueError for a block of commands that no user would type.
    """
    found: list[Command] = []
    for block in blocks(page):
        language = (block.info or "").partition(" ")[0]
        info = _INFO.fullmatch(block.info or "")
        if language == "console":
            found += _dialogue(block, name)
        elif language == "python" and python:
            found.append(Command(name, block.line, "\n".join(["python - <<'END'", *block.lines, "END"])))
        elif language == "bash" and info is None:
            raise ValueError(
                f"{name}:{block.line}: ```{block.info}: write ```bash, exits N: or not typed: WHY"
            )
        elif info is not None and not info["why"]:
            found += _typed(block, name, int(info["status"] or 0))
        elif language not in {"bash", "python", "text"} and any(map(_COMMAND.match, block.lines)):
            raise ValueError(f"{name}:{block.line}: commands outside of ```bash, where they would be typed")
    return found


def _typed(block: Block, name: str, status: int) -> Iterator[Command]:
    text, start = "", block.line
    for number, line in enumerate(block.lines, start=block.line):
        start = start if text else number
        text = f"{text}\n{line}" if text else line
        if not text.strip():
            text = ""
        elif _ends(text):
            yield Command(name, start, text.strip(), status)
            text = ""
    if text.strip():
        raise ValueError(f"{name}:{start}: this command has no end: {text}")


def _ends(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return not text.endswith("\\")


def _dialogue(block: Block, name: str) -> list[Command]:
    found: list[Command] = []
    text, start, shown = "", 0, list[str]()

    def end() -> None:
        if found and shown:
            found[-1] = found[-1]._replace(shown="\n".join(shown))
        shown.clear()

    for number, line in enumerate(block.lines, start=block.line):
        if text:
            text = f"{text}\n{line}"
        elif line.startswith("$ "):
            end()
            text, start = line[2:], number
        else:
            shown.append(line)
        if text and _ends(text):
            found.append(Command(name, start, text))
            text = ""
    end()
    return found


@dataclass
class Result:
    """How a command went."""

    status: int
    said: str
    seconds: float


class Shell:
    """A bash whose folder and variables stay from one command to the next, on a network of its own.

    Its network has the loopback device only, so that the ports which the pages name are free, and nothing
    comes from elsewhere. Where the system allows none, it shares the machine's.
    """

    def __init__(self, folder: Path, environment: dict[str, str], logs: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._logs, self._n = logs, 0
        self._answers = logs / "blank_lines"
        self._answers.write_text("\n" * 500)
        self._status = logs / "status"
        os.mkfifo(self._status)
        self._bash = subprocess.Popen(
            [*(ISOLATED if isolated() else ()), "bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._servers: dict[int, tuple[str, Path]] = {}
        """Port, or minus the number of a program that follows -> its job's variable and log."""
        self.run("set -m; ip link set lo up")  # jobs of their own, so that Ctrl-C ends one of them

    def type(self, command: Command) -> Result:
        """Type it. A server is awaited and left running, until another needs its port."""
        if command.port is None and not _FOLLOWER.match(command.text):
            return self.run(command.text)
        return self._start(command)

    def run(self, text: str) -> Result:
        """Have the shell itself run it, with blank lines for its questions."""
        self._n += 1
        script, log = self._logs / f"{self._n}.sh", self._logs / f"{self._n}.log"
        script.write_text(text + "\n")
        began = time.monotonic()
        status = self._ask(f"source {script} <{self._answers} >{log} 2>&1")
        return Result(status, log.read_text(errors="replace"), time.monotonic() - began)

    def close(self) -> dict[str, Result]:
        """Stop what runs, as Ctrl-C does; how each server ended."""
        ended = {log.name: self.stop(key) for key, (_, log) in list(self._servers.items())}
        assert self._bash.stdin is not None
        self._bash.stdin.close()
        try:
            self._bash.wait(10)
        except subprocess.TimeoutExpired:
            self._bash.kill()
            self._bash.wait()
        self._status.unlink()
        return ended

    def stop(self, key: int) -> Result:
        """End a server as Ctrl-C does."""
        job, log = self._servers.pop(key)
        began = time.monotonic()
        status = self._ask(
            f"kill -INT -- -${job} 2>/dev/null; "
            f"for i in $(seq 300); do kill -0 ${job} 2>/dev/null || break; sleep 0.1; done; "
            f"kill -KILL -- -${job} 2>/dev/null && false || wait ${job}"
        )
        return Result(status, log.read_text(errors="replace"), time.monotonic() - began)

    def _start(self, command: Command) -> Result:
        self._n += 1
        began, port = time.monotonic(), command.port
        if port in self._servers:
            assert port is not None
            self.stop(port)
        key = -self._n if port is None else port
        job, log = f"JOB_{self._n}", self._logs / f"{self._n}.log"
        script = self._logs / f"{self._n}.sh"
        script.write_text(command.text + "\n")
        self._ask(f"{{ source {script}; }} <{self._answers} >{log} 2>&1 & {job}=$!")
        self._servers[key] = job, log
        if port is None:
            status = self._ask(
                f"for i in $(seq {FOLLOW_SECONDS * 5}); do kill -0 ${job} 2>/dev/null || break; sleep 0.2; "
                f"done; kill -0 ${job} 2>/dev/null || wait ${job}"
            )
        else:
            path = next(path for name, path in READY.items() if command.text.startswith(name))
            url = f"http://127.0.0.1:{port}{path}"
            status = self._ask(
                f"for i in $(seq {START_SECONDS * 4}); do curl -sf -m 5 -o /dev/null {url} && break; "
                f"kill -0 ${job} 2>/dev/null || break; sleep 0.25; done; curl -sf -m 5 -o /dev/null {url}"
            )
        return Result(status, log.read_text(errors="replace"), time.monotonic() - began)

    def _ask(self, line: str) -> int:
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{line}\necho $? >{self._status}\n")
        self._bash.stdin.flush()

        def late(*_: object) -> None:
            raise TimeoutError(f"no end after {LIMIT_SECONDS} s: {line}")

        before = signal.signal(signal.SIGALRM, late)
        signal.alarm(LIMIT_SECONDS)
        try:
            return int(self._status.read_text())
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)


@cache
def isolated() -> bool:
    """Whether this system gives a shell a network of its own."""
    tried = subprocess.run([*ISOLATED, "ip", "link", "set", "lo", "up"], capture_output=True, check=False)
    return tried.returncode == 0


def keys_shown(shown: str) -> set[str]:
    """The names of fields in JSON, whether it is complete or not."""
    return set(re.findall(r'"(\w+)":', shown))
