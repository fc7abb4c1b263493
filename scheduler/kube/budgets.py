"""Which PodDisruptionBudget would not let all of some pods go: the API server judges one eviction at a time."""

from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote

import msgspec

from scheduler.kube.api import ApiRefusedError, ApiUnreachableError
from scheduler.kube.effects import PodRef, Requests
from scheduler.kube.wire import Condition, Wire, WireList


class Overdrawn(msgspec.Struct, frozen=True, kw_only=True):
    """A budget, as `namespace/name`, that lets `allowed` of its pods go now; `pods` are those that were to."""

    name: str
    allowed: int
    pods: frozenset[PodRef]

    def __str__(self) -> str:
        """One sentence for people."""
        return f"PodDisruptionBudget {self.name} lets {self.allowed} of its pods go now; {len(self.pods)} would have to"


class _Expression(Wire, frozen=True, kw_only=True):
    key: str
    operator: str
    values: tuple[str, ...] = ()


class _Selector(Wire, frozen=True, kw_only=True):
    match_labels: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    match_expressions: tuple[_Expression, ...] = ()


class _Name(Wire, frozen=True, kw_only=True):
    name: str = ""
    uid: str = ""


class _BudgetSpec(Wire, frozen=True, kw_only=True):
    selector: _Selector | None = None


class _BudgetStatus(Wire, frozen=True, kw_only=True):
    disruptions_allowed: int = 0


class _Budget(Wire, frozen=True, kw_only=True):
    metadata: _Name
    spec: _BudgetSpec = _BudgetSpec()
    status: _BudgetStatus = _BudgetStatus()


class _Conditions(Wire, frozen=True, kw_only=True):
    conditions: tuple[Condition, ...] = ()


class _Pod(Wire, frozen=True, kw_only=True):
    metadata: _Name
    status: _Conditions = _Conditions()


async def overdrawn(api: Requests, pods: Sequence[PodRef]) -> Overdrawn | None:
    """The first budget, by namespace and name, that has fewer disruptions left than these pods need; None: all do.

    Pods that are not ready take nothing from a budget. Where budgets cannot be read, or understood, none is found: each
    eviction is judged by the API server all the same.
    """
    for namespace in sorted({pod.namespace for pod in pods}):
        there = {pod.uid: pod for pod in pods if pod.namespace == namespace}
        try:
            path = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
            listed = msgspec.json.decode((await api.request("GET", path)).body, type=WireList[_Budget])
            for budget in sorted(listed.items, key=lambda budget: budget.metadata.name):
                allowed = budget.status.disruptions_allowed
                if budget.spec.selector is None or allowed >= len(there):
                    continue
                selected = await _selected(api, namespace, budget.spec.selector)
                short = frozenset(pod for uid, pod in there.items() if uid in selected)
                if len(short) > allowed:
                    return Overdrawn(name=f"{namespace}/{budget.metadata.name}", allowed=allowed, pods=short)
        except (ApiUnreachableError, ApiRefusedError, msgspec.DecodeError):
            continue
    return None


async def _selected(api: Requests, namespace: str, selector: _Selector) -> set[str]:
    """The uids of the ready pods that a selector chooses."""
    query = quote(",".join(_terms(selector)))
    response = await api.request("GET", f"/api/v1/namespaces/{namespace}/pods?labelSelector={query}")
    listed = msgspec.json.decode(response.body, type=WireList[_Pod])
    return {pod.metadata.uid for pod in listed.items if _is_ready(pod.status.conditions)}


def _terms(selector: _Selector) -> Iterator[str]:
    """A selector in the form of a query, by the rules of `kubectl get -l`."""
    yield from (f"{key}={value}" for key, value in sorted(selector.match_labels.items()))
    for each in selector.match_expressions:
        match each.operator:
            case "In" | "NotIn":
                yield f"{each.key} {each.operator.lower()} ({','.join(each.values)})"
            case "Exists":
                yield each.key
            case _:
                yield f"!{each.key}"


def _is_ready(conditions: Iterable[Condition]) -> bool:
    return any(condition.type == "Ready" and condition.status == "True" for condition in conditions)
