"""A failure is logged once, however often it repeats, and so is the recovery."""

from __future__ import annotations

import logging

import pytest

from tastemaker.util.failure_log import FailureLog


def test_only_changes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    part = FailureLog(logging.getLogger("test"), "the disk can be read again", level=logging.ERROR)
    part.succeeded()
    assert part.trouble is None
    for _ in range(2):
        for words in ("the disk is full", "the disk is missing"):
            part.failed(words, detail="/data", error=OSError("device"))
            assert part.trouble == words
        for _ in range(2):
            part.succeeded()
            assert part.trouble is None
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "the disk is full: /data"),
        ("INFO", "the disk can be read again"),
    ] * 2
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[0] is OSError
