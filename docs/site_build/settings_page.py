"""The reference page of settings, from `tastemaker.settings.Settings`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from site_build.json_schema import Schema, default, kind, limits
from site_build.markdown import code, heading, page, prose
from tastemaker.settings import Settings

INTRODUCTION = """# Settings

A setting is read from its environment variable, else from `tastemaker.toml` in the current folder, else it
has its default. A mistyped name or a value out of its limits is an error that names the setting, the value
and the fix. In the environment, lists and tables are JSON, such as
`TASTEMAKER_SOURCE__COLUMNS='{"user_id": "customer"}'`.

```toml
chunk_rows = 100_000

[serving]
model_timeout_seconds = 0.3
```
"""


def settings_page() -> str:
    """Return the page: one section per table of `tastemaker.toml`, one heading per setting."""
    schema = Settings.model_json_schema()
    prefix = str(Settings.model_config.get("env_prefix"))
    top, sections = list[str](), list[str]()
    for name, field in schema["properties"].items():
        if "$ref" not in field:
            top.append(_setting(name, name, f"{prefix}{name}".upper(), field))
            continue
        sections += _section(name, f"{prefix}{name}", field, schema["$defs"])
    return page(INTRODUCTION, "## General", *top, *sections)


def _section(
    name: str, variable: str, field: Schema, definitions: Schema, title: str = "[{}]"
) -> Iterator[str]:
    """Yield a section's heading and its settings, then the sections in it."""
    section = definitions[field["$ref"].rpartition("/")[2]]
    heading_text, kind_of = title.format(name), section["properties"].get("type", {}).get("const")
    if kind_of is not None:  # one of the kinds that the section may be of
        name, heading_text = f"{name}.{kind_of}", f'{heading_text} type = "{kind_of}"'
    yield heading(2, heading_text, name.replace(".", "-")) + "\n" + prose(section.get("description", ""))
    inner = []
    for key, one in section["properties"].items():
        if "$ref" in one:
            inner.append((f"{name}.{key}", f"{variable}__{key}", one, "[{}]"))
        elif "$ref" in one.get("items", {}):
            entries = one | {"items": {"type": "object"}}
            yield _setting(key, f"{name}.{key}", f"{variable}__{key}".upper(), entries)
            inner.append((f"{name}.{key}", f"{variable}__{key}", one["items"], "[[{}]]"))
        elif "patternProperties" in one:
            yield _setting(key, f"{name}.{key}", f"{variable}__{key}".upper(), one)
            (values,) = one["patternProperties"].values()
            inner += [
                (f"{name}.{key}.NAME", f"{variable}__{key}__NAME", option, "[{}]")
                for option in values["oneOf"]
            ]
        else:
            yield _setting(key, f"{name}.{key}", f"{variable}__{key}".upper(), one)
    if more := section.get("additionalProperties"):
        yield _by_name(name, f"{variable}__NAME".upper(), more)
    for path, deeper, one, form in inner:
        yield from _section(path, deeper, one, definitions, form)


def _setting(key: str, path: str, variable: str, schema: Schema) -> str:
    facts = [code(variable), kind(schema), *limits(schema)]
    if given := default(schema):
        facts.append(f"default {given}")
    return page(
        heading(3, code(key), path.replace(".", "-")), " · ".join(facts), prose(schema.get("description", ""))
    )


def _by_name(section: str, variable: str, values: Any) -> str:
    return page(
        heading(3, code("NAME"), f"{section}-name"),
        f"{code(variable)} · {kind(values) if isinstance(values, dict) else 'any'}",
        "Hyperparameters of a model, such as `[models.ease]`; `tastemaker models show NAME` lists them.",
    )


def setting_paths() -> Iterator[str]:
    """Yield the path of every setting, such as `serving.model_timeout_seconds`."""
    yield from _paths("", Settings.model_fields)


def _paths(before: str, fields: Mapping[str, FieldInfo]) -> Iterator[str]:
    for name, field in fields.items():
        nested = getattr(field.annotation, "model_fields", None)
        if nested is None:
            yield before + name
        else:
            yield from _paths(f"{before}{name}.", nested)
