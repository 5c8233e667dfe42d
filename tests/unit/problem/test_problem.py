"""The problem file: what loads, and that a wrong file hears of all its mistakes at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from support.repository import ROOT
from tastemaker.errors import ProblemError
from tastemaker.problem import ProblemSpec, load_problem
from tastemaker.problem.loading import ProblemFileError
from tastemaker.problem.rules import SHARE_METRICS, broken_rules
from tastemaker.problem.writing import to_yaml, write_problem

EXAMPLES = [
    *sorted((ROOT / "docs" / "problems").glob("*.yaml")),
    ROOT / "platform" / "tastemaker" / "simulator" / "problem.yaml",
]

MINIMAL = "name: x\nobjectives:\n  - name: sales\n    events:\n      purchase: {}\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "problem.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes(folder: Path, text: str) -> dict[str, int]:
    """Problem -> line of every mistake in a file."""
    with pytest.raises(ProblemFileError) as caught:
        load_problem(written(folder, text))
    for line, mistake in caught.value.mistakes:
        assert f"line {line}: {mistake.problem}" in str(caught.value)
        assert mistake.fix in str(caught.value)
    return {mistake.problem: line for line, mistake in caught.value.mistakes}


def test_a_minimal_file_has_every_default(tmp_path: Path) -> None:
    spec = load_problem(written(tmp_path, MINIMAL))
    assert spec.event_weights == {"purchase": 1.0}
    assert (spec.metric, spec.placement.k, spec.baseline, spec.split.test_days) == (
        "ndcg",
        10,
        "popularity",
        30,
    )
    assert spec.candidates.repeats


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_load(path: Path) -> None:
    assert sum(objective.share for objective in load_problem(path).objectives) == pytest.approx(1)


def test_there_are_examples() -> None:
    assert [path.stem for path in EXAMPLES] == [
        "online_retail_any_item",
        "online_retail_new_items",
        "problem",
    ]


def test_every_mistake_is_reported_at_once_with_its_line(tmp_path: Path) -> None:
    text = """\
name: "  "
metric: ndgc
placement:
  k: 0
  wher: home
  k: 4
objectives:
  - name: a
    share: 0.7
    events:
      purchase:
        weight: much
        window_days: 0
        half_life_days: .inf
  - name: a
    share: 0.5
    events: {}
guardrails:
  - metric: coverage
    at_least: 20
  - metric: novelty
split: 30
baseline: ""
candidates:
  available_days: 1.5
  blocked_categories: toys
"""
    found = mistakes(tmp_path, text)
    expected = {
        "name is '  '": 1,
        "metric is 'ndgc'": 2,
        "placement.k is 0, must be at least 1": 4,
        "placement.wher = 'home': there is no such key": 5,
        "placement.k is given a second time": 6,
        "the shares of the objectives add up to 1.2, must add up to 1": 7,
        "objectives[0].events.purchase.weight is 'much', must be a number": 12,
        "objectives[0].events.purchase.window_days is 0, must be more than 0": 13,
        "objectives[0].events.purchase.half_life_days is inf, must be a finite number": 14,
        "two objectives are named 'a'": 15,
        "objectives[1].events is empty": 17,
        "guardrails[0].at_least is 20, but coverage lies between 0 and 1": 20,
        "the guardrail on novelty has no limit": 21,
        "split is 30": 22,
        "baseline is ''": 23,
        "candidates.available_days is 1.5, must be a whole number": 25,
        "candidates.blocked_categories is 'toys', must be a list": 26,
    }
    assert len(found) == len(expected)
    for start, line in expected.items():
        assert [at for problem, at in found.items() if problem.startswith(start)] == [line], start


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("metrik: recall", "metric"),
        ("split: {test_day: 3}", "test_days"),
        ("candidates: {repeat: true}", "repeats"),
        ("guardrails: [{metric: coverage, atleast: 0.1}]", "at_least"),
        ("metric: recal", "recall"),
    ],
)
def test_a_misspelling_is_answered_with_what_was_meant(tmp_path: Path, wrong: str, meant: str) -> None:
    with pytest.raises(ProblemError, match=f"did you mean {meant}\\?"):
        load_problem(written(tmp_path, MINIMAL + wrong + "\n"))


def test_a_misspelt_key_is_not_also_reported_as_missing(tmp_path: Path) -> None:
    assert list(mistakes(tmp_path, "name: x\nobjectivs: []\n").values()) == [2]


def test_a_missing_key_is_reported(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "name: x\n") == {"objectives is missing": 1}


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ("metric: coverage", "metric is 'coverage', which does not depend on what users did"),
        ("guardrails: [{metric: ndcg, at_least: 0.1}]", "ndcg is a guardrail and the primary metric"),
        (
            "guardrails: [{metric: novelty, at_least: 3, at_most: 2}]",
            "novelty must be at least 3 and at most 2: no value is both",
        ),
        (
            "guardrails: [{metric: novelty, at_least: 3}, {metric: novelty, at_most: 9}]",
            "two guardrails limit novelty",
        ),
        (
            "slices: {max_loss: {town=Paris: 0.1}}",
            "slices.max_loss limits 'town=Paris', which is not a slice",
        ),
        (
            "slices: {max_loss: {users=young: 0.1}}",
            "slices.max_loss limits 'users=young', which is not a slice",
        ),
        ("slices: {max_loss: {items: 5}}", "slices.max_loss.items is 5, but ndcg lies between 0 and 1"),
        ("slices: {user_columns: [items]}", "slices.user_columns[0] 'items' is the name of other slices"),
        ("slices: {user_columns: [a, a]}", "slices.user_columns[1] 'a' is given twice"),
        ("slices: {max_loss: {users: -0.1}}", "slices.max_loss.users is -0.1, must be at least 0"),
        ("slices: {head_share: 1}", "slices.head_share is 1, must be less than 1"),
    ],
)
def test_rules_between_fields(tmp_path: Path, extra: str, problem: str) -> None:
    assert mistakes(tmp_path, MINIMAL + extra + "\n") == {problem: 6}


@pytest.mark.parametrize(
    "key", ["users", "users=old", "items=head", "town", "town=Paris", "'town=a=b'", "'x=y=z'"]
)
def test_a_slice_can_be_limited(tmp_path: Path, key: str) -> None:
    text = f"{MINIMAL}slices: {{user_columns: [town, 'x=y'], max_loss: {{{key}: 0.1}}}}\n"
    assert load_problem(written(tmp_path, text)).slices.max_loss == {key.strip("'"): 0.1}


def test_a_problem_that_rewards_nothing_is_refused(tmp_path: Path) -> None:
    text = MINIMAL.replace("{}", "{weight: -1}")
    assert mistakes(tmp_path, text) == {
        "no event type has a weight above 0, so an empty list would have the highest reward": 2
    }


def test_the_fix_for_shares_keeps_their_proportions(tmp_path: Path) -> None:
    text = """\
