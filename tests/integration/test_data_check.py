"""`tastemaker data check`: what a person and a machine read, and the exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tastemaker.errors import TastemakerError
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


SALES = "user_id,item_id,occurred_at,value,colour\n" + "".join(
    f"u{n % 40},{n % 8},2024-01-{1 + n % 28:02} 10:00:00,{n},red\n" for n in range(400)
)


def checked(*arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(data, ["check", *arguments])
    assert result.exit_code == status, result.output
    return result


def test_a_file_without_a_source_is_read_as_a_table_and_named() -> None:
    Path("sales.csv").write_text(SALES)
    said = checked("sales.csv").stdout
    assert "Checked sales.csv as the source table." in said
    assert "events: 400 rows read, 400 accepted" in said
    with pytest.raises(TastemakerError, match=r"there is no file missing\.csv"):
        CliRunner().invoke(data, ["check", "missing.csv"], catch_exceptions=False)


def test_a_path_in_the_settings_is_a_table_too() -> None:
    Path("sales.csv").write_text(SALES)
    Path("tastemaker.toml").write_text('[source]\npath = "sales.csv"\n')
    assert "Checked sales.csv as the source table." in checked().stdout
    Path("tastemaker.toml").write_text('[source]\nname = "simulated"\npath = "sales.csv"\n')
    with pytest.raises(TastemakerError, match="the source simulated does not read that"):
        CliRunner().invoke(data, ["check"], catch_exceptions=False)


@pytest.mark.parametrize(
    ("toml", "arguments"),
    [
        ("", ["sales.csv", "--source", "simulated"]),
        ('path = "sales.csv"\nname = "online_retail"\ntimezone = "Europe/Berlin"', []),
        ('name = "sql"\nurl = "sqlite://"\nevents = "x"\npath = "sales.csv"', []),
        ('path = "sales.csv"\nurl = "sqlite://"', []),
    ],
)
def test_a_setting_that_the_source_does_not_read_is_refused(toml: str, arguments: list[str]) -> None:
    Path("sales.csv").write_text(SALES)
    Path("tastemaker.toml").write_text(f"[source]\n{toml}\n")
    with pytest.raises(TastemakerError, match="does not read that"):
        CliRunner().invoke(data, ["check", *arguments], catch_exceptions=False)


def test_a_configured_source_of_files_reads_another_file_with_its_mapping() -> None:
    Path("sales.csv").write_text(SALES.replace("item_id", "sku", 1))
    Path("tastemaker.toml").write_text(
        '[source]\nname = "sql"\nurl = "sqlite://"\nevents = "x"\nitems = "SELECT 1"\n'
        'columns = { item_id = "sku" }\n'
    )
    found = json.loads(checked("sales.csv", "--json").stdout)
    assert (found["source"], found["tables"]["events"]["rows_accepted"]) == ("table", 400)


def test_the_report_says_what_was_read_and_what_is_in_it() -> None:
    Path("sales.csv").write_bytes(SALES.replace(",red", ",gr\xfcn").encode("cp1252"))
    found = json.loads(checked("sales.csv", "--json").stdout)
    read = found["sections"]["read"]["events"]
    assert (read["name"], read["encoding"], read["delimiter"]) == ("sales.csv", "cp1252", "comma")
    assert read["columns not mapped"] == ["colour"]
    facts = found["sections"]["data"]
    assert facts["period"] == {"first": "2024-01-01 10:00:00+00", "last": "2024-01-28 10:00:00+00"}
    assert (facts["events"], facts["users"], facts["items"]) == (400, 40, 8)
    assert facts["events by type"] == {"purchase": 400}
    assert (facts["value"]["min"], facts["value"]["median"], facts["value"]["max"]) == (0.0, 199.0, 399.0)
    assert any("read as cp1252" in warning for warning in found["warnings"])
    said = checked("sales.csv").stdout
    for line in ("encoding: cp1252", "columns not mapped: colour", "users: 40", "value: min 0, 25 % 99,"):
        assert line in said
    assert "note: sales.csv is not UTF-8 and is read as cp1252" in said


def write_catalogue(ids: list[str]) -> None:
    Path("sales.csv").write_text(SALES)
    Path("items.csv").write_text("\n".join(["item_id", *ids]))
    Path("tastemaker.toml").write_text('[source]\npath = "sales.csv"\nitems = "items.csv"\n')


def test_tables_whose_ids_do_not_meet_are_a_warning_with_both_sides() -> None:
    write_catalogue([f"{n:05}" for n in range(8)])
    found = json.loads(checked("--json").stdout)
    assert found["sections"]["ids"]["items"] == {"in events": 8, "in items": 8, "in both": 0}
    (warning,) = found["warnings"]
    assert "8 of 8 items that events name are not in the table items, which has 8" in warning
    assert "events have '0', '1', '2'; items have '00000', '00001', '00002'" in warning
    assert (
        '8 of them meet without leading zeros: if 00027 and 27 are the same, set source.ids = "nu' in warning
    )
    with Path("tastemaker.toml").open("a") as config:
        config.write('ids = "numbers"\n')
    found = json.loads(checked("--json").stdout)
    assert (found["sections"]["ids"]["items"]["in both"], found["warnings"]) == (8, [])


def test_ids_that_meet_are_not_a_warning_and_a_list_of_other_things_is() -> None:
    write_catalogue([f"{n}.0" for n in range(8)])
    assert json.loads(checked("--json").stdout)["warnings"] == []
    write_catalogue([*map(str, range(8)), *(f"other{n}" for n in range(9))])
    (warning,) = json.loads(checked("--json").stdout)["warnings"]
    assert "9 of 17 ids in the table items have no event" in warning


def test_one_user_with_a_third_of_all_events_is_named_unless_users_are_hidden() -> None:
    till = "".join(f"TILL,{n % 8},2024-01-{1 + n % 28:02},1,red\n" for n in range(200))
    Path("sales.csv").write_text(SALES + till)
    (warning,) = json.loads(checked("sales.csv", "--json").stdout)["warnings"]
    assert "the user 'TILL' has 200 of 600 events (33%)" in warning
    Path("tastemaker.toml").write_text("[privacy]\npseudonymize = true\n")
    said = checked("sales.csv").stdout
    assert "one user has 200 of 600 events (33%)" in said
    assert "note: the user" not in said


@pytest.mark.parametrize(
    ("rows", "reasons"),
    [
        (b"u\x00x,i1,2024-01-01,1\nu2,i1,2024-02-20,1\n", {"id_with_nul": 1}),
        (
            b"NULL,i1,2024-01-01,1\n#N/A,i2,2024-01-02,1\nu,i,2024-01-03,1\nv,i,2024-01-03,1\n",
            {"user_id_missing": 2},
        ),
        (b"1.23457E+12,i1,2024-01-01,1\nu2,i1,2024-02-20,1\n", {"id_inexact": 1}),
    ],
)
def test_ids_that_are_none_go_to_quarantine(rows: bytes, reasons: dict[str, int]) -> None:
    Path("sales.csv").write_bytes(b"user_id,item_id,occurred_at,value\n" + rows)
    events = json.loads(checked("sales.csv", "--json").stdout)["tables"]["events"]
    assert events["rows_quarantined"] == reasons
    assert events["rows_read"] == events["rows_accepted"] + sum(reasons.values())
