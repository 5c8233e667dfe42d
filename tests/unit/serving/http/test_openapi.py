"""The OpenAPI document is valid, complete, and says what the structs say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from tastemaker.serving.http.openapi import EXAMPLES, document
from tastemaker.serving.http.routes import ROUTES
from tastemaker.serving.http.routing import AnyRoute


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """The document as a caller reads it."""
    found: dict[str, Any] = msgspec.json.decode(document(ROUTES))
    return found


def operation(described: dict[str, Any], route: AnyRoute) -> dict[str, Any]:
    found: dict[str, Any] = described["paths"][route.path][route.method.lower()]
    return found


def test_it_is_valid_openapi_3_1(described: dict[str, Any]) -> None:
    assert described["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(described).validate()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_every_endpoint_says_what_it_takes_answers_and_refuses(
    described: dict[str, Any], route: AnyRoute
) -> None:
    found = operation(described, route)
    assert found["summary"].endswith(".")
    assert ("requestBody" in found) == (route.body is not None)
    assert found["security"] == ([] if route.scope is None else [{"key": [route.scope]}])
    assert ({"401", "403", "429"} <= found["responses"].keys()) == (route.scope is not None)
    for status, response in found["responses"].items():
        kinds = set(response["content"])
        assert kinds == {"application/problem+json"} if status >= "400" else len(kinds) == 1
        assert "X-Request-Id" in response["headers"]


@pytest.mark.parametrize("struct", EXAMPLES, ids=lambda struct: struct.__name__)
def test_every_example_is_what_its_schema_says(
    described: dict[str, Any], struct: type[msgspec.Struct]
) -> None:
    schema = {"$ref": f"#/components/schemas/{struct.__name__}", "components": described["components"]}
    OAS31Validator(schema).validate(msgspec.to_builtins(EXAMPLES[struct]))


def test_every_field_of_a_request_is_explained_or_explains_itself(described: dict[str, Any]) -> None:
    fields = described["components"]["schemas"]["Request"]["properties"]
    assert fields["exclude"]["description"].startswith("Items not to show")
    assert fields["k"]["maximum"] == 1_000
