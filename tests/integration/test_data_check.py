"""`tastemaker data check`: what a person and a machine read, and the exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tastemaker_pipelines.cli.data import data

HEAD = "event_id,user_id,item_id,event_type,value,occurred_at\n"
GOOD = HEAD + "".join(f"e{n},ü{n},日本,view,1,2024-01-0{n}T10:00:00Z\n" for n in range(1, 8))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def check(text: str, *options: str) -> Result:
    Path("events.csv").write_text(text, encoding="utf-8")
    return CliRunner().invoke(data, ["check", "events.csv", "--source", "table", *options])


def test_people_read_counts_reasons_examples_and_what_to_do() -> None:
    bad = (
        "e1,again,x,view,1,2024-01-02T10:00:00Z\n,,x,view,1,2024-01-02T10:00:00Z\ne9,u,x,view,1,2999-01-01\n"
    )
    result = check(GOOD + bad)
    assert result.exit_code == 0
    for line in (
        "events: 10 rows read, 7 accepted",
        "event_id_missing: 1 rows",
        "event_id_repeated: 1 rows",
        "occurred_at_in_future: 1 rows",
        "To do: Check the source's clock",
        '> {"event_id": "e1", "user_id": "again", "item_id": "x"',
        "The gate lets it in.",
    ):
        assert line in result.stdout


def test_machines_read_json() -> None:
    result = check(GOOD + "".join(f"f{n},u,x,view,-1,2024-01-01\n" for n in range(5)), "--json")
    found = json.loads(result.stdout)
    assert found["refused"] is None
    events = found["tables"]["events"]
    assert (events["rows_read"], events["rows_accepted"]) == (12, 7)
    assert events["rows_quarantined"] == {"value_negative": 5}
    (finding,) = events["findings"]
    assert [example["event_id"] for example in finding["examples"]] == ["f0", "f1", "f2"]
    assert finding["meaning"] == "The value is below 0."
    assert finding["fix"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD, "the table events is empty: 0 rows were read"),
        (HEAD + "e,,x,view,1,2024-01-01\n", "every row of events (1 of 1) went to quarantine"),
    ],
)
def test_what_the_gate_refuses_ends_with_1(text: str, said: str) -> None:
    for options in ((), ("--json",)):
        result = check(text, *options)
        assert result.exit_code == 1
        assert said in result.stdout


def test_settings_say_how_to_read_and_nothing_is_kept() -> None:
    Path("orders.csv").write_text("customer,sku,at\nu,x,2024-07-01 00:30:00\n", encoding="utf-8")
    Path("tastemaker.toml").write_text(
        '[source]\nname = "table"\npath = "orders.csv"\ntimezone = "Europe/Berlin"\n'
        'columns = { user_id = "customer", item_id = "sku", occurred_at = "at" }\n',
        encoding="utf-8",
    )
    result = CliRunner().invoke(data, ["check", "--json"])
    assert json.loads(result.stdout)["tables"]["events"]["rows_accepted"] == 1
    assert sorted(path.name for path in Path().iterdir()) == ["orders.csv", "tastemaker.toml"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no.csv", "--source", "table"], "error: there is no file no.csv"),
        (["no.csv", "--source", "nowhere"], "error: there is no source named 'nowhere'"),
    ],
)
def test_mistakes_end_with_2_and_no_stack_trace(arguments: list[str], said: str) -> None:
    script = "import sys; from tastemaker.cli.main import main; sys.argv[0] = 'tastemaker'; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "data", "check", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_its_module_imports_nothing_slow() -> None:
    slow = "{'pandas', 'great_expectations', 'duckdb', 'pyarrow', 'sqlalchemy', 'dagster', 'rich.console'}"
    script = f"import sys, tastemaker_pipelines.cli.data; sys.exit(len({slow} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
