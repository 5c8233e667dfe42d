"""How often do off-policy 95 % intervals hold the truth where rewards are rare? Logs of 10,000 rounds.

    python benchmarks/off_policy_coverage.py               # 2,000 logs a line, some minutes
    python benchmarks/off_policy_coverage.py --smoke

`given` is the share of logs that are not refused, and coverage is that of those, where they are 2 % or more.
`uplift` is the difference of SNIPS from what was served. The worlds differ in how far the target is from
what was logged:

contexts   three contexts, four actions; a target with half the log's effective size
drawn      34 actions, drawn evenly; a softmax target
greedy     10 actions, drawn evenly; a target that shows one of them in 73 %
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

from tastemaker.errors import OffPolicyError
from tastemaker.evaluation.off_policy import BanditFeedback, EvaluationPolicy
from tastemaker.evaluation.off_policy.diagnostics import diagnose, require_answer
from tastemaker.evaluation.off_policy.estimate import as_logged, evaluate
from tastemaker.evaluation.off_policy.estimators import Estimate
from tastemaker.evaluation.off_policy.intervals import difference, interval

Float64 = NDArray[np.float64]

ROUNDS = 10_000
RATES = (0.002, 0.003, 0.004, 0.005, 0.007, 0.01, 0.02, 0.05, 0.2)
SHOWN = 0.02


class World(NamedTuple):
    """Pairs of context and action, one entry each."""

    chance: Float64
    """That the log holds it."""
    logging: Float64
    """The logging policy's probability of the action."""
    target: Float64
    reward: Float64
    """The probability of a reward of 1."""

    def of_rate(self, rate: float) -> World:
        """Return the world with its rewards scaled to this mean reward in the log."""
        scaled = self.reward * rate / float(self.chance @ self.reward)
        return self._replace(reward=np.minimum(scaled, 1.0))

    @property
    def value(self) -> float:
        """What the target earns a round."""
        return float(self.chance / self.logging @ (self.target * self.reward))

    def sample(self, rng: np.random.Generator) -> tuple[BanditFeedback, EvaluationPolicy]:
        """Draw a log, and return it with the target policy's probabilities of its actions."""
        drawn = rng.choice(len(self.chance), ROUNDS, p=self.chance)
        rewards = rng.random(ROUNDS) < self.reward[drawn]
        log = BanditFeedback.of(drawn, rewards, self.logging[drawn], n_actions=len(self.chance))
        return log, EvaluationPolicy.of_logged_actions(log, self.target[drawn])


def worlds() -> Iterator[tuple[str, World]]:
    """Yield the name of each world, and the world."""
    contexts = np.array([0.5, 0.3, 0.2])[:, None]
    logging = np.array([[0.40, 0.30, 0.20, 0.10], [0.10, 0.20, 0.30, 0.40], [0.25, 0.25, 0.25, 0.25]])
    target = np.array([[0.10, 0.20, 0.30, 0.40], [0.05, 0.05, 0.10, 0.80], [0.00, 0.50, 0.00, 0.50]])
    rewards = np.array([[0.05, 0.10, 0.08, 0.20], [0.10, 0.02, 0.05, 0.15], [0.30, 0.10, 0.20, 0.05]])
    yield "contexts", World((contexts * logging).ravel(), logging.ravel(), target.ravel(), rewards.ravel())
    rng = np.random.default_rng(0)
    softmax = np.exp(1.2 * rng.normal(size=34))
    even = np.full(34, 1 / 34)
    yield "drawn", World(even, even, softmax / softmax.sum(), rng.gamma(2.0, size=34))
    greedy = np.full(10, 0.03)
    greedy[3] = 0.73
    yield "greedy", World(np.full(10, 0.1), np.full(10, 0.1), greedy, rng.gamma(2.0, size=10))


def covered(world: World, logs: int, seed: int) -> tuple[float, dict[str, float]]:
    """Return the share of logs that can answer, and the coverage of each estimator's interval among them."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[Estimate]] = {"ips": [], "snips": [], "logged": []}
    for _log in range(logs):
        log, target = world.sample(rng)
        try:
            require_answer(diagnose(log, target))
        except OffPolicyError:
            continue
        estimates = {**evaluate(log, target, None, limit=100.0), "logged": as_logged(log)}
        for name, kept in found.items():
            kept.append(estimates[name])
    given = len(found["ips"]) / logs
    if given < SHOWN:
        return given, {}
    served = float(world.chance @ world.reward)
    truth = {"ips": world.value, "snips": world.value, "logged": served}
    shares = {
        name: float(np.mean([one.low <= truth[name] <= one.high for one in map(interval, found[name])]))
        for name in truth
    }
    pairs = zip(found["snips"], found["logged"], strict=True)
    uplifts = [difference(mine, rival) for mine, rival in pairs]
    shares["uplift"] = float(np.mean([one.low <= world.value - served <= one.high for one in uplifts]))
    return given, shares


@click.command()
@click.option("--logs", default=2_000, show_default=True, help="Logs a line.")
@click.option("--smoke", is_flag=True, help="Sizes so small that it takes seconds: shows that it runs.")
def main(logs: int, smoke: bool) -> None:
    """Print a line for each world and click rate."""
    names = ("ips", "snips", "logged", "uplift")
    click.echo(f"{'world':<9} {'rate':>6} {'given':>6} " + " ".join(f"{one:>7}" for one in names))
    for name, world in worlds():
        for number, rate in enumerate((0.01,) if smoke else RATES):
            given, shares = covered(world.of_rate(rate), 20 if smoke else logs, number)
            cells = " ".join(f"{shares[one]:>7.3f}" for one in names) if shares else ""
            click.echo(f"{name:<9} {rate:>6.3f} {given:>6.3f} {cells}")


if __name__ == "__main__":
    main()
