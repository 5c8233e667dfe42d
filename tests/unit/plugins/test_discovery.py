"""Discovery: sound models are found, every kind of broken one is refused with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.plugin_sites import Site, model
from tastemaker.errors import PluginError
from tastemaker.plugins import discovery
from tastemaker.plugins.discovery import find, get


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Site(tmp_path)


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


def test_an_import_that_hangs_is_refused_and_not_waited_for_twice(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = "import threading\nthreading.Event().wait()"
    site.install("culprit", {"slow": "finder_hangs:Model"}, finder_hangs=waiting)
    site.install("bystander", {"ant": "finder_beside:Model"}, finder_beside=model("ant"))
    get("ant", site.entries)
    monkeypatch.setattr(discovery, "IMPORT_SECONDS", 2.0)
    plugins = find(site.entries)
    assert plugins.names == ("ant",)
    assert "did not end within 2 s" in plugins.broken[0].reason
    monkeypatch.setattr(discovery, "IMPORT_SECONDS", 1e6)
    assert "has not ended" in find(site.entries).broken[0].reason


HOSTILE = """
class Meta(type(Recommender)):
    def __getattribute__(cls, name):
        if name == "interface_version":
            raise RuntimeError("ask me nothing")
        return super().__getattribute__(name)

class Hostile(Model, metaclass=Meta):
    pass
"""


@pytest.mark.parametrize(
    ("module", "source", "reason"),
    [
        ("finder_interrupt", "raise KeyboardInterrupt('no')", "KeyboardInterrupt: no"),
        ("finder_hostile", model("odd") + HOSTILE, "ask me nothing"),
    ],
)
def test_any_error_of_an_import_is_the_reason(site: Site, module: str, source: str, reason: str) -> None:
    attribute = "Hostile" if "Hostile" in source else "Model"
    site.install("culprit", {"odd": f"{module}:{attribute}"}, **{module: source})
    [broken] = find(site.entries).broken
    assert reason in broken.reason
