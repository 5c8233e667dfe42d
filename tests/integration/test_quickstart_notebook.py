"""The quickstart: kept without outputs, and every cell of it works."""

from __future__ import annotations

import ast
import base64
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from support.repository import ROOT

NOTEBOOK = ROOT / "docs" / "tutorial" / "quickstart.ipynb"
TABLES = 6
"""shop, parts, model, evaluation and two leaderboards."""


def test_it_is_kept_without_outputs() -> None:
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:  # type: ignore[no-untyped-call]
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_every_cell_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()  # raises where a cell does
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert all(output.output_type == "execute_result" for output in outputs), "something was printed"
    pages = [output.data["text/html"] for output in outputs if "text/html" in output.data]
    assert len(pages) == TABLES
    assert all("<table" in page for page in pages)
    assert sum("<svg" in page for page in pages) == 3  # the timeline and two forest plots
    [picture] = [
        base64.b64decode(output.data["image/png"]) for output in outputs if "image/png" in output.data
    ]
    assert picture.startswith(b"\x89PNG")
    plain = [out.data["text/plain"] for out in outputs if len(out.data) == 1]
    [shown, standings] = map(ast.literal_eval, plain)
    assert len(set(shown)) == 5
    assert {name for name, _ranks, _standing in standings} == {"ials", "ease", "bought_again", "popularity"}
    assert standings[0][1][0] == 1
