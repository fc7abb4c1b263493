"""Finds and loads the filters and scores of the administrator's own, which installed packages offer by entry points."""

from collections.abc import Collection, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from scheduler.model.plan import RuleTrouble
from scheduler.scoring.own_rules import Judge, OwnRule, OwnRules, RuleKind

GROUPS: dict[RuleKind, str] = {"filter": "bayplan.filters", "score": "bayplan.scores"}
"""Entry point groups; the name of an entry point is the name of the rule."""


class UnknownRuleError(ValueError):
    """A rule that the settings choose is not installed; the text is one sentence that says which there are."""


def load_rules(filters: Collection[str] | None, scores: Collection[str] | None) -> OwnRules:
    """The rules of these names, None: all that are installed; those that cannot be loaded are among the troubles.

    Raises:
        UnknownRuleError: a name that no installed package offers.
    """
    troubles: list[RuleTrouble] = []
    return OwnRules(
        filters=_load("filter", filters, troubles),
        scores=_load("score", scores, troubles),
        troubles=tuple(troubles),
    )


def installed(kind: RuleKind) -> dict[str, list[EntryPoint]]:
    """What installed packages offer, by name, in the order of names."""
    found: dict[str, list[EntryPoint]] = {}
    for point in sorted(entry_points(group=GROUPS[kind]), key=lambda p: (p.name, p.value)):
        found.setdefault(point.name, []).append(point)
    return found


def _load(kind: RuleKind, chosen: Collection[str] | None, troubles: list[RuleTrouble]) -> tuple[OwnRule, ...]:
    offered = installed(kind)
    unknown = sorted(set(chosen or ()) - set(offered))
    if unknown:
        there = ", ".join(offered) or "none"
        raise UnknownRuleError(f"{kind}s: {unknown[0]!r}; installed: {there}")
    rules: list[OwnRule] = []
    for name, points in offered.items():
        if chosen is not None and name not in chosen:
            continue
        match _loaded(points):
            case str() as why:
                troubles.append(RuleTrouble(kind=kind, rule=name, why=why))
            case judge:
                rules.append(OwnRule(name, judge))
    return tuple(rules)


def _loaded(points: Sequence[EntryPoint]) -> Judge | str:
    """The function behind an entry point, or why it cannot be had."""
    if len({point.value for point in points}) > 1:
        return f"several packages offer it: {', '.join(point.value for point in points)}"
    point = points[0]
    try:
        judge: object = point.load()
    except (Exception, SystemExit) as err:  # noqa: BLE001  whatever a package does when it is imported
        return f"{point.value} cannot be loaded: {type(err).__name__}: {' '.join(str(err).split())}"
    if not callable(judge):
        return f"{point.value} is no function of a Question"
    return cast("Judge", judge)
