"""The level of the checks of sample ratios, in a module that loads no arrays: the watch reads it, too."""

from __future__ import annotations

RATIO_ALPHA = 0.001
"""A sample ratio whose p-value is below this is a mismatch: figures can't be believed."""
