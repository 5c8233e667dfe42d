"""The reference page of settings, from `tastemaker.settings.Settings`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
    top, sections = [], []
    for name, field in schema["properties"].items():
        if "$ref" not in field:
            top.append(_setting(name, name, f"{prefix}{name}".upper(), field))
            continue
        section = schema["$defs"][field["$ref"].rpartition("/")[2]]
        sections.append(heading(2, f"[{name}]", name) + "\n" + prose(section.get("description", "")))
        sections += [
            _setting(key, f"{name}.{key}", f"{prefix}{name}__{key}".upper(), one)
            for key, one in section["properties"].items()
        ]
        if more := section.get("additionalProperties"):
            sections.append(_by_name(name, f"{prefix}{name}__NAME".upper(), more))
    return page(INTRODUCTION, "## General", *top, *sections)


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
    for name, field in Settings.model_fields.items():
        nested = getattr(field.annotation, "model_fields", None)
        yield from [name] if nested is None else (f"{name}.{key}" for key in nested)
