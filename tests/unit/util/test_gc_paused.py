"""The pause of the garbage collector ends with its block, however that ends."""

from __future__ import annotations

import gc

import pytest

from tastemaker.util.gc_paused import gc_paused


def test_the_collector_runs_again_after_the_block_and_stays_off_where_it_was_off() -> None:
    with gc_paused():
        assert not gc.isenabled()
        with gc_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="broken"), gc_paused():
        raise ValueError("broken")
    assert gc.isenabled()
