"""The services of a plan: versions of recipes that are trained at the same time, and paths of sockets."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import update

from support import experiment_homes, registered_versions
from support.experiment_homes import ExperimentHome
from tastemaker.errors import RegistryError
from tastemaker.experiments.design import VariantDesign
from tastemaker.experiments.lifecycle import kills
from tastemaker.experiments.lifecycle.services import recipe_of, socket_path, versions_of
from tastemaker.experiments.plan import PinnedService
from tastemaker.registry import Version
from tastemaker.storage.engine import open_engine
from tastemaker.storage.tables import versions


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentHome:
    return experiment_homes.make(open_engine(f"sqlite:///{tmp_path}/meta.db"), tmp_path, monkeypatch)


def trained(shop: ExperimentHome, weight: float, end: int) -> Version:
    """A version whose training data end at a time."""
    version = registered_versions.add(shop.registry, weight=weight)
    window = msgspec.structs.replace(version.manifest.window, end=end)
    manifest = msgspec.to_builtins(msgspec.structs.replace(version.manifest, window=window))
    with shop.experiments.engine.begin() as connection:
        connection.execute(update(versions).where(versions.c.id == version.id).values(manifest=manifest))
    return version


def recipes(shop: ExperimentHome) -> dict[str, VariantDesign]:
    return {
        name: VariantDesign(share=500_000, model="toy", recipe=recipe_of(version))
        for name, version in (("a", shop.champion), ("b", shop.challenger))
    }


def test_recipes_switch_together(shop: ExperimentHome) -> None:
    """Weight 1 is trained again first; until weight 2 is, both keep their versions."""
    variants = recipes(shop)
    first = versions_of(shop.registry, "shop", variants)
    assert [one.id for one in first.values()] == [shop.champion.id, shop.challenger.id]
    newer = trained(shop, 1.0, 20)
    assert versions_of(shop.registry, "shop", variants) == first
    other = trained(shop, 2.0, 20)
    found = versions_of(shop.registry, "shop", variants)
    assert [one.id for one in found.values()] == [newer.id, other.id]


def test_a_running_experiment_follows_its_recipes(shop: ExperimentHome) -> None:
    shop.running(variants=recipes(shop))
    newer = [trained(shop, weight, 20).id for weight in (1.0, 2.0)]
    plan = shop.experiments.publish()
    services = {one.name: one.version for one in plan.services}
    assert [services[str(one.service)] for one in plan.experiments[0].variants] == newer
    assert services[str(plan.default)] == shop.champion.id


def test_recipes_without_a_common_end_are_refused(shop: ExperimentHome) -> None:
    unknown = {"a": VariantDesign(share=1, model="toy", recipe="0" * 12)}
    with pytest.raises(RegistryError, match="toy has no version of the recipe '000000000000'; its recipes: "):
        versions_of(shop.registry, "shop", unknown)
    third = trained(shop, 3.0, 20)
    apart = recipes(shop) | {"b": VariantDesign(share=1, model="toy", recipe=recipe_of(third))}
    with pytest.raises(RegistryError, match="data with the same end"):
        versions_of(shop.registry, "shop", apart)


def test_a_version_of_another_model_is_refused(shop: ExperimentHome) -> None:
    wrong = {"a": VariantDesign(share=1, model="other", version=shop.champion.id)}
    with pytest.raises(RegistryError, match="is of toy and the problem 'shop', not of other"):
        versions_of(shop.registry, "shop", wrong)


def test_a_version_elsewhere_is_a_service_of_its_own(shop: ExperimentHome) -> None:
    there = VariantDesign(
        share=500_000, model="toy", version=shop.challenger.id, address="http://shop-2:3000"
    )
    name = shop.running(variants=shop.design().variants | {"b": there})
    plan = kills.read_plan(shop.experiments.folder / kills.PLAN)
    assert plan.experiments[0].name == name
    assert (
        PinnedService(
            f"toy@{shop.challenger.id}@shop-2-3000", "toy", shop.challenger.id, "http://shop-2:3000"
        )
        in plan.services
    )


def test_a_socket_can_be_bound_however_long_the_home_is(tmp_path: Path) -> None:
    short = socket_path(tmp_path, "toy@1")
    assert short.parent == tmp_path / "sockets"
    deep = tmp_path / ("long" * 30)
    (deep / "sockets").mkdir(parents=True)
    path = socket_path(deep, "toy@1")
    assert path == socket_path(deep, "toy@1") != socket_path(deep, "toy@2")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(path))
    assert [file.name for file in (deep / "sockets").iterdir()] == [short.name]
