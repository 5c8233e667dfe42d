"""Mistakes in a model class and in its inputs: the errors name file, line and fix."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from scipy.sparse import csc_array, csr_array, csr_matrix

from support.notebook_purchases import purchases
from tastemaker.errors import PluginError, TastemakerError
from tastemaker.notebook.evaluate import compare, evaluate
from tastemaker.notebook.fit import SplitParts, fit, split
from tastemaker.notebook.load import load
from tastemaker.plugins import Batch, Ranking, Recommender, TrainingData, select
from tastemaker.plugins.selection import empty_ranking, select_rows


@pytest.fixture(scope="module")
def parts() -> SplitParts:
    return split(load(purchases()), test_days=10)


class Counts(Recommender[Any]):
    """Sound: what was had most."""

    name = "counts"
    state: ClassVar[tuple[str, ...]] = ("scores",)

    def fit(self, data: TrainingData) -> Any:
        self.scores: Any = np.bincount(data.events.items, minlength=data.n_items).astype(np.float32)
        return self

    def all_scores(self, batch: Batch) -> Any:
        """float32[n, n_items]"""
        return np.tile(self.scores, (len(batch), 1))

    def recommend(self, batch: Batch, k: int) -> Any:
        return select(self.all_scores(batch), batch, k)


class Forgetful(Counts):
    def fit(self, data: TrainingData) -> Any:
        super().fit(data)


class Another(Counts):
    def fit(self, data: TrainingData) -> Any:
        return super().fit(data).scores


class Stateless(Counts):
    state = ()


class Misspelt(Counts):
    state = ("scores", "weigths")

    def fit(self, data: TrainingData) -> Self:
        self.weights = np.ones(3)
        super().fit(data)
        return self


def with_state(value: Any) -> type[Counts]:
    """A class whose state is `value`."""

    class Kept(Counts):
        name = "kept"
        state = ("kept",)

        def fit(self, data: TrainingData) -> Self:
            super().fit(data)
            self.kept = value
            return self

    return Kept


class Raising(Counts):
    def fit(self, data: TrainingData) -> Any:
        return [1, 2][data.n_items]


class RaisingLater(Counts):
    def recommend(self, batch: Batch, k: int) -> Any:
        return self.helped(batch)

    def helped(self, batch: Batch) -> Any:
        """A step down, and through numpy."""
        return np.linalg.inv(np.zeros((2, 2)))


@pytest.mark.slow
def test_a_sound_class_works(parts: SplitParts) -> None:
    model = fit(Counts, parts)
    assert model.recommend(3, 2) == ["0", "1"]
    assert evaluate(model)["ndcg"] > 0


MISTAKES: dict[str, tuple[type[Counts], str, str]] = {
    "no return": (Forgetful, "`fit` returned None, must return the model", "end `fit` with: return self"),
    "another return": (Another, "`fit` returned a ndarray, must return the model", "return self"),
    "no state": (Stateless, "`fit` set scores, but the class has no `state`", r'state = \("scores",\)'),
    "misspelt state": (Misspelt, "weigths, which `state` names, is not set; `fit` set scores, weigh", "self"),
    "a dict": (with_state({"a": 1}), "kept, which `state` names, is a dict, which can't be saved", "asarray"),
    "a list of strings": (with_state(["a"]), "is a list, which can't be saved", "np.asarray"),
    "objects": (with_state(np.array([{}, None])), "holds Python objects, which can't be", "np.asarray"),
    "a column matrix": (with_state(csc_array((2, 2))), "is a scipy.sparse._csc.csc_array", "csr_array"),
    "an old matrix": (with_state(csr_matrix((2, 2))), "is a scipy.sparse._csr.csr_matrix", "csr_array"),
    "no comma": (
        type("Comma", (Counts,), {"state": "scores"}),
        "`state` is 'scores', must be a tuple of names",
        r'mind the comma: state = \("weights",\)',
    ),
    "raises": (Raising, "model counts failed to fit: IndexError: list index out of range", "correct|check"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_fit_names_file_line_and_fix(mistake: str, parts: SplitParts) -> None:
    kind, problem, fix = MISTAKES[mistake]
    with pytest.raises(PluginError, match=problem) as raised:
        fit(kind, parts)
    assert re.search(fix, str(raised.value.fix))
    assert_place(raised.value, kind.fit)


@pytest.mark.parametrize("value", [np.ones(3), np.float32(1), 3, csr_array((2, 2)), np.array(["a"])])
def test_a_state_that_can_be_saved_is(value: Any, parts: SplitParts, tmp_path: Path) -> None:
    fit(with_state(value), parts).model.save(tmp_path)
    assert list(tmp_path.iterdir())


def test_saving_without_a_fit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="scores, which `state` names, is not set"):
        Counts().save(tmp_path)


def assert_place(error: TastemakerError, function: Callable[..., Any]) -> None:
    """The error names this file, and a line of the function."""
    lines, first = inspect.getsourcelines(function)
    found = re.search(r"\(([^()]+), line (\d+): ", error.problem)
    assert found is not None, error.problem
    assert found[1] == __file__
    assert first <= int(found[2]) < first + len(lines)


def answering(answer: Callable[[Counts, Batch, int], Any]) -> type[Counts]:
    """A class with this `recommend`."""
    return type("Answering", (Counts,), {"recommend": lambda self, batch, k: answer(self, batch, k)})


def scoring(change: Callable[[Any, Batch], Any]) -> type[Counts]:
    """A class whose scores are changed before they are ranked."""
    return type(
        "Scoring",
        (Counts,),
        {"all_scores": lambda self, batch: change(Counts.all_scores(self, batch), batch)},
    )


def _with(value: float, *, every: bool = True) -> Callable[[Any, Batch], Any]:
    def change(scores: Any, batch: Batch) -> Any:
        scores[:, :: 1 if every else 7] = value
        return scores

    return change


WRONG_SCORES: dict[str, tuple[Callable[[Any, Batch], Any], str, str]] = {
    "narrow": (lambda s, b: s[:, 1:], r"the scores have shape \(\d+, 11\), must be \(\d+, 12\)", "n_items"),
    "wide": (lambda s, b: np.hstack([s, s]), r"shape \(\d+, 24\), must be \(\d+, 12\)", "n_items"),
    "other users": (lambda s, b: np.vstack([s, s]), r"shape \(\d+, 12\), must be \(\d+, 12\)", "batch.users"),
    "one row": (lambda s, b: s[0], r"the scores have shape \(12,\), must be", "batch.users"),
    "integers": (lambda s, b: s.astype(int), "the scores are int64, must be float32", "astype"),
    "objects": (lambda s, b: s.astype(object), "the scores are object, must be float32", "astype"),
    "complex": (lambda s, b: s.astype(complex), "the scores are complex128, must be float32", "astype"),
    "words": (lambda s, b: s.astype(str), "the scores are <U32, must be float32", "astype"),
    "sparse": (lambda s, b: csr_array(s), "the scores are a csr_array, must be an array", "toarray"),
    "a list": (lambda s, b: s.tolist(), "the scores are a list, must be an array", ""),
    "nothing": (lambda s, b: None, "the scores are a NoneType", ""),
    "all NaN": (_with(np.nan), r"(\d+) of \1 scores are nan, must be finite", "division by zero"),
    "some NaN": (_with(np.nan, every=False), r"\d+ of \d+ scores are nan", "division by zero"),
    "NaN of a division": (_with(-np.nan, every=False), r"\d+ of \d+ scores are nan", "division by zero"),
    "infinite": (
        _with(np.inf, every=False),
        r"\d+ of \d+ scores are inf, must be finite",
        "division by zero",
    ),
}


@pytest.mark.parametrize("mistake", WRONG_SCORES)
def test_wrong_scores_name_file_line_and_fix(mistake: str, parts: SplitParts) -> None:
    change, problem, fix = WRONG_SCORES[mistake]
    model = fit(scoring(change), parts)
    for ask in (lambda: evaluate(model), lambda: model.recommend(1), lambda: compare(model)):
        with pytest.raises(PluginError, match=problem) as raised:
            ask()
        assert re.search(fix, str(raised.value.fix))
        assert_place(raised.value, Counts.recommend)


def test_scores_that_are_made_in_parts_are_checked_too(parts: SplitParts) -> None:
    narrow = answering(
        lambda model, batch, k: select_rows(lambda rows: np.ones((1, 3), np.float32), batch, k)
    )
    with pytest.raises(PluginError, match=r"the scores have shape \(1, 3\), must be \(\d+, 12\)"):
        evaluate(fit(narrow, parts))


def test_a_model_may_rule_items_out_itself(parts: SplitParts) -> None:
    class First(Counts):
        def all_scores(self, batch: Batch) -> Any:
            scores = np.full((len(batch), batch.history.n_items), -np.inf, np.float64)
            scores[:, 0] = 1
            return scores

    assert fit(First, parts).recommend("1", 5) == ["0"]


def _ranked(change: Callable[[Ranking], Any]) -> type[Counts]:
    return answering(lambda model, batch, k: change(select(model.all_scores(batch), batch, k)))


WRONG_ANSWERS: dict[str, tuple[type[Counts], str]] = {
    "nothing": (answering(lambda m, b, k: None), "expected a Ranking, got NoneType"),
    "items alone": (answering(lambda m, b, k: select(m.all_scores(b), b, k).items), "got ndarray"),
    "other users": (
        answering(lambda m, b, k: empty_ranking(len(b) + 1, k)),
        r"items has shape .*, must be",
    ),
    "longer lists": (answering(lambda m, b, k: empty_ranking(len(b), k + 1)), "items has shape"),
    "wide numbers": (
        _ranked(lambda r: r._replace(items=r.items.astype(np.int64))),
        "items are int64, must be int32",
    ),
    "an item twice": (_ranked(lambda r: r._replace(items=np.zeros_like(r.items))), "holds item 0 twice"),
    "no such item": (_ranked(lambda r: r._replace(items=r.items + 99)), "does not exist, the catalogue has"),
    "NaN": (_ranked(lambda r: r._replace(scores=r.scores * np.nan)), "scores are NaN"),
}


@pytest.mark.parametrize("mistake", WRONG_ANSWERS)
def test_wrong_rankings_name_file_and_line(mistake: str, parts: SplitParts) -> None:
    kind, problem = WRONG_ANSWERS[mistake]
    model = fit(kind, parts)
    for ask in (lambda: evaluate(model), lambda: model.recommend(1)):
        with pytest.raises(PluginError, match=problem) as raised:
            ask()
        assert f"({__file__}, line " in raised.value.problem
        assert raised.value.fix


def test_the_innermost_line_of_one_s_own_is_named(parts: SplitParts) -> None:
    with pytest.raises(PluginError, match="failed to recommend: LinAlgError: Singular matrix") as raised:
        evaluate(fit(RaisingLater, parts))
    assert_place(raised.value, RaisingLater.helped)
    assert "np.linalg.inv(np.zeros((2, 2)))" in raised.value.problem


def test_a_method_without_its_parameters_is_named(parts: SplitParts) -> None:
    class Short(Counts):
        def recommend(self, batch: Batch) -> Any:  # type: ignore[override]
            return None

    with pytest.raises(PluginError, match="takes 2 positional arguments but 3 were given") as raised:
        evaluate(fit(Short, parts))
    assert_place(raised.value, Short.recommend)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"capabilities": {"personalizes": True}}, "capabilities of the class Odd are {'pers.*must be Capab"),
        ({"config_type": dict}, "config_type of the class Odd is .*dict.*, must be a class of Config"),
        ({"config_type": None}, "config_type of the class Odd is None, must be a class of Config"),
    ],
)
def test_attributes_of_another_type_are_refused(
    attributes: dict[str, Any], said: str, parts: SplitParts
) -> None:
    with pytest.raises(PluginError, match=said):
        fit(type("Odd", (Counts,), attributes), parts)


CELL = '''
from tastemaker import Recommender, fit, load, split


class Mine(Recommender):
    """Nothing."""

    name = "mine"

    def fit(self, data):
        return data.nothing

    def recommend(self, batch, k):
        return None
'''


@pytest.mark.processes
@pytest.mark.slow
def test_a_cell_of_a_notebook_is_named_as_the_notebook_does(tmp_path: Path) -> None:
    purchases().to_csv(tmp_path / "orders.csv", index=False)
    program = f"""
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell({CELL!r})
shell.run_cell("fit(Mine, split(load('orders.csv'), test_days=10))")
"""
    own = os.environ | {"IPYTHONDIR": str(tmp_path / "ipython")}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=own, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "model mine failed to fit: AttributeError: 'TrainingData' object has no" in done.stdout
    reported = r"\(Cell In\[\d+\], line 10: return data\.nothing\)\n  fix: correct that line"
    assert re.search(reported, done.stdout), done.stdout
