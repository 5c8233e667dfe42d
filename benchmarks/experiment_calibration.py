"""Are the rates that an experiment's result claims true? Thousands of experiments whose truth is known.

    python benchmarks/experiment_calibration.py            # 2,000 experiments of each kind
    python benchmarks/experiment_calibration.py --runs 200
    python benchmarks/experiment_calibration.py --smoke
    python benchmarks/experiment_calibration.py --json

Users of a simulated shop ask for lists, click and buy: written as the platform's own log into a lake, and read
from there as the units of an experiment. Most of them earn nothing, a few much. Experiments draw their units
from these, assign them by the hash of production, and look as planned:

    false positives   no effect: how often a look says better or worse, of 14 and of 100 looks; at most alpha
    power             the effect that one look finds in 80 % of the experiments, with 14 looks
    sample ratio      healthy traffic: how often units seem divided wrongly
    coverage          one look: how often the 95 % interval holds the effect, with and without adjustment
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from tastemaker.experiments.analysis.logged_pool import LoggedPool
from tastemaker.experiments.analysis.metrics import METRICS
from tastemaker.experiments.analysis.planner import replayed_units
from tastemaker.experiments.analysis.simulated_runs import SimulatedRun, SimulatedRuns, simulate_runs
from tastemaker.experiments.analysis.unit_table import COVARIATES, UnitTable
from tastemaker.experiments.design import Design, VariantDesign
from tastemaker.stats.effects import mean_effect
from tastemaker.stats.sample_size import PowerPlan, smallest_effect
