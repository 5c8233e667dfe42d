"""The whole demo at its default size: each step is done, and its experiment is decided as the truth demands.

`make demo-test` runs this, as a nightly job does; `make test` does not. Where the caller may have a network
of its own, the demo runs in one that has nothing but this machine.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.repository import ROOT
from tastemaker_pipelines.cli.demo import AGAIN
from tastemaker_pipelines.cli.progress import SIGNS

pytestmark = pytest.mark.servers

DEMO = str(Path(sys.executable).with_name("tastemaker"))
ALONE = 'ip link set lo up && exec "$@"'
"""Runs a command in a new network, in which this machine's own address answers."""
MOST_SECONDS = 3_600
STEP = re.compile(r"^  (\S) +[\d.,]+ s  (\S+)(.*)$", re.MULTILINE)
NUMBER = re.compile(r"[−+-]?\d[\d.,]*(?<=\d)")


def offline() -> list[str]:
    """The words before a command that run it without a network; empty where the caller may not."""
    for option in ("-n", "-rn"):
        words = ["unshare", option, "sh", "-c", ALONE, "sh"]
        try:
            if subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0:
                return words
        except OSError:
            return []
    return []


def form(line: str) -> str:
    """A line without its figures and the width of its columns."""
    return " ".join(NUMBER.sub("#", line).split())


def has_form(quoted: str, lines: Sequence[str]) -> bool:
    """Whether a line has the form of a quoted one, which may end early with three dots."""
    wanted = form(quoted)
    begins = wanted.removesuffix(" ...")
    return any(
        one.startswith(begins + " ") if begins != wanted else one == wanted for one in map(form, lines)
    )


def quoted_lines() -> list[str]:
    """The lines of the demo that README.md quotes."""
    [block] = re.findall(
        r"^The demo took .*?^```text\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S
    )
    return str(block).splitlines()


def test_a_form_has_everything_but_the_figures() -> None:
    line = "truth     −59.1 % for the users of the simulated shop: b is worse; the result agrees with it"
    assert (
        form(line) == "truth # % for the users of the simulated shop: b is worse; the result agrees with it"
    )
    assert form("  ✓    6.2 s  backtests/ranker  ndcg 0.289,  1,949 users.") == (
        "✓ # s backtests/ranker ndcg #, # users."
    )
    assert has_form("rows 1  days 2  ...", ["rows 3 days 44 source x"])
    assert not has_form("rows 1  days 2  ...", ["rows 3 hours 44 source x"])
    assert not has_form("rows 1  days 2", ["rows 3 days 44 source x"])


def test_the_demo_does_each_step_and_decides_its_experiment(tmp_path: Path) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("TASTEMAKER_")}
    ended = subprocess.run(
        [*offline(), DEMO, "demo"],
        cwd=tmp_path,
        env=own | {"TASTEMAKER_HOME": str(tmp_path / "home"), "COLUMNS": "400"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=MOST_SECONDS,
        check=False,
    )
    said = ended.stdout
    (tmp_path / "demo.log").write_text(said, encoding="utf-8")
    assert ended.returncode == 0, said
    steps = STEP.findall(said)
    assert {sign for sign, *_ in steps} == {"✓"}, said
    done = Counter(name for _, name, _ in steps)
    [first, *_] = re.findall(r"^trained: (.*)$", said, re.MULTILINE)
    for model in first.split(", "):
        assert {f"models/{model}", f"backtests/{model}"} <= done.keys(), said
    assert {done[f"models/{model}"] for model in AGAIN} == {2}, said
    assert re.search(r"^result .*: (better|worse) than control\.$", said, re.MULTILINE), said
    assert re.search(r"^decision .* because a planned look found (it|b) (better|worse)\b", said, re.MULTILINE)
    assert re.search(r"^truth .*: b is (better|worse); the result agrees with it$", said, re.MULTILINE), said
    lines = said.splitlines()
    quoted = quoted_lines()
    assert len(quoted) == 5
    assert [one for one in quoted if not has_form(one, lines)] == [], said


def test_signs_are_those_that_the_demo_prints() -> None:
    """Else a failed step would not be found by its sign."""
    assert [re.sub(r"\[.*?\]", "", sign) for sign in SIGNS.values()] == ["✓", "✗", "–"]
