"""Filters and scores of the administrator's own: each judges all nodes at once for one kind of pod.

A rule is a function of a `Question`. A filter answers with a bool for each node, whether the pod may stand there; a
score with a whole number or a float for each node, more is better. Filters narrow what may be chosen, scores order
what is equal otherwise, so no rule can break another. A rule that raises, or answers with anything else, is left out
for the rest of the plan: such a filter lets every node pass, such a score counts 0 everywhere.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

import msgspec
import numpy as np
import numpy.typing as npt

from scheduler.model.names import NodeName
from scheduler.model.plan import RuleTrouble
from scheduler.model.snapshot import BASE_RESOURCES, IntTable, Snapshot, amount_of
from scheduler.model.workload import Linked, PodShape
from scheduler.scoring.fleet import Column, Fleet, Mask

Scores = npt.NDArray[np.float64]
RuleKind = Literal["filter", "score"]

MOST = 2**53
"""Scores are summed as float64, which is exact for whole numbers up to here."""


class PodFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule is told of a pod; equal for all pods that are planned together.

    `requests`: amounts above zero by resource, in the units of `Question.resources`. `models`: the accepted GPU
    models; empty accepts any. `share_milli`: the part of one GPU that each `nvidia.com/gpu.shared` stands for.
    """

    requests: Mapping[str, int]
    models: tuple[str, ...]
    linked: Linked
    node_selector: Mapping[str, str]
    share_milli: int


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """All nodes as columns, in the order of `names`, and the pod. Arrays are read-only.

    `resources` names the columns of `allocatable` and `used`: `milli_cpu`, `memory_bytes`, `ephemeral_bytes` and
    `pods`, then extended resources such as `nvidia.com/gpu`. Both tables are as the plan found them, what the plan
    itself gave away not counted. `usable`: ready and not cordoned. `products`: the GPU product of each node, as in
    `label`. `label(key)`: the values of a node label, `values[codes[i]]` for node i, and code -1 where it is absent.
    """

    names: tuple[NodeName, ...]
    resources: tuple[str, ...]
    allocatable: IntTable
    used: IntTable
    usable: Mask
    products: Column
    label: Callable[[str], Column]
    pod: PodFacts

    def free(self, resource: str) -> npt.NDArray[np.int64]:
        """How much of a resource is free on each node; 0 where no node has it, negative where more is used than is."""
        if resource not in self.resources:
            return np.zeros(len(self.names), dtype=np.int64)
        column = self.resources.index(resource)
        return self.allocatable[:, column] - self.used[:, column]

    def has_label(self, key: str, value: str) -> Mask:
        """The nodes whose label `key` is `value`."""
        return self.by_label(key, lambda text: text == value, absent=False)

    def by_label(self, key: str, judge: Callable[[str], bool], *, absent: bool) -> Mask:
        """`judge` of each distinct value of a label, spread over the nodes; `absent` where the label is missing."""
        column = self.label(key)
        # Code -1 reads the last entry.
        return np.array([*(judge(value) for value in column.values), absent], dtype=np.bool_)[column.codes]

    def number(self, key: str, *, absent: float) -> Scores:
        """A label's values as numbers; `absent` where the label is missing or no finite number."""
        column = self.label(key)
        return np.array([*(_number(value, absent) for value in column.values), absent])[column.codes]


Judge = Callable[[Question], Any]
"""A rule: see `Question` for what it gets, and the module for what it answers."""


class OwnRule(msgspec.Struct, frozen=True):
    """A rule by the name that its entry point has."""

    name: str
    judge: Judge


class OwnRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules that take part, by name; `troubles`: those that could not be loaded."""

    filters: tuple[OwnRule, ...] = ()
    scores: tuple[OwnRule, ...] = ()
    troubles: tuple[RuleTrouble, ...] = ()


NO_RULES = OwnRules()


class Panel:
    """The rules at work in one plan: asked once for each kind of pod, and no more once they failed."""

    def __init__(self, rules: OwnRules, snapshot: Snapshot, fleet: Fleet) -> None:
        self._rules = rules
        self._snapshot = snapshot
        self._fleet = fleet
        self._failed: dict[tuple[RuleKind, str], RuleTrouble] = {}
        self._masks: dict[PodShape, tuple[tuple[str, Mask], ...]] = {}
        self._scores: dict[PodShape, Scores | None] = {}

    @property
    def troubles(self) -> tuple[RuleTrouble, ...]:
        """The rules that are left out, in the order in which they failed."""
        return (*self._rules.troubles, *self._failed.values())

    def masks(self, shape: PodShape) -> tuple[tuple[str, Mask], ...]:
        """For each filter by name the nodes that it lets the pod stand on."""
        if not self._rules.filters:
            return ()
        known = self._masks.get(shape)
        if known is None:
            question = self._question(shape)
            asked = (
                (rule.name, self._ask("filter", rule, question, np.dtype(np.bool_))) for rule in self._rules.filters
            )
            known = self._masks[shape] = tuple((name, mask) for name, mask in asked if mask is not None)
        return known

    def narrow(self, shape: PodShape, mask: Mask) -> Mask:
        """`mask` without the nodes that some filter refuses."""
        for _, each in self.masks(shape):
            mask = mask & each
        return mask

    def scores(self, shape: PodShape) -> Scores | None:
        """The sum of all scores of each node; None where there is none."""
        if not self._rules.scores:
            return None
        if shape not in self._scores:
            question = self._question(shape)
            asked = [self._ask("score", rule, question, None) for rule in self._rules.scores]
            found = [scores.astype(np.float64) for scores in asked if scores is not None]
            self._scores[shape] = np.add.reduce(found) if found else None
        return self._scores[shape]

    def _question(self, shape: PodShape) -> Question:
        columns = self._snapshot.columns
        requests = {name: n for name in BASE_RESOURCES if (n := amount_of(shape.requests, name))}
        return Question(
            names=columns.names,
            resources=columns.resources,
            allocatable=_locked(columns.allocatable),
            used=_locked(columns.used),
            usable=_locked(columns.usable),
            products=self._fleet.products,
            label=self._fleet.label,
            pod=PodFacts(
                requests={**requests, **dict(shape.requests.extended)},
                models=shape.models,
                linked=shape.linked,
                node_selector=dict(shape.node_selector),
                share_milli=shape.share_milli,
            ),
        )

    def _ask(
        self, kind: RuleKind, rule: OwnRule, question: Question, wanted: np.dtype[np.bool_] | None
    ) -> npt.NDArray[Any] | None:
        """The rule's answer; None where it has failed, now or earlier in this plan."""
        if (kind, rule.name) in self._failed:
            return None
        try:
            answer = rule.judge(question)
            why = _wrong(answer, len(question.names), wanted)
        except (Exception, SystemExit) as err:  # noqa: BLE001  whatever the rule does, the others and the plan go on
            answer, why = None, f"it raised {type(err).__name__}: {' '.join(str(err).split())}"
        if why is not None:
            self._failed[kind, rule.name] = RuleTrouble(kind=kind, rule=rule.name, why=why)
            return None
        return np.array(answer)


def _wrong(answer: object, nodes: int, wanted: np.dtype[np.bool_] | None) -> str | None:
    """Why an answer cannot be used; None where it can."""
    what = "an array of bool" if wanted is not None else "an array of int64 or float64"
    if not isinstance(answer, np.ndarray):
        return f"it answered with a {type(answer).__name__}; allowed: {what}"
    array = cast("npt.NDArray[Any]", answer)
    if array.shape != (nodes,):
        return f"it answered with the shape {array.shape}; allowed: {(nodes,)}, one value a node"
    if array.dtype not in ((wanted,) if wanted is not None else (np.dtype(np.int64), np.dtype(np.float64))):
        return f"it answered with an array of {array.dtype}; allowed: {what}"
    if not ((array >= -MOST) & (array <= MOST)).all():
        return f"it answered with a score that is not between {-MOST} and {MOST}"
    return None


def _locked(table: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view that cannot be written through."""
    view = table.view()
    view.setflags(write=False)
    return view


def _number(text: str, absent: float) -> float:
    try:
        number = float(text)
    except ValueError:
        return absent
    return number if np.isfinite(number) else absent
