"""What a JSON Schema says of one field, in words: its type, its limits and its default."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from site_build.markdown import code

Schema = Mapping[str, Any]
LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "pattern": "pattern {}",
}


def kind(schema: Schema) -> str:
    """Return the type in words, such as `number or null`."""
    match schema:
        case {"$ref": str(reference)}:
            name = reference.rpartition("/")[2]
            return f"[{name}](#message-{name.lower()})"
        case {"enum": list(values)}:
            return ", ".join(code(json.dumps(value)) for value in values)
        case {"const": value}:
            return code(json.dumps(value))
        case {"anyOf": list(options)}:
            return " or ".join(kind(option) for option in options)
        case {"type": "array", "items": {} as items} if items:
            return f"array of {kind(items)}"
        case {"type": "object", "additionalProperties": {} as values} if values:
            return f"object of {kind(values)}"
        case {"type": "string", "format": "path"}:
            return "path"
        case {"type": list(names)}:
            return " or ".join(names)
        case {"type": str(name)}:
            return name
    return "any"


def limits(schema: Schema) -> Iterator[str]:
    """Yield the limits of a field in words; those of an optional field are in its options."""
    for option in (schema, *schema.get("anyOf", ())):
        yield from (
            words.format(code(option[name]) if name == "pattern" else f"{option[name]:,}")
            for name, words in LIMITS.items()
            if name in option
        )
    if schema.get("type") == "array":
        yield from (f"each {limit}" for limit in limits(schema.get("items", {})))


def default(schema: Schema) -> str:
    """Return the default as code; empty where the field has none."""
    return code(json.dumps(schema["default"], ensure_ascii=False)) if "default" in schema else ""
