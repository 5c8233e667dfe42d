"""The picture of the asset graph is drawn from the definitions, and the committed file is the drawn one."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import dagster as dg
import pytest

from support.repository import ROOT
from tastemaker.plugins.discovery import find
from tastemaker_pipelines.definitions import assemble
from tastemaker_pipelines.resources import LazyWorkspace

pytestmark = pytest.mark.slow
SCRIPT = ROOT / "docs" / "draw_asset_graph.py"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def render(script: dict[str, Any]) -> Callable[[dg.AssetGraph], str]:
    found: Callable[[dg.AssetGraph], str] = script["render"]
    return found


def graph(*assets: tuple[str, str, list[str]]) -> dg.AssetGraph:
    """The graph of assets, each with its group and parents."""
    specs = [dg.AssetSpec(name, group_name=group, deps=deps) for name, group, deps in assets]
    return dg.Definitions(assets=specs).resolve_asset_graph()


def test_the_committed_picture_is_the_drawn_one(
    script: dict[str, Any], render: Callable[[dg.AssetGraph], str]
) -> None:
    drawn = render(assemble(find(), LazyWorkspace()).resolve_asset_graph())
    path: Path = script["PICTURE"]
    assert path.read_text("utf-8") == drawn, "draw it again: python docs/draw_asset_graph.py"


def test_every_group_and_asset_is_in_the_picture_and_inside_of_it(script: dict[str, Any]) -> None:
    root = ElementTree.parse(script["PICTURE"]).getroot()
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    named = {text.text for text in root.iter(f"{SVG}text")}
    assembled = assemble(find(), LazyWorkspace()).resolve_asset_graph()
    for key in assembled.get_all_asset_keys():
        assert assembled.get(key).group_name in named
        assert (key.path[0] if len(key.path) == 1 else f"{key.path[0]}/*") in named
    for box in root.iter(f"{SVG}rect"):
        x, y, w, h = (float(box.attrib.get(name, 0)) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height


def test_arrows_between_groups_are_those_that_do_not_follow_from_others(script: dict[str, Any]) -> None:
    needed = {"a": set[str](), "b": {"a"}, "c": {"a", "b"}, "d": {"a", "c"}, "e": {"a"}}
    assert script["_reduced"](needed) == [("a", "b"), ("a", "e"), ("b", "c"), ("c", "d")]


def test_assets_of_models_are_drawn_once(render: Callable[[dg.AssetGraph], str]) -> None:
    specs = [dg.AssetSpec(["models", name], group_name="training") for name in ("a", "b")]
    drawn = render(dg.Definitions(assets=specs).resolve_asset_graph())
    assert drawn.count("models/*") == 1
    assert "* one per model" in drawn


def test_assets_that_depend_on_each_other_are_in_one_chain(script: dict[str, Any]) -> None:
    parents = {"a": set[str](), "b": {"a"}, "c": {"b"}, "alone": set[str]()}
    assert script["_rows"](list(parents), parents, 1_000) == [["a", "->", "b", "->", "c", "alone"]]


def test_a_dependency_that_the_layout_has_no_room_for_is_refused(
    render: Callable[[dg.AssetGraph], str],
) -> None:
    wide = graph(("a", "one", []), ("b", "two", ["a"]), ("c", "three", ["b"]), ("x", "four", []))
    assert "<svg" in render(wide)
    skips = graph(("a", "one", []), ("b", "two", ["a"]), ("x", "four", []), ("c", "three", ["b", "x"]))
    with pytest.raises(ValueError, match="three depends on four, 2 layers above it"):
        render(skips)


def test_an_arrow_turns_to_a_group_that_is_not_below(render: Callable[[dg.AssetGraph], str]) -> None:
    """Two groups beside each other, and two below the right one."""
    drawn = render(
        graph(
            ("source", "top", []),
            ("a", "alone", ["source"]),
            ("b", "parent", ["source"]),
            ("c", "first", ["b"]),
            ("d", "second", ["b"]),
        )
    )
    (turned,) = [line for line in drawn.splitlines() if 'class="arrow"' in line and "H" in line]
    straight = [line for line in drawn.splitlines() if 'class="arrow"' in line and "H" not in line]
    assert len(straight) == 3
    assert turned.index("V") < turned.index("H") < turned.rindex("V")
