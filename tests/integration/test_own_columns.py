"""A shop's own columns of users, from its files to the slices of the leaderboard, command by command."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from tastemaker.cli.main import cli
from tastemaker.data.lake import Lake

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # libraries of libraries

EVALUATED = "+key:backtests/popularity or key:leaderboard"
SETTINGS = """
[source]
name = "table"
path = "orders.csv"
users = "customers.csv"
columns = { user_id = "customer", item_id = "sku", occurred_at = "ordered", "tariff" = "Ta;rif" }
user_columns = [%s]
"""
PROBLEM = """
name: shop
placement: {k: 1}
metric: hit_rate
objectives: [{name: sales, events: {purchase: {}}}]
split: {test_days: 10}
slices:
  new_below: 1
  user_columns: [%s]
  max_loss: {segment=gold: 0.1, age: 0.1}
"""
START = datetime(2024, 1, 1, 9, tzinfo=UTC)
N_USERS = 60


def segment(user: int) -> str:
    return ("gold", "basic", "")[user % 3]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All users have bought the best seller. Then the golden buy it again, and the others what few have."""
    orders, customers = ["customer,sku,ordered"], ["customer,segment,age,Ta;rif,e-mail"]
    for user in range(N_USERS):
        bought = [("best seller", 0), (f"rare {user % 7}", 1)]
        bought.append(("best seller" if segment(user) == "gold" else f"rare {(user + 1) % 7}", 35))
        orders += [f"user-{user},{item},{START + timedelta(days=day)}" for item, day in bought]
        tariff = "d'or" if user == 4 else '"Tarif, ""A"""'
        customers.append(f"user-{user},{segment(user)},{18 + user},{tariff},{user}@shop.example")
    (tmp_path / "orders.csv").write_text("\n".join(orders), "utf-8")
    (tmp_path / "customers.csv").write_text("\n".join(customers), "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASTEMAKER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TASTEMAKER_PROBLEM", raising=False)
    return tmp_path


def call(*words: str, status: int = 0) -> Result:
    """`tastemaker`, which must end with this status."""
    result = CliRunner().invoke(cli, list(words), catch_exceptions=False)
    assert result.exit_code == status, result.output
    return result


def slices() -> dict[str, tuple[int, float]]:
    """Slice -> its users and the figure of the baseline there, as the leaderboard's JSON has them."""
    board: dict[str, Any] = json.loads(call("leaderboard", "--json").stdout)
    return {one["slice"]: (one["users"], one["rows"][0]["value"]) for one in board["slices"]}


def test_from_the_shops_file_to_the_leaderboard_and_out_again(shop: Path) -> None:
    (shop / "tastemaker.toml").write_text(SETTINGS % '"segment", "age", "tariff"', "utf-8")
    (shop / "problem.yaml").write_text(PROBLEM % "segment, age, tariff", "utf-8")
    call("run", "--select", EVALUATED)
    found = slices()
    assert {name: found[name] for name in found if not name.startswith(("items", "age"))} == {
        "segment=gold": (20, 1.0),
        "segment=basic": (20, 0.0),
        "segment=unknown": (20, 0.0),
        'tariff=Tarif, "A"': (59, 20 / 59),
        "tariff=d'or": (1, 0.0),
    }
    ages = {name: found[name] for name in found if name.startswith("age")}
    assert ages == {f"age={low} to {low + 14}": (15, 5 / 15) for low in (18, 33, 48, 63)}
    call("leaderboard", "--html", "page.html")
    assert "segment=gold" in (shop / "page.html").read_text("utf-8")

    lake = Lake(shop / "home" / "lake")
    kept = [dict(row) for row in lake.read("users")["own"].to_pylist()]
    assert set().union(*kept) == {"segment", "age", "tariff"}, "nothing was kept that was not named"
    call("forget", "user-4")
    for table in ("users", "landed_users"):
        (path,) = lake.files(table)
        assert "d'or" not in str(pq.read_table(path)["own"].to_pylist())
    for path in (shop / "home" / "artifacts" / "backtests").glob("*.npz"):
        with np.load(path) as file:
            assert (len(file["user_keys"]), set(file["users.tariff"])) == (59, {'Tarif, "A"'})
    assert slices()["segment=basic"] == (19, 0.0), "what is left can still be looked at"

    (shop / "tastemaker.toml").write_text(SETTINGS.replace(', "tariff" = "Ta;rif"', "") % "", "utf-8")
    call("run", "--select", "+key:users")
    assert set(lake.read("users")["own"].to_pylist()) == {None}, "what is named no longer is kept no longer"


@pytest.mark.parametrize(
    ("kept", "sliced", "problem"),
    [
        ('"town"', "segment", "customers.csv has no column town, which source.user_columns names"),
        ('"segment"', "town", "slices.user_columns names 'town', but the table users has no such column"),
        ('"e-mail"', "e-mail", "'e-mail', with 60 different texts for 60 users"),
    ],
)
def test_columns_that_are_not_there_or_no_groups(shop: Path, kept: str, sliced: str, problem: str) -> None:
    (shop / "tastemaker.toml").write_text(SETTINGS % f'{kept}, "tariff"', "utf-8")
    (shop / "problem.yaml").write_text(
        (PROBLEM % sliced).replace("max_loss: {segment=gold: 0.1, age: 0.1}", "")
    )
    said = call("run", "--select", EVALUATED, status=1).output
    assert problem in said
    assert "fix: " in said