name: x
objectives:
  - {name: a, share: 0.9, events: {purchase: {}}}
  - {name: b, share: 0.6, events: {view: {}}}
"""
    with pytest.raises(ProblemError, match=r"write the shares 0\.6, 0\.4"):
        load_problem(written(tmp_path, text))
    fixed = text.replace("0.9", "0.60").replace("share: 0.6,", "share: 0.4,")
    assert load_problem(written(tmp_path, fixed)).event_weights == {"purchase": 0.6, "view": 0.4}


def test_the_rules_also_guard_problems_made_in_python() -> None:
    with pytest.raises(ValidationError, match=r"add up to 0\.5"):
        ProblemSpec.model_validate(
            {"name": "x", "objectives": [{"name": "a", "share": 0.5, "events": {"buy": {}}}]}
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("- 1\n- 2\n", r"holds \[1, 2\]"),
        ("just words", "holds 'just words'"),
        ("a: [1\nb: 2", "is not valid YAML at line 2"),
        ("name: x\n\tk: 2", "is not valid YAML at line 2, column 1"),
        ("name: x\n---\nname: y\n", "is not valid YAML at line 2"),
        ("name: !!python/object:os.system x", "is not valid YAML at line 1"),
        ("name: *unknown", "is not valid YAML at line 1"),
        ("name: x\x00", "is not valid YAML"),
        ("&a [*a]", "must hold keys"),
        ("name: " + "[" * 500 + "]" * 500, "is nested too deeply"),
        ("&a {name: *a}", "2 mistakes|1 mistake"),
    ],
)
def test_what_is_not_a_problem_at_all(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        load_problem(written(tmp_path, text))


@pytest.mark.parametrize(
    ("split", "problem"),
    [
        ("{until: 2026-09-31}", "split.until is '2026-09-31', must be a date such as 2026-01-31"),
        ("{until: 2026-13-01 10:00:00}", "must be a date such as 2026-01-31"),
        ("{until: 31/12/2026}", "split.until is '31/12/2026', must be a date such as 2026-01-31"),
        ("{until: 20261231}", "split.until is 20261231, must be a date such as 2026-01-31"),
        ("{test_days: " + "9" * 5_000 + "}", "split.test_days is '999"),
    ],
)
def test_a_value_that_no_type_can_hold_is_a_mistake_with_its_line(
    tmp_path: Path, split: str, problem: str
) -> None:
    text = f"name: x\nobjectives: [{{name: o, events: {{buy: {{}}}}}}]\nsplit: {split}\n"
    with pytest.raises(ProblemError, match="line 3: ") as caught:
        load_problem(written(tmp_path, text))
    assert problem in str(caught.value)


@pytest.mark.parametrize("again", ["'buy '", "'\u200bbuy'", "buy"])
def test_a_key_that_differs_by_blanks_is_given_twice(tmp_path: Path, again: str) -> None:
    """Only one of the two weights would count."""
    text = f"name: x\nobjectives: [{{name: o, events: {{buy: {{}}, {again}: {{weight: 2}}}}}}]\n"
    with pytest.raises(ProblemError, match=r"events\.buy is given a second time"):
        load_problem(written(tmp_path, text))


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="run `tastemaker frame`"):
        load_problem(tmp_path / "problem.yaml")


def test_a_folder_and_other_encodings_are_named(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="can't be read"):
        load_problem(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("name: café".encode("latin-1"))
    with pytest.raises(ProblemError, match="is not UTF-8 text: byte 9 is 0xe9"):
        load_problem(tmp_path / "latin.yaml")


def test_words_in_any_script(tmp_path: Path) -> None:
    spec = load_problem(
        written(
            tmp_path, "\ufeff" + MINIMAL.replace("name: x", "name: おすすめ 🛒").replace("purchase", "купил")
        )
    )
    assert spec.name == "おすすめ 🛒"
    assert spec.event_weights == {"купил": 1.0}


def test_writing_never_replaces_unasked_and_leaves_nothing_behind(tmp_path: Path) -> None:
    spec = load_problem(written(tmp_path, MINIMAL))
    with pytest.raises(ProblemError, match="exists already"):
        write_problem(spec, tmp_path / "problem.yaml")
    assert (tmp_path / "problem.yaml").read_text() == MINIMAL
    with pytest.raises(ProblemError, match="can't be written"):
        write_problem(spec, tmp_path / "nowhere" / "problem.yaml")
    write_problem(spec, tmp_path / "problem.yaml", overwrite=True)
    assert load_problem(tmp_path / "problem.yaml") == spec
    assert [path.name for path in tmp_path.iterdir()] == ["problem.yaml"]


def test_a_written_file_explains_every_key_once() -> None:
    spec = ProblemSpec.model_validate(
        {"name": "x", "objectives": [{"name": "a", "events": {"purchase": {}, "view": {}}}]}
    )
    text = to_yaml(spec)
    assert text.count("# Whether the reward is multiplied by the event's value (money).") == 1
    assert "# H: the horizon" in text


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=12)
NAMES = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
REWARDS = st.fixed_dictionaries(
    {
        "weight": st.floats(0.001, 1e6),
        "by_value": st.booleans(),
        "window_days": st.floats(0.01, 365),
        "half_life_days": st.none() | st.floats(0.01, 1e6),
    }
)
GUARDRAILS = st.lists(
    st.fixed_dictionaries(
        {"metric": st.sampled_from(("recall", "coverage", "diversity")), "at_least": st.floats(0, 1)}
    ),
    unique_by=lambda guardrail: str(guardrail["metric"]),
)
SPECS = st.fixed_dictionaries(
    {
        "name": NAMES,
        "placement": st.fixed_dictionaries({"who": NAMES, "what": NAMES, "k": st.integers(1, 1000)}),
        "objectives": st.lists(
            st.fixed_dictionaries(
                {"name": NAMES, "events": st.dictionaries(NAMES, REWARDS, min_size=1, max_size=3)}
            ),
            min_size=1,
            max_size=4,
            unique_by=lambda objective: str(objective["name"]),
        ).map(lambda objectives: [{**one, "share": 1 / len(objectives)} for one in objectives]),
        "guardrails": GUARDRAILS,
        "slices": st.fixed_dictionaries(
            {
                "new_below": st.integers(1, 100),
                "head_share": st.floats(0.01, 0.99),
                "user_columns": st.just(["country", "town"]),
                "max_loss": st.dictionaries(
                    st.sampled_from(["users", "users=new", "items=tail", "town", "town=Łódź"]),
                    st.floats(0, 1),
                ),
            }
        ),
        "candidates": st.fixed_dictionaries(
            {
                "repeats": st.booleans(),
                "available_days": st.none() | st.integers(1, 10**6),
                "blocked_categories": st.lists(NAMES, max_size=4),
            }
        ),
    }
).map(ProblemSpec.model_validate)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(SPECS)
def test_what_is_written_loads_as_the_same_problem(
    tmp_path_factory: pytest.TempPathFactory, spec: ProblemSpec
) -> None:
    path = tmp_path_factory.mktemp("problem") / "problem.yaml"
    write_problem(spec, path)
    assert load_problem(path) == spec


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(SPECS)
def test_valid_problems_break_no_rule(spec: ProblemSpec) -> None:
    assert not list(broken_rules(spec.model_dump()))
    assert set(SHARE_METRICS) >= {guardrail.metric for guardrail in spec.guardrails}


def test_the_mistakes_in_the_documentation_are_those_that_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """\
name: shop
placement:
  k: 10
  wher: home
objectives:
  - name: sales
    share: 0.7
    events:
      purchase: {}
  - name: interest
    share: 0.5
    events:
      view:
        weight: 0.1
guardrails:
  - metric: coverage
    at_least: 20
"""
    monkeypatch.chdir(tmp_path)
    written(tmp_path, text)
    with pytest.raises(ProblemError) as caught:
        load_problem(Path("problem.yaml"))
    page = (ROOT / "docs" / "reference" / "problem-file.md").read_text(encoding="utf-8")
    assert f"error: {caught.value}" in page
