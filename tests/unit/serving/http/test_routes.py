"""A path finds its route, and an id in it comes out as it was meant, whatever it holds."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastemaker.serving.http.routes import ROUTES, SERVICE_ROUTES

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50)


def scope(raw: str) -> dict[str, Any]:
    """What an ASGI server makes of a request line."""
    return {"path": unquote(raw.partition("?")[0]), "raw_path": raw.encode()}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_every_route_is_found_by_its_path(route: Any) -> None:
    word, brace, _ = route.path.partition("{")
    assert SERVICE_ROUTES.find(scope(word + "x" if brace else word)) == (route, "x" if brace else "")


@given(IDS)
def test_an_id_comes_out_of_the_path_as_it_went_in(item_id: str) -> None:
    route, argument = SERVICE_ROUTES.find(scope(f"/similar/{quote(item_id, safe='')}?k=5"))
    assert route is not None
    assert (route.path, argument) == ("/similar/{item_id}", item_id)


@pytest.mark.parametrize(
    ("raw", "argument"),
    [
        ("/similar/a/b", "a/b"),
        ("/similar/a%2Fb/", "a/b/"),
        ("/similar/%2e%2e", ".."),
        ("/similar/%ff", "\ufffd"),
        ("/%73imilar/a%2Fb", "a/b"),
    ],
)
def test_odd_spellings(raw: str, argument: str) -> None:
    found, given_argument = SERVICE_ROUTES.find(scope(raw))
    assert found is not None
    assert given_argument == argument


@pytest.mark.parametrize(
    "raw", ["", "*", "/similar", "/similar/", "/recommend/", "//recommend", "/nothing", "/Recommend"]
)
def test_what_is_not_a_route(raw: str) -> None:
    assert SERVICE_ROUTES.find(scope(raw)) == (None, "")
