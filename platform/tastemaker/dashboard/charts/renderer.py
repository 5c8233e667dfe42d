"""Draw charts in a child process.

vl-convert runs Vega-Lite in an embedded JavaScript engine, which takes 140 MB. In a process of its own it is
gone after a while without charts, and a chart that takes too long, or ends the engine, does no harm.
"""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from tastemaker.dashboard.charts.theme import Theme, config
from tastemaker.dashboard.content import Chart
from tastemaker.errors import TastemakerError
from tastemaker.util.atomic_files import atomic_write

KEPT = 300
"""Most drawn charts that are kept; one takes about 20 kB."""
IDLE_SECONDS = 60.0
"""The process ends after so long without charts."""
TIMEOUT_SECONDS = 20.0
"""A chart that takes longer is given up."""
DRAWN_BEFORE_RESTART = 1_000
"""The process is replaced after so many charts."""
_LOG = logging.getLogger(__name__)


def specification(chart: Chart, theme: Theme) -> dict[str, Any]:
    """Return a chart's whole Vega-Lite specification, which can be written as JSON.

    Args:
        chart: Its specification without data, the table with its data, and the label for screen readers.
        theme: Which colours it gets.

    Returns:
        A new dictionary. The data are the table's rows; values that are not finite are None.
    """
    return {
        **chart.spec,
        "description": chart.label,
        "config": config(theme),
        "data": {"values": chart.table.records()},
    }


class ChartRenderer:
    """Draws charts as SVG, and keeps what it has drawn.

    Args:
        timeout: Seconds after which a chart that is not drawn is given up, and the drawing process ended.
        idle: Seconds without charts after which the drawing process ends; the next chart starts another one.
    """

    def __init__(self, *, timeout: float = TIMEOUT_SECONDS, idle: float = IDLE_SECONDS) -> None:
        self._timeout, self._idle = timeout, idle
        self._kept: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._timer: threading.Timer | None = None

    def svg(self, chart: Chart, theme: Theme) -> str:
        """Return a chart as an SVG document; equal charts are drawn once.

        Args:
            chart: The chart with its data.
            theme: Which colours it gets.

        Raises:
            TastemakerError: It can't be drawn, or takes too long.
        """
        text = json.dumps(specification(chart, theme), sort_keys=True, allow_nan=False)
        key = hashlib.sha256(text.encode()).hexdigest()
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        drawn = self._call(draw, text)
        with self._lock:
            self._kept[key] = drawn
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return drawn

    def bundle(self, folder: Path) -> Path:
        """Return the file with the JavaScript that shows charts in the browser, made once per version."""
        from importlib.metadata import version

        path = folder / f"vega-{version('vl-convert-python')}.js"
        if not path.exists():
            made = self._call(make_bundle, "")
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as partial:
                partial.write_text(made, "utf-8")
        return path

    def close(self) -> None:
        """End the process."""
        with self._lock:
            pool, self._pool = self._pool, None
            if self._timer is not None:
                self._timer.cancel()
        if pool is not None:
            _end(pool)

    def _call(self, work: Callable[[str], str], text: str) -> str:
        pool, future = self._submit(work, text)
        try:
            return future.result(self._timeout)
        except FutureTimeout:
            reason = f"it took more than {self._timeout:g} seconds"
        except BrokenProcessPool:
            reason = "the drawing process ended"
        except ValueError as error:
            raise _not_drawn(str(error)) from None
        finally:
            self._rest()
        with self._lock:
            if self._pool is pool:
                self._pool = None
        _end(pool)
        _LOG.warning("a chart was not drawn: %s", reason)
        raise _not_drawn(reason)

    def _submit(self, work: Callable[[str], str], text: str) -> tuple[ProcessPoolExecutor, Future[str]]:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    1,
                    mp_context=multiprocessing.get_context("spawn"),
                    max_tasks_per_child=DRAWN_BEFORE_RESTART,
                )
            return self._pool, self._pool.submit(work, text)

    def _rest(self) -> None:
        """End the process after a while without charts."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = threading.Timer(self._idle, self.close)
            self._timer.daemon = True
            self._timer.start()


def _not_drawn(reason: str) -> TastemakerError:
    return TastemakerError(f"the chart can't be drawn: {reason}", fix="read its table instead")


def draw(text: str) -> str:
    """Draw a specification; runs in the child process."""
    import vl_convert

    drawn: str = vl_convert.vegalite_to_svg(text, allowed_base_urls=[])
    return drawn


def make_bundle(_: str) -> str:
    """Return the JavaScript of Vega, Vega-Lite and Vega-Embed; runs in the child process."""
    import vl_convert

    made: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return made


def _end(pool: ProcessPoolExecutor) -> None:
    """End a pool's process at once, also while it draws."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()
