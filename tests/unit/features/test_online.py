"""Where Feast keeps online features: the settings' URLs in Feast's own terms."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tastemaker.errors import TastemakerError
from tastemaker.features.online import feast_config
from tastemaker.settings import OnlineStoreSettings, Settings


def online_store(home: Path, **store: Any) -> dict[str, Any]:
    settings = Settings(home=home, online_store=OnlineStoreSettings(**store))
    found: dict[str, Any] = feast_config(settings)["online_store"]
    return found


def test_the_sqlite_file_is_in_the_home_folder(tmp_path: Path) -> None:
    assert online_store(tmp_path) == {"type": "sqlite", "path": str(tmp_path / "feast" / "online.db")}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://cache:6380/2", {"db": 2}),
        ("redis://cache:6380", {"db": 0}),
        ("rediss://:secret@cache:6380/0", {"db": 0, "password": "secret", "ssl": True}),
        ("redis://me:a%2Cb%3Dc%22@cache:6380/0", {"db": 0, "username": "me", "password": 'a,b=c"'}),
        ("redis://:1e3@cache:6380/0", {"db": 0, "password": "1e3"}),
    ],
)
def test_redis_urls_survive_feasts_parser(tmp_path: Path, url: str, expected: dict[str, Any]) -> None:
    """The same steps as Feast's: split at commas, then at the first =, then read the value as JSON."""
    host, *options = online_store(tmp_path, type="redis", url=url)["connection_string"].split(",")
    assert host == "cache:6380"
    pairs = (option.split("=", 1) for option in options)
    assert {name: json.loads(value) for name, value in pairs} == expected


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg2", "postgres"])
def test_postgres_urls_are_parsed(tmp_path: Path, scheme: str) -> None:
    url = f"{scheme}://me:p%40ss@db.example:5433/features?sslmode=require"
    assert online_store(tmp_path, type="postgres", url=url) == {
        "type": "postgres",
        "host": "db.example",
        "port": 5433,
        "database": "features",
        "user": "me",
        "password": "p@ss",
        "sslmode": "require",
    }


@pytest.mark.parametrize("store", ["redis", "postgres"])
@pytest.mark.parametrize("url", [None, "http://somewhere/0", "cache:6379"])
def test_a_wrong_url_is_refused_with_an_example(tmp_path: Path, store: str, url: str | None) -> None:
    with pytest.raises(TastemakerError, match=r"online_store\.url is (not set|no )") as caught:
        online_store(tmp_path, type=store, url=url)
    assert "TASTEMAKER_ONLINE_STORE__URL" in str(caught.value.fix)


def test_an_error_does_not_contain_the_password(tmp_path: Path) -> None:
    with pytest.raises(TastemakerError) as caught:
        online_store(tmp_path, type="redis", url="amqp://me:secret@cache/0")
    assert "secret" not in str(caught.value)


@pytest.mark.processes
def test_importing_features_imports_no_slow_library() -> None:
    code = (
        "import sys, tastemaker.features, tastemaker.features.online, tastemaker.features.snapshots;"
        "print(*sorted({'ibis', 'duckdb', 'feast', 'pandas', 'pyarrow'} & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert found.stdout.strip() == ""
