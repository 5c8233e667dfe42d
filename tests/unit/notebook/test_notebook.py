"""In a notebook: what is handed in is checked in plain words, and what comes out is what production says."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Self
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pydantic import Field

import tastemaker
from tastemaker.errors import PluginError, SourceError, TastemakerError
from tastemaker.evaluation import backtest
from tastemaker.evaluation.leaderboard.leaderboard import Leaderboard
from tastemaker.notebook.evaluate import compare, evaluate
from tastemaker.notebook.fit import SplitParts, fit, split
from tastemaker.notebook.load import Data, load
from tastemaker.plugins import Batch, Config, Ranking, Recommender, TrainingData, discovery, select
from tastemaker.problem import EventReward, Objective, Placement, ProblemSpec
from tastemaker.storage.engine import open_engine

COLUMNS = {"user_id": "customer", "item_id": "sku", "occurred_at": "ordered", "value": "amount"}
PROBLEM = ProblemSpec(
    name="orders",
    placement=Placement(k=5),
    objectives=(Objective(name="sales", events={"purchase": EventReward()}),),
)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def orders(n: int = 1200) -> pd.DataFrame:
    """Two months of orders; even customers buy the first half of the catalogue, odd ones the second."""
    rng = np.random.default_rng(0)
    customers = rng.integers(0, 60, n)
    skus = np.minimum(rng.geometric(0.15, n) - 1, 19) + 20 * (customers % 2)
    minutes = np.sort(rng.integers(0, 60 * 24 * 60, n))
    return pd.DataFrame(
        {
            "customer": [f"Zoë {one}" for one in customers],
            "sku": [f"sku-{one}" for one in skus],
            "ordered": [FIRST + timedelta(minutes=int(one)) for one in minutes],
            "amount": np.round(rng.exponential(20, n) + 1, 2),
        }
    )


@pytest.fixture(scope="module")
def data() -> Data:
    return load(orders(), columns=COLUMNS, problem=PROBLEM)


@pytest.fixture(scope="module")
def parts(data: Data) -> SplitParts:
    return split(data, test_days=14)


class Streamed:
    """A table of a library that speaks Arrow, such as polars, with types that are its own."""

    def __init__(self, table: pa.Table) -> None:
        kinds = {pa.string(): pa.dictionary(pa.uint32(), pa.string_view())}
        fields = [pa.field(field.name, kinds.get(field.type, field.type)) for field in table.schema]
        self._table = table.cast(pa.schema(fields))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.mark.slow
def test_a_table_is_the_same_data_in_any_form(data: Data, tmp_path: Path) -> None:
    frame = orders()
    frame.to_csv(tmp_path / "orders.csv", index=False)
    frame.to_parquet(tmp_path / "orders.parquet", index=False)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for same in (table, Streamed(table), tmp_path / "orders.csv", str(tmp_path / "orders.parquet")):
        assert load(same, columns=COLUMNS, problem=PROBLEM).dataset.data_hash == data.dataset.data_hash


@pytest.mark.slow
def test_a_home_folder_is_read_as_it_is(data: Data) -> None:
    home = data.dataset.lake.root.parent
    again = load(home, problem=PROBLEM)
    assert again.dataset.data_hash == data.dataset.data_hash
    assert again.gate is None


def test_rows_go_through_the_gate() -> None:
    frame = orders(300)
    frame.loc[:9, "customer"] = ""
    found = load(frame, columns=COLUMNS)
    assert found.gate is not None
    assert (found.gate.read, found.gate.accepted, found.gate.refused) == (300, 290, 10)
    assert "in quarantine" in repr(found)
    assert dict(found.dataset.problem.event_weights) == {"purchase": 1.0}


@pytest.mark.slow
def test_items_may_be_a_table_beside_events_in_a_file(tmp_path: Path) -> None:
    orders(300).to_csv(tmp_path / "orders.csv", index=False)
    items = pd.DataFrame({"sku": ["sku-0", "sku-999"], "category": ["mugs", "vases"]})
    found = load(tmp_path / "orders.csv", items=items, columns=COLUMNS).dataset
    assert found.category_names == ("mugs", "vases")
    assert found.item_ids.lookup(["sku-999"]) >= 0


@pytest.mark.slow
def test_own_columns_of_users_are_slices(tmp_path: Path) -> None:
    people = pd.DataFrame({"customer": [f"Zoë {n}" for n in range(60)], "segment": ["odd", "even"] * 30})
    people["shoe size"] = [float(n) if n % 10 else np.nan for n in range(60)]
    found = load(orders(600), users=people, columns=COLUMNS, user_columns=["segment", "shoe size"])
    assert found.dataset.problem.slices.user_columns == ("country", "segment", "shoe size")
    board = compare(fit("item_knn", split(found, test_days=14)))
    slices = {one.name for one in board.slices}
    assert {"segment=odd", "segment=even", "shoe size=unknown"} < slices
    assert len([name for name in slices if name.startswith("shoe size=")]) == 5, "four ranges of numbers"
    assert "segment=odd" in board._repr_html_()
    with pytest.raises(SourceError, match="has no column town, which"):
        load(orders(60), users=people, columns=COLUMNS, user_columns="town")


def test_figures_are_those_of_production(parts: SplitParts, tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'tastemaker.db'}")
    stored = {}
    for name in ("popularity", "ease", "bought_again"):
        plugin = discovery.get(name)
        stored[name] = backtest.run(plugin, None, parts.split, parts.problem, engine, tmp_path / "artifacts")
        mine = evaluate(fit(name, parts))
        assert mine.backtest.id == stored[name].id
        assert mine.backtest.metrics == stored[name].metrics
        assert mine["ndcg"] == stored[name].metrics["ndcg"].value
    theirs = Leaderboard.load(engine, parts.problem, tmp_path / "artifacts").to_dict()
    ours = compare(fit("ease", parts), evaluate(fit("bought_again", parts))).to_dict()
    assert ours["comparisons"] == theirs["comparisons"]
    assert [
        (row["model"], row["ranks"], row["standing"], row["verdict"], row["p"]) for row in ours["rows"]
    ] == [(row["model"], row["ranks"], row["standing"], row["verdict"], row["p"]) for row in theirs["rows"]]


class Recent(Recommender[Any]):
    """A model as a cell holds it: no config class yet."""

    name = "recent"
    state = ("scores",)

    def fit(self, data: TrainingData) -> Self:
        recent = data.history.last_times >= data.end - self.config.days * 86_400
        self.scores = np.bincount(data.history.items[recent], minlength=data.n_items).astype(np.float32)
        return self

    def recommend(self, batch: Batch, k: int) -> Ranking:
        return select(np.tile(self.scores, (len(batch), 1)), batch, k)


class RecentConfig(Config):
    days: Annotated[float, Field(gt=0)] = 30.0
    """d"""


class Grown(Recent):
    """The same with its config class."""

    reference = "none"
    config_type = RecentConfig


def test_a_class_of_a_cell_is_fitted_as_it_is_and_stays_the_same_with_a_config_class(
    parts: SplitParts,
) -> None:
    cell, grown = fit(Recent(days=10), parts), fit(Grown, parts, days=10)
    assert evaluate(cell).backtest.metrics == evaluate(grown).backtest.metrics
    assert cell.recommend("Zoë 3") == grown.recommend("Zoë 3")
    assert len(cell.recommend("an unknown user", 3)) == 3
    longer = fit(cell.model, parts, days=50)
    assert cell.model.config.days == 10  # what was fitted before stays as it was
    assert not np.array_equal(longer.model.scores, cell.model.scores)  # type: ignore[attr-defined]


def test_one_model_with_two_configs_is_labelled_by_what_differs(parts: SplitParts) -> None:
    board = compare(fit(Recent, parts, days=5), fit(Recent, parts, days=40), fit("popularity", parts))
    assert {row.model for row in board.rows} == {"recent days=5", "recent days=40", "popularity"}
    with pytest.raises(TastemakerError, match="recent days=5 is given twice"):
        compare(*[fit(Recent, parts, days=days) for days in (5, 5, 40)])


def test_an_installed_model_recommends_by_ids(parts: SplitParts) -> None:
    shown = fit("item_knn", parts).recommend("Zoë 1", 5)
    assert len(set(shown)) == 5
    assert all(int(one.removeprefix("sku-")) >= 20 for one in shown)  # the half that this customer buys


class Nameless(Recommender[Any]):
    def fit(self, data: TrainingData) -> Self:
        return self


class WithoutConfig(Recent):
    def __init__(self) -> None:
        pass


MISTAKES: dict[str, tuple[Any, str]] = {
    "column": (
        lambda p: load(orders(20), columns={"user_id": "buyer"}),
        r"the table of events has no column .*buyer",
    ),
    "mapping": (
        lambda p: load(orders(20), columns={"customer": "user_id"}),
        "source.columns maps customer, which is not a canonical column",
    ),
    "column, fix": (lambda p: load(orders(20)), r'load\(\.\.\., columns=\{"user_id": "\.\.\.", "item_id"'),
    "file": (lambda p: load("nowhere.csv"), "there is no file nowhere.csv"),
    "home": (lambda p: load(Path("/")), "holds no events"),
    "nothing": (lambda p: load(None), "events are a NoneType"),
    "items only": (lambda p: load(None, items=orders(3)), "events are a NoneType"),
    "mixed": (lambda p: load(pd.DataFrame({"user_id": [1, "b"]})), "the table of events can't be read"),
    "source": (lambda p: load(orders(20), source="simulated"), "which reads files"),
    "no rows": (lambda p: load(orders(0), columns=COLUMNS), "the table events is empty"),
    "option": (lambda p: load("simulated", n_userss=3), "n_userss"),
    "column of a shop": (lambda p: load("simulated", columns=COLUMNS), "simulated does not read that"),
    "items of a shop": (lambda p: load("simulated", items="items.csv"), "source.items is 'items.csv'"),
    "zone of a home": (
        lambda p: load(Path("/"), timezone="Europe/Berlin"),
        "timezone: / is read without such arguments",
    ),
    "items of a home": (lambda p: load(Path("/"), items=orders(3), ids="text"), "items, ids: / is read"),
    "encoding": (
        lambda p: load(orders(20), encoding="cp1252"),
        "encoding: a table in memory is read without such arguments",
    ),
    "decimal": (lambda p: load(orders(20), decimal=";"), "decimal = ';'"),
    "no user to evaluate": (
        lambda p: split(load(orders().iloc[[0, -1]].assign(sku=["a", "b"]), columns=COLUMNS)),
        "no user has a relevant item .* no model can be evaluated",
    ),
    "test period": (lambda p: split(p, test_days=60), "split was given a SplitParts"),
    "model": (lambda p: fit("eese", p), "no model named 'eese' is installed; installed: .*ease"),
    "hyperparameter": (lambda p: fit("ials", p, factors=32), "factors = 32.*\n  fix: .*embedding_size=64"),
    "range": (lambda p: fit("ials", p, embedding_size=0), "embedding_size = 0: .*greater than or equal to 1"),
    "no parts": (lambda p: fit("ials", None), "needs what `split` returned"),  # type: ignore[arg-type]
    "no model": (lambda p: fit(object(), p), "object is not a model"),  # type: ignore[arg-type]
    "half a model": (lambda p: fit(Nameless, p), "Nameless lacks: name, recommend"),
    "no config": (lambda p: fit(WithoutConfig(), p), "has an __init__ of its own"),
    "missing hyperparameter": (lambda p: fit(Recent, p), "model recent failed to fit: .*days"),
    "nothing compared": (lambda p: compare(), "needs at least one model"),
    "unfitted": (lambda p: evaluate("ease"), "needs what `fit` returned"),  # type: ignore[arg-type]
    "metric": (lambda p: compare(fit("popularity", p), metric="auc"), "no metric named auc"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_reported_in_plain_words(mistake: str, parts: SplitParts) -> None:
    make, words = MISTAKES[mistake]
    with pytest.raises(TastemakerError, match=words):
        make(parts)


def test_a_notebook_shows_a_mistake_without_a_stack_trace_and_a_failing_class_with_its_own(
    parts: SplitParts,
) -> None:
    with pytest.raises(PluginError) as unknown:
        fit("eese", parts)
    assert unknown.value._render_traceback_() == [f"PluginError: {unknown.value}"]
    with pytest.raises(PluginError) as failing:
        fit(Recent, parts)
    shown = "".join(failing.value._render_traceback_())
    assert "self.config.days" in shown
    assert shown.endswith(str(failing.value))


def test_an_empty_period_is_refused(data: Data) -> None:
    with pytest.raises(SourceError, match="nothing is left to train on"):
        split(data, test_days=60)
    with pytest.raises(TastemakerError, match="test_days = 0"):
        split(data, test_days=0)


@pytest.mark.slow
def test_models_of_different_splits_are_not_compared(data: Data, parts: SplitParts) -> None:
    with pytest.raises(TastemakerError, match="different splits"):
        compare(fit("popularity", parts), fit("ease", split(data, test_days=7)))


@pytest.mark.slow
def test_results_show_as_tables_in_a_notebook_and_as_text_in_a_terminal(
    data: Data, parts: SplitParts
) -> None:
    fitted = fit(Recent, parts, days=12)
    for shown in (data, parts, fitted, evaluate(fitted), compare(fitted)):
        page = shown._repr_html_()
        tree = ElementTree.fromstring(page)
        assert tree.findall(".//tr")
        assert tree.get("class") == "tastemaker cell"
        assert "array(" not in repr(shown)
        assert "http" not in page
    assert len(ElementTree.fromstring(parts._repr_html_()).findall(".//rect")) == 120
    assert ElementTree.fromstring(compare(fitted)._repr_html_()).findall(".//path")
    assert "12" in repr(fitted)


def test_the_style_touches_nothing_outside(parts: SplitParts) -> None:
    style = ElementTree.fromstring(parts._repr_html_()).findtext("style")
    assert style
    rules = [line.split("{")[0].strip() for line in style.splitlines() if "{" in line]
    assert all(rule.startswith((".tastemaker", "@media")) for rule in rules)


@pytest.mark.processes
def test_the_names_are_there_and_importing_the_package_stays_light() -> None:
    assert all(callable(getattr(tastemaker, name)) for name in tastemaker.__all__ if name != "__version__")
    assert set(tastemaker.__all__) <= set(dir(tastemaker))
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        _ = tastemaker.lode
    heavy = "('numpy', 'pydantic', 'pyarrow')"
    code = f"import tastemaker, sys; print(*[one for one in {heavy} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_config_and_hyperparameters_together_are_refused() -> None:
    with pytest.raises(PluginError, match="a config and days"):
        Grown(RecentConfig(), days=3)
