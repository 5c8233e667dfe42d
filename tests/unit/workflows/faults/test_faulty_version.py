"""A version that answers otherwise than it should is replaced, however the block ends."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from tastemaker.workflows.faults import faulty_version


@pytest.mark.parametrize("error", [None, RuntimeError("another fault could not be produced")])
def test_a_good_version_is_deployed_at_the_end(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    made, deployed = iter(["bad", "good"]), list[str]()
    monkeypatch.setattr(faulty_version, "_register", lambda _: next(made))
    workspace: Any = SimpleNamespace(registry=SimpleNamespace(deploy=deployed.append))
    with (
        pytest.raises(RuntimeError) if error else nullcontext(),
        faulty_version.bad_version(workspace, nullcontext()),
    ):
        assert deployed == ["bad"]
        if error:
            raise error
    assert deployed == ["bad", "good"]
