"""Discovery: sound models are found, every kind of broken one is refused with its reason."""

from __future__ import annotations

from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import pytest

from tastemaker.errors import PluginError
from tastemaker.plugins.finder import find, get

MODEL = '''
import numpy as np
from tastemaker.plugins import Config, Recommender, select

class Settings(Config):
    """None."""

class Model(Recommender):
    """s = 0."""
    name = "{name}"
    reference = "none"
    config_type = Settings
    {extra}
    def fit(self, data):
        return self
    def recommend(self, batch, k):
        return select(np.zeros((len(batch), batch.history.n_items), np.float32), batch, k)
'''


class Site:
    """A folder of installed distributions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, distribution: str, entries: dict[str, str], **modules: str) -> None:
        """entries: name -> module:attribute; modules: name -> source."""
        info = self.folder / f"{distribution}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        lines = [f"{name} = {value}" for name, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(["[tastemaker.models]", *lines]))
        for name, source in modules.items():
            (self.folder / f"{name}.py").write_text(source)

    @property
    def entries(self) -> list[EntryPoint]:
        return [entry for each in distributions(path=[str(self.folder)]) for entry in each.entry_points]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Site(tmp_path)


def model(name: str, extra: str = "") -> str:
    return MODEL.format(name=name, extra=extra)


def test_sound_models_are_sorted_records(site: Site) -> None:
    site.install("two", {"zebra": "finder_zebra:Model"}, finder_zebra=model("zebra"))
    site.install("one", {"ant": "finder_ant:Model"}, finder_ant=model("ant"))
    plugins = find(site.entries)
    assert plugins.broken == ()
    assert plugins.names == ("ant", "zebra")
    assert plugins.sound[0].distribution == "one"
    assert plugins.sound[0].version == "1.2"
    assert plugins.sound[0].entry_point == "finder_ant:Model"
    assert get("zebra", site.entries) == plugins.sound[1]


REFUSED = {
    "import error": ("broken", "refused_import:Model", "import nonsense_module", "nonsense_module"),
    "exit": ("broken", "refused_exit:Model", "raise SystemExit('no licence')", "no licence"),
    "syntax error": ("broken", "refused_syntax:Model", "def", "SyntaxError"),
    "missing attribute": ("broken", "refused_attribute:Modell", model("broken"), "Modell"),
    "not a class": ("broken", "refused_object:Model", "Model = 3", "expected a subclass"),
    "another class": ("broken", "refused_class:Model", "class Model: pass", "expected a subclass"),
    "interface version": (
        "broken",
        "refused_version:Model",
        model("broken", "interface_version = 99"),
        "interface version 99, this platform has version 1",
    ),
    "another name": (
        "broken",
        "refused_name:Model",
        model("other"),
        "'broken' but the class says name = 'other'",
    ),
    "ugly name": ("Bad-Name", "refused_ugly:Model", model("Bad-Name"), "lower case words joined by _"),
    "no reference": ("broken", "refused_part:Model", model("broken", "reference = ''"), "reference"),
    "no config type": (
        "broken",
        "refused_untyped:Model",
        model("broken").replace("config_type = Settings", ""),
        "the class lacks: config_type",
    ),
    "config type": (
        "broken",
        "refused_config:Model",
        model("broken", "config_type = int"),
        "config_type must be",
    ),
    "capabilities": (
        "broken",
        "refused_can:Model",
        model("broken", "capabilities = {}"),
        "capabilities must be",
    ),
    "abstract": ("broken", "refused_abstract:Model", model("broken").replace("def fit", "def fitt"), "fit"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_name_the_distribution_and_the_reason(site: Site, case: str) -> None:
    name, entry_point, source, reason = REFUSED[case]
    site.install("culprit", {name: entry_point}, **{entry_point.partition(":")[0]: source})
    site.install("bystander", {"ant": "finder_bystander:Model"}, finder_bystander=model("ant"))
    plugins = find(site.entries)
    assert plugins.names == ("ant",)
    (broken,) = plugins.broken
    assert (broken.name, broken.distribution) == (name, "culprit")
    assert reason in broken.reason
    with pytest.raises(PluginError, match="culprit"):
        get(name, site.entries)


def test_one_name_in_two_distributions_is_refused_for_both(site: Site) -> None:
    site.install("one", {"ant": "finder_first:Model"}, finder_first=model("ant"))
    site.install("two", {"ant": "finder_second:Model"}, finder_second=model("ant"))
    plugins = find(site.entries)
    assert plugins.sound == ()
    assert [broken.distribution for broken in plugins.broken] == ["one", "two"]
    with pytest.raises(PluginError, match=r"taken twice: one \(finder_first:Model\) and two"):
        get("ant", site.entries)


def test_an_unknown_name_lists_what_is_installed(site: Site) -> None:
    site.install("one", {"ant": "finder_listed:Model"}, finder_listed=model("ant"))
    with pytest.raises(PluginError, match=r"no model named 'bee' is installed; installed: ant"):
        get("bee", site.entries)
    with pytest.raises(PluginError, match="installed: none"):
        get("bee", [])


def test_getting_one_model_imports_no_other(site: Site) -> None:
    """A serving process pays for its own model only."""
    entries = {"ant": "finder_alone:Model", "bomb": "finder_bomb:Model"}
    site.install("one", entries, finder_alone=model("ant"), finder_bomb="raise SystemExit('imported')")
    assert get("ant", site.entries).name == "ant"
