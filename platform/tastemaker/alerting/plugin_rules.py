"""Alert rules that installed distributions bring: a function per entry point, whose rules are checked.

An entry point of the group `tastemaker.alert_rules` names a function that takes the settings and returns
rules, as the modules here have one. A rule that can't work is an error: left out in silence, it would never
fire.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from string import Formatter
from typing import Any, Final

from tastemaker.alerting import exported
from tastemaker.alerting.rule import Exporter, Rule
from tastemaker.alerting.samples import as_series
from tastemaker.errors import PluginError
from tastemaker.settings import Settings
from tastemaker.util.spelling import did_you_mean

GROUP: Final = "tastemaker.alert_rules"
NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def plugin_rules(
    settings: Settings, ours: Iterable[Rule], entries: Iterable[EntryPoint] | None = None
) -> tuple[Rule, ...]:
    """Return the rules that installed distributions bring.

    Args:
        settings: Are handed to the functions.
        ours: The rules whose names are taken, and which may inhibit those of plugins.
        entries: The entry points; those of the installed distributions if None.

    Raises:
        PluginError: If a function fails, or a rule can't work; the message names the distribution.
    """
    found = sorted(entry_points(group=GROUP) if entries is None else entries, key=_distribution)
    brought: list[Rule] = []
    taken = {rule.name: rule for rule in ours}
    for entry in found:
        for rule in _called(entry, settings):
            if rule.name in taken:
                raise _refused(
                    entry,
                    f"the rule {rule.name!r} has a name that is taken, by {taken[rule.name].brought_by}",
                    "give it another name, such as one that begins with that of the distribution",
                )
            taken[rule.name] = rule = replace(rule, brought_by=_distribution(entry))
            brought.append(rule)
    for rule in brought:
        for fault, fix in _faults(rule, taken):
            raise PluginError(f"the alert rule {rule.name!r} of {rule.brought_by}: {fault}", fix=fix)
    return tuple(brought)


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value


def _refused(entry: EntryPoint, fault: str, fix: str) -> PluginError:
    where = f"entry point {entry.name!r} ({entry.value}) in {GROUP} of {_distribution(entry)}"
    return PluginError(f"{where}: {fault}", fix=fix)


def _called(entry: EntryPoint, settings: Settings) -> list[Rule]:
    """Return what an entry point's function returns."""
    fix = f"fix or uninstall {_distribution(entry)}"
    try:
        provide: Callable[[Settings], Any] = entry.load()
        found = list(provide(settings))
    except Exception as error:  # whatever the plugin's code raises
        raise _refused(entry, f"{type(error).__name__}: {error}", fix) from error
    for each in found:
        if not isinstance(each, Rule):
            raise _refused(entry, f"returned {each!r}, which is not a tastemaker.alerting.rule.Rule", fix)
    return found


def _faults(rule: Rule, all_rules: Mapping[str, Rule]) -> Iterator[tuple[str, str]]:
    """Yield why a rule can't work, and what to do."""
    if not NAME.fullmatch(rule.name):
        yield "its name is not lower case words joined by _", "name it such as basket_errors"
    yield from _selector_faults(rule)
    for field in {field for _, field, *_ in Formatter().parse(rule.summary) if field}:
        if field not in {*rule.labels, "value"}:
            yield f"its summary has {{{field}}}", "use {value} and the rule's labels"
    for name in rule.inhibited_by:
        inhibitor = all_rules.get(name)
        if inhibitor is None:
            yield (
                f"inhibited_by has {name!r}, which is not a rule",
                did_you_mean(name, list(all_rules), "`tastemaker alerts rules` lists them"),
            )
        elif rule.for_seconds <= inhibitor.for_seconds:
            yield (
                f"fires after {rule.for_seconds:g} s, no later than {name}, which is to silence it",
                f"set for_seconds above {inhibitor.for_seconds:g}",
            )
    yield from _example_faults(rule)


def _selector_faults(rule: Rule) -> Iterator[tuple[str, str]]:
    names = exported.names(rule.exporter)
    other: Exporter = "service" if rule.exporter == "watch" else "watch"
    selectors = [*rule.condition.fires.selectors(), *rule.condition.holds.selectors()]
    for selector in dict.fromkeys(selectors):
        labels = names.get(selector.name)
        if labels is None:
            fix = did_you_mean(selector.name, list(names), "docs/how-to/on-call.md lists the metrics")
            if selector.name in exported.names(other):
                fix = f"set exporter={other!r}"
            yield f"reads {selector.name}, which the exporter {rule.exporter!r} does not have", fix
            continue
        wanted = {*rule.labels, *(matcher.label for matcher in selector.matchers)}
        for label in sorted(wanted - labels):
            fault = f"names the label {label!r}, which {selector.name} does not have"
            yield fault, f"its labels are {', '.join(sorted(labels))}"


def _example_faults(rule: Rule) -> Iterator[tuple[str, str]]:
    example = rule.example
    if example is None:
        yield "has no example", "give it one: tests for promtool are made from it"
        return
    healthy, faulty = example.healthy_steps, example.faulty_steps
    series = as_series(example.phases((healthy, "healthy"), (faulty, "faulty")), example.step_seconds)
    for steps, fires in ((healthy, False), (healthy + faulty, True)):
        if bool(rule.condition.fires.evaluate(series, steps * example.step_seconds)) != fires:
            yield (
                "does not fire during the fault of its example"
                if fires
                else "fires while its example is healthy",
                "correct the example or the condition",
            )
