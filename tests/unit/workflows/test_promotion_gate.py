"""Which version is newest, which is champion, and what a version must win to become it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from support import registered_versions
from tastemaker.errors import ArtifactError, RegistryError
from tastemaker.models_settings import ModelsSettings
from tastemaker.plugins import discovery
from tastemaker.registry import Registry, champion
from tastemaker.storage.engine import open_engine
from tastemaker.trainings.enabled_models import takes_part
from tastemaker.workflows.promotion_gate import PromotionGate

RNG = np.random.default_rng(0)
BASE = RNG.uniform(0, 0.5, 500)
BETTER = BASE + RNG.uniform(0, 0.2, 500)
ALIKE = BASE + RNG.uniform(-0.1, 0.1, 500)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setattr(discovery, "get", registered_versions.plugin)
    return Registry(open_engine(f"sqlite:///{tmp_path / 'meta.db'}"), tmp_path / "artifacts")


def add_backtest(registry: Registry, model: str, values: np.ndarray, **options: object) -> str:
    return registered_versions.put_backtest(registry.engine, registry.artifacts, model, values, **options)  # type: ignore[arg-type]


def test_newest_is_the_newest_sound_one(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    first, second, third = (registered_versions.add(registry, weight=weight) for weight in (1, 2, 3))
    assert registry.newest("toy").id == third.id
    assert [version.id for version in registry.list()] == [third.id, second.id, first.id]
    assert third.manifest.parent == second.id
    (third.folder / "manifest.json").unlink()
    (second.folder / "model/scores.npy").write_bytes(b"half")
    with caplog.at_level(logging.WARNING):
        assert registry.newest("toy").id == first.id
    assert [record.message.split()[1] for record in caplog.records] == [third.id, second.id]
    assert [each.version_id for each in registry.broken()] == [third.id, second.id]
    assert "scores.npy" in registry.broken("toy")[1].reason


def test_no_sound_version(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="no sound version of 'toy'") as caught:
        registry.newest("toy")
    assert "tastemaker run" in str(caught.value.fix)
    (registered_versions.add(registry).folder / "manifest.json").unlink()
    with pytest.raises(RegistryError, match=r"holds no manifest\.json"):
        registry.newest("toy", problem="shop")


def test_versions_are_kept_apart_by_problem(registry: Registry) -> None:
    mine = registered_versions.add(registry)
    other = registered_versions.add(registry, spec=registered_versions.problem(name="other"))
    assert registry.newest("toy", problem="shop").id == mine.id
    assert registry.newest("toy").id == other.id
    assert other.manifest.parent is None


def test_an_unknown_version(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="no version 'nope'"):
        registry.get("nope")


def test_a_backtest_that_does_not_exist(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="no backtest 'nope'"):
        registered_versions.add(registry, backtest_id="nope")
    assert not registry.artifacts.exists()


def test_the_better_one_becomes_champion(registry: Registry) -> None:
    add_backtest(registry, "popularity", BASE)
    version = registered_versions.add(registry, backtest_id=add_backtest(registry, "toy", BETTER))
    assert registry.champion("shop") is None
    promotion = PromotionGate(registry).promote(version.id)
    assert not promotion.forced
    assert promotion.reason.startswith("toy - popularity in ndcg: +0.")
    found = registry.champion("shop")
    assert found is not None
    assert found.id == version.id
    assert registry.champion("another problem") is None
    assert champion.log(registry.engine, "shop") == [promotion]


@pytest.mark.parametrize("values", [ALIKE, BASE, BASE - 0.1])
def test_one_that_does_not_beat_is_refused(registry: Registry, values: np.ndarray) -> None:
    add_backtest(registry, "popularity", BASE)
    version = registered_versions.add(registry, backtest_id=add_backtest(registry, "toy", values))
    with pytest.raises(
        RegistryError, match=r"is not better than .*95 % interval .* 500 users.* above 0"
    ) as caught:
        PromotionGate(registry).promote(version.id)
    assert f"models promote {version.id} --force" in str(caught.value.fix)
    assert registry.champion("shop") is None
    with pytest.raises(RegistryError, match="reason to force a promotion is empty"):
        PromotionGate(registry).promote(version.id, force_reason="  ")
    promotion = PromotionGate(registry).promote(version.id, force_reason="a demo")
    assert (promotion.forced, promotion.reason) == (True, "a demo")


def test_one_user_proves_nothing(registry: Registry) -> None:
    add_backtest(registry, "popularity", BASE[:1])
    version = registered_versions.add(registry, backtest_id=add_backtest(registry, "toy", BETTER[:1]))
    with pytest.raises(RegistryError, match="is not better than"):
        PromotionGate(registry).promote(version.id)


def test_without_evidence_there_is_no_promotion(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="no backtest of version"):
        PromotionGate(registry).promote(registered_versions.add(registry).id)
    mine = add_backtest(registry, "toy", BETTER)
    with pytest.raises(RegistryError, match="no backtest of popularity on the same data"):
        PromotionGate(registry).promote(registered_versions.add(registry, backtest_id=mine).id)
    add_backtest(registry, "popularity", BASE, data_hash="e" * 64)
    with pytest.raises(RegistryError, match="no backtest of popularity on the same data"):
        PromotionGate(registry).promote(registered_versions.add(registry, backtest_id=mine).id)
    add_backtest(registry, "popularity", BASE)
    with pytest.raises(RegistryError, match="no backtest of version"):  # the evidence is for another config
        PromotionGate(registry).promote(registered_versions.add(registry, weight=5, backtest_id=mine).id)
    PromotionGate(registry).promote(registered_versions.add(registry, backtest_id=mine).id)


def test_the_rival_is_evaluated_by_its_newest_backtest(registry: Registry) -> None:
    add_backtest(registry, "popularity", BETTER + 1, age_days=3)
    add_backtest(registry, "popularity", BASE)
    assert PromotionGate(registry).promote(
        registered_versions.add(registry, backtest_id=add_backtest(registry, "toy", BETTER)).id
    )


def test_a_damaged_version_is_not_promoted_even_by_force(registry: Registry) -> None:
    version = registered_versions.add(registry)
    (version.folder / "model/scores.npy").unlink()
    with pytest.raises(ArtifactError, match="missing"):
        PromotionGate(registry).promote(version.id, force_reason="hurry")


def test_rollback_goes_back_step_by_step(registry: Registry) -> None:
    first, second, third = (registered_versions.add(registry, weight=weight).id for weight in (1, 2, 3))
    for version_id in (first, second, second, third):
        PromotionGate(registry).promote(version_id, force_reason="test")
    assert registry.rollback("shop", "third misbehaves").version_id == second
    promotion = registry.rollback("shop", "second too")
    assert (promotion.version_id, promotion.action, promotion.reason) == (first, "rollback", "second too")
    with pytest.raises(RegistryError, match="no earlier champion of the problem 'shop'"):
        registry.rollback("shop", "and now?")
    PromotionGate(registry).promote(third, force_reason="test")
    assert registry.rollback("shop", "again").version_id == first


def test_rollback_passes_over_what_is_broken(registry: Registry) -> None:
    first, second, third = (registered_versions.add(registry, weight=weight) for weight in (1, 2, 3))
    for version in (first, second, third):
        PromotionGate(registry).promote(version.id, force_reason="test")
    (second.folder / "manifest.json").unlink()
    assert registry.rollback("shop", "third misbehaves").version_id == first.id


def test_rollback_needs_a_reason_and_a_past(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="no earlier champion"):
        registry.rollback("shop", "why not")
    with pytest.raises(RegistryError, match="needs a reason"):
        registry.rollback("shop", " ")


def champion_of(registry: Registry, values: np.ndarray | None, *, weight: float = 2) -> str:
    """Another recipe is champion, with these figures; None: it was never evaluated on this data."""
    version = registered_versions.add(registry, weight=weight)
    if values is not None:
        add_backtest(registry, "toy", values, config={"weight": weight}, age_days=1)
    PromotionGate(registry).promote(version.id, force_reason="a start")
    return version.id


def challenger(registry: Registry, values: np.ndarray) -> str:
    add_backtest(registry, "popularity", BASE)
    return registered_versions.add(registry, backtest_id=add_backtest(registry, "toy", values)).id


NOISE = RNG.uniform(-0.01, 0.01, 500)
LOSS = 0.01 * float(BETTER.mean())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "promoted"),
    [
        (NOISE - NOISE.mean() + 0.02, True),
        (np.zeros(500), True),
        (NOISE - NOISE.mean(), True),
        (NOISE - NOISE.mean() - LOSS / 2, True),
        (NOISE - NOISE.mean() - LOSS * 1.01, False),
        (NOISE - NOISE.mean() - LOSS * 3, False),
        (20 * (NOISE - NOISE.mean()), False),  # as good, but uncertain: its interval reaches too low
    ],
)
def test_what_may_be_worse_than_the_champion_is_refused(
    registry: Registry, more: np.ndarray, promoted: bool
) -> None:
    before = champion_of(registry, BETTER)
    version = challenger(registry, BETTER + more)
    if promoted:
        reason = PromotionGate(registry).promote(version).reason
        assert "toy - toy (the champion) in ndcg: " in reason
        assert f"must not reach below {-LOSS:+.4f}, 1 % of the champion's {BETTER.mean():.4f}" in reason
        return
    with pytest.raises(
        RegistryError, match=r"may be worse than the champion: toy - toy \(the champion\)"
    ) as caught:
        PromotionGate(registry).promote(version)
    assert "does not beat" not in str(caught.value)
    champion = registry.champion("shop")
    assert champion is not None
    assert champion.id == before
    PromotionGate(registry).promote(version, force_reason="a person's word")


@pytest.mark.slow
def test_the_margin_is_a_setting(registry: Registry) -> None:
    champion_of(registry, BETTER)
    version = challenger(registry, BETTER + NOISE - NOISE.mean() - LOSS * 3)
    with pytest.raises(RegistryError, match="may be worse"):
        PromotionGate(registry, max_loss=0.0).promote(version)
    assert PromotionGate(registry, max_loss=0.05).promote(version).version_id == version


def test_a_champion_that_was_not_evaluated_on_this_data_is_named_with_what_to_run(registry: Registry) -> None:
    before = champion_of(registry, None)
    add_backtest(registry, "toy", BASE, config={"weight": 2.0}, data_hash="e" * 64, age_days=1)
    with pytest.raises(RegistryError, match=f"champion toy {before} has no backtest on the data") as caught:
        PromotionGate(registry).promote(challenger(registry, BETTER))
    assert f"tastemaker models backtest {before}" in str(caught.value.fix)
    assert "--force" in str(caught.value.fix)


def test_another_fit_of_the_champions_recipe_needs_no_comparison(registry: Registry) -> None:
    add_backtest(registry, "popularity", BASE)
    evidence = add_backtest(registry, "toy", BETTER)
    PromotionGate(registry).promote(registered_versions.add(registry, backtest_id=evidence).id)
    reason = (
        PromotionGate(registry).promote(registered_versions.add(registry, backtest_id=evidence).id).reason
    )
    assert "champion" not in reason


def test_one_user_does_not_show_that_nothing_is_lost(registry: Registry) -> None:
    champion_of(registry, BASE[:1])
    add_backtest(registry, "popularity", BASE[:1])
    version = registered_versions.add(registry, backtest_id=add_backtest(registry, "toy", BETTER[:1]))
    with pytest.raises(RegistryError, match="may be worse than the champion"):
        PromotionGate(registry).promote(version.id)


@pytest.mark.slow
def test_the_best_of_many_equal_models_does_not_win_by_luck(registry: Registry) -> None:
    """One that beats the baseline alone (its own interval lies above 0) is refused as one of sixteen."""
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 0.1, (15, 500))
    lucky = noise[0] - noise[0].mean() + 0.01  # 2.2 standard errors: p 0.025 alone
    add_backtest(registry, "popularity", BASE)
    version = registered_versions.add(registry, backtest_id=add_backtest(registry, "toy", BASE + lucky))
    alone = PromotionGate(registry).test(version)
    assert (alone.models, alone.better) == (2, True)
    for number, values in enumerate(noise[1:]):
        add_backtest(registry, f"equal_{number}", BASE + values - values.mean())
    crowded = PromotionGate(registry).test(version)
    assert crowded.models == 16
    assert crowded.difference.low > 0
    assert not crowded.better
    with pytest.raises(RegistryError, match="corrected for 16 models; the whole interval must lie above 0"):
        PromotionGate(registry).promote(version.id)


def test_models_that_the_settings_leave_out_take_no_power_from_the_others(registry: Registry) -> None:
    """The p of the challenger test is that of the leaderboard."""
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 0.1, (15, 500))
    add_backtest(registry, "popularity", BASE)
    lucky = noise[0] - noise[0].mean() + 0.01
    version = registered_versions.add(registry, backtest_id=add_backtest(registry, "toy", BASE + lucky))
    for number, values in enumerate(noise[1:]):
        add_backtest(registry, f"equal_{number}", BASE + values - values.mean())
    models = ModelsSettings(disabled=("toy", *(f"equal_{number}" for number in range(14))))
    gate = PromotionGate(registry, takes_part=lambda model, baseline: takes_part(model, models, baseline))
    found = gate.test(version)
    assert (found.models, found.better) == (2, True), "the version's own model always counts"


@pytest.mark.slow
def test_a_freeze_stands_until_it_is_ended(registry: Registry) -> None:
    add_backtest(registry, "popularity", BASE)
    evidence = add_backtest(registry, "toy", BETTER)
    first, second = (registered_versions.add(registry, backtest_id=evidence).id for _ in range(2))
    for version_id in (first, second):
        PromotionGate(registry).promote(version_id)
    assert registry.frozen("shop") is None
    back = registry.rollback("shop", "slow")
    assert registry.frozen("shop") == back
    ended = registry.unfreeze("shop", "fast again")
    assert (ended.action, ended.version_id, ended.forced) == ("unfreeze", first, False)
    assert registry.frozen("shop") is None
    assert champion.log(registry.engine, "shop")[-1] == ended
    assert champion.current(registry.engine, "shop") == first
    with pytest.raises(RegistryError, match="not frozen"):
        registry.unfreeze("shop", "again")
    PromotionGate(registry).promote(second)
    assert champion.predecessors(registry.engine, "shop") == [first]
    PromotionGate(registry).promote(first, force_reason="a test")
    assert registry.frozen("shop") is not None
    PromotionGate(registry).promote(second)  # a person's word, without force
    assert registry.frozen("shop") is None
    with pytest.raises(RegistryError, match="not frozen"):
        registry.unfreeze("another", "no champion")
