"""Two loads for the serving benchmark, both wrk: it asks as fast as it is answered, or as people do.

As fast as it is answered, a client always waits: that finds the maximum. People ask, look at
what they got for a while, 45 ms on average (exponential), and ask again: a hundred and more of them come
nearly at the times of a Poisson process, as many per second as one wants, and one that waits delays no
other. A client in Python takes so much of a processor for that, that it measures itself.
"""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

CONNECTIONS = 32
_SCRIPT = """
local n = 0
request = function()
  n = (n * 1103515245 + 12345) % 2147483648
  local body = string.format('{"user_id":"user-%06d","k":10}', n % {users})
  return wrk.format("POST", "/recommend", {["content-type"] = "application/json"}, body)
end
"""


_THINKING = """
function delay() return math.floor(-math.log(1 - math.random()) * {ms} + 0.5) end
"""
THINK_SECONDS = 0.045
WARM_SECONDS = 3.0


class Flood(NamedTuple):
    """What wrk says."""

    per_second: float
    failed: int


class Paced(NamedTuple):
    """What the people saw: lists a second, and milliseconds from asking to the answer."""

    per_second: float
    mean_ms: float
    p50_ms: float
    p99_ms: float
    failed: int


def flood(port: int, seconds: float, users: int, folder: Path, *, connections: int = CONNECTIONS) -> Flood:
    """Run one thread of wrk, each of whose connections asks as soon as it is answered."""
    said = _wrk(port, connections, seconds, users, folder)
    return Flood(_per_second(said), _failed(said))


def paced(port: int, per_second: float, seconds: float, users: int, folder: Path) -> Paced:
    """Simulate people who look at their list for a while before they request another.

    A first, short round measures how long they wait, which gives the number of people. It warms up, too.

    Args:
        port: The server's port.
        per_second: Lists per second of all people together.
        seconds: How long the load lasts.
        users: Number of user ids.
        folder: Where the script for wrk is written.
    """
    first = _visited(port, math.ceil(per_second * THINK_SECONDS), WARM_SECONDS, users, folder)
    people = math.ceil(per_second * (THINK_SECONDS + first.mean_ms / 1_000))
    return _visited(port, people, seconds, users, folder)


def _visited(port: int, people: int, seconds: float, users: int, folder: Path) -> Paced:
    said = _wrk(port, people, seconds, users, folder, _THINKING.replace("{ms}", str(THINK_SECONDS * 1_000)))
    at = {percent: _ms(took) for percent, took in re.findall(r"(\d+)%\s+([\d.]+\w+)\n", said)}
    mean = re.search(r"Latency\s+([\d.]+\w+)", said)
    assert mean is not None
    return Paced(_per_second(said), _ms(mean[1]), at["50"], at["99"], _failed(said))


def _wrk(port: int, connections: int, seconds: float, users: int, folder: Path, more: str = "") -> str:
    """Run one thread of wrk, and return what it prints."""
    script = folder / "post.lua"
    script.write_text(_SCRIPT.replace("{users}", str(users)) + more)
    url = f"http://127.0.0.1:{port}"
    duration = f"-d{max(1, round(seconds))}s"
    command = ["wrk", "-t1", f"-c{connections}", duration, "--latency", "-s", str(script), url]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _per_second(said: str) -> float:
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if rate is None:
        raise RuntimeError(f"wrk said:\n{said}")
    return float(rate[1])


def _failed(said: str) -> int:
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    return (int(failed[1]) if failed else 0) + (sum(map(int, broken.groups())) if broken else 0)


def _ms(took: str) -> float:
    """Convert wrk's 1.52ms, 880.00us or 1.02s to milliseconds."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", took).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def ratios(ours: Sequence[Flood], theirs: Sequence[Flood]) -> float:
    """Return the median, over rounds that ran side by side, of how many times faster ours was."""
    pairs = zip(ours, theirs, strict=True)
    return float(np.median([our.per_second / their.per_second for our, their in pairs]))
