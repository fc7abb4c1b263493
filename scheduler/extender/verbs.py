"""The verbs as pure functions: what was asked and the ruling on the pod, to the answer.

No answer names a node that was not asked about, and none has a null where kube-scheduler expects a list or an object.
Messages are constant: they end up in the pod's condition, and a condition that changes wakes the pod again.
"""

from collections.abc import Mapping, Sequence
from typing import assert_never

import msgspec

from scheduler.extender.guard import Offered, Planned, Ruling, Untouched, Waiting
from scheduler.extender.wire import FilterResult, HostPriority, MetaVictims, PreemptResult
from scheduler.model.names import NodeName

WAITS = "waiting for its plan (bayplan explain shows why)"
PLANNED_ELSEWHERE = "its plan has another node (bayplan explain shows which)"
NOT_OFFERED = "its quota and devices allow other nodes only (bayplan explain shows which)"

PLANNED_SCORE = 1000
"""Beats every in-tree score from an extender of weight 1.

kube-scheduler adds score x weight x 10 to at most 100 for each unit of plugin weight, 14 units by default
(schedule_one.go:1019-1034, default_plugins.go:30-90).
"""


class FilterAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `filter`, and the planned node where kube-scheduler's own filters had refused it."""

    result: FilterResult
    refused: NodeName | None = None


def filter_nodes(ruling: Ruling, names: Sequence[str], nominated: str) -> FilterAnswer:
    """Which of `names` the pod may use; `nominated` is the nominated node of the pod in the request, or empty.

    Nodes are listed as failed only where none is left: one left out counts as unresolvable without a message
    (pkg/scheduler/framework/interface.go:43-45), and the message matters only to a pod that found nothing.

    A single name that is the nominated node is kube-scheduler's try of that node alone (schedule_one.go:720-751). Is it
    not the planned one, then the nomination is old, and says nothing of the planned node.
    """
    match ruling:
        case Untouched():
            return FilterAnswer(result=FilterResult(node_names=names))
        case Waiting():
            return FilterAnswer(result=_none_of(names, WAITS))
        case Planned(node=node):
            if node in names:
                return FilterAnswer(result=FilterResult(node_names=(node,)))
            alone = len(names) == 1 and names[0] == nominated
            return FilterAnswer(result=_none_of(names, PLANNED_ELSEWHERE), refused=None if alone or not names else node)
        case Offered(scores=scores):
            allowed = [name for name in names if name in scores]
            return FilterAnswer(result=FilterResult(node_names=allowed) if allowed else _none_of(names, NOT_OFFERED))
        case _:
            assert_never(ruling)


def prioritize(ruling: Ruling, names: Sequence[str]) -> Sequence[HostPriority]:
    """Scores of those of `names` the ruling speaks of; the others count as 0 (schedule_one.go:1036-1044)."""
    match ruling:
        case Untouched() | Waiting():
            return ()
        case Planned(node=node):
            return (HostPriority(host=node, score=PLANNED_SCORE),) if node in names else ()
        case Offered(scores=scores):
            return [HostPriority(host=name, score=scores[NodeName(name)]) for name in names if name in scores]
        case _:
            assert_never(ruling)


def preempt(ruling: Ruling, victims: Mapping[str, MetaVictims | None]) -> PreemptResult:
    """Vetoes in-tree preemption for pods that are planned, and passes it for all others.

    Entries that are null or name no victim are left out: kube-scheduler ends in a panic on the first and in an error
    on the second.
    """
    match ruling:
        case Planned() | Offered() | Waiting():
            return PreemptResult()
        case Untouched():
            return PreemptResult(node_name_to_meta_victims={n: v for n, v in victims.items() if v and v.pods})
        case _:
            assert_never(ruling)


def _none_of(names: Sequence[str], why: str) -> FilterResult:
    return FilterResult(failed_and_unresolvable_nodes=dict.fromkeys(names, why))
