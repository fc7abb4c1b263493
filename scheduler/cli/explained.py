"""What `bayplan explain` says: found in a snapshot and a plan of it, or in the service's answer."""

import difflib
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, assert_never

import msgspec

from scheduler.cli.output import facts
from scheduler.kube.keys import DEVICE_CLASS
from scheduler.kube.translate_claim import BY_CLASS
from scheduler.model.names import NodeName, WorkloadKey, gang_key, people_name, pod_key
from scheduler.model.plan import Admit, Decision, Offer, Plan, Reason, Reclaim, Reservation, RollBack, Wait
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod, Workload
from scheduler.planning.reasons.assumed import assumed_lines
from scheduler.planning.reasons.explain import explain, in_the_way, rule_lines
from scheduler.planning.reasons.failing import failing, failing_lines
from scheduler.planning.reasons.wording import lasting, listed
from scheduler.planning.reserve.text import learned_from

State = Literal["running", "starting", "waiting", "leaving", "not planned"]

OUR_CLASS = BY_CLASS + DEVICE_CLASS
"""A claim of our class as a resource of a container: kube-scheduler makes such claims, and fills none (KEP-5004)."""

NEAR_NAMES = 3
NODES_SHOWN = 12


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """When what waits is expected to start, in seconds since 1970: in half of all cases, and in nine of ten.

    `learned_runs`: the fewest earlier runs that one of the ends it depends on was learned from, 0 where none was.
    `sure`: all ends that it depends on were told. `after`: the work whose end it waits for last. `nodes`: where room is
    kept for it. `in_s` is how far off the start was when it was worked out.
    """

    start_s: int
    latest_s: int
    in_s: int
    sure: bool
    after: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    learned_runs: int = 0


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One workload, or a pod that is none, in words and in fields.

    `state`: `running`, all its pods have nodes; `starting`, nothing stands in its way; `waiting`, `reason` and the
    fields after it say for what, and `start` when it is expected to start, if that is known; `leaving`, what stands of
    it is taken back; `not planned`, Bayplan does not place it.
    `lines` tell all of it to people; `notes` are those of them on words that are not honoured, and on the plan.
    `pods` of `size` are there, `placed` of them on `nodes`. None, where the service that was asked does not say.
    """

    kind: Literal["gang", "pod"]
    name: str
    state: State
    lines: tuple[str, ...]
    notes: tuple[str, ...] = ()
    queue: str | None = None
    priority: int | None = None
    size: int | None = None
    pods: int | None = None
    placed: int | None = None
    reason: str | None = None
    message: str = ""
    detail: str = ""
    blocking: tuple[str, ...] = ()
    unblock: str = ""
    start: Start | None = None
    nodes: Mapping[str, tuple[str, ...]] = {}


class NotFound(msgspec.Struct, frozen=True, kw_only=True):
    """There is nothing of that name; `near` are names like it, `elsewhere` namespaces that have it."""

    namespace: str
    name: str
    near: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One sentence for people."""
        said = f"nothing called {self.name!r} waits or runs in the namespace {self.namespace!r}"
        if self.elsewhere:
            return f"{said}, but in {' and '.join(self.elsewhere)} (-n NAMESPACE)"
        if self.near:
            return f"{said}; names like it: {', '.join(self.near)}"
        return said


def find(
    snapshot: Snapshot, plan: Plan, pods: Sequence[Pod], namespace: str, name: str
) -> list[Explanation] | NotFound:
    """What is known of `name`: a pod, a gang, or a Job or other owner of pods. `pods` are all that there are."""
    here = [pod for pod in pods if pod.namespace == namespace]
    decisions = {d.workload: d for d in plan.decisions}
    keys = _keys(snapshot, here, namespace, name)
    if keys:
        notes = tuple(rule_lines(plan))
        found = [_workload(snapshot, snapshot.workloads[key], decisions.get(key)) for key in keys]
        return (
            [msgspec.structs.replace(one, lines=(*one.lines, *notes), notes=(*one.notes, *notes)) for one in found]
            if notes
            else found
        )
    unplanned = [pod for pod in here if name in (pod.name, pod.owner_name)]
    if unplanned:
        return [_unplanned(pod) for pod in unplanned]
    known = {n for pod in here for n in _names(pod)}
    return NotFound(
        namespace=namespace,
        name=name,
        near=tuple(difflib.get_close_matches(name, sorted(known), n=NEAR_NAMES)),
        elsewhere=tuple(sorted({pod.namespace for pod in pods if name in _names(pod)})),
    )


def people_text(found: Explanation, *, width: int | None = None) -> str:
    """The explanation as people read it: a sentence, then what is in the way and what helps, then the facts.

    `width`: columns of the terminal; None leaves lines as long as they are.
    """
    if found.state == "not planned":
        return "\n".join(found.lines)
    first, *more = (_sentence(found), *found.notes) if found.message else found.lines
    told = facts(
        {
            "now": found.detail,
            "it helps": found.unblock,
            "starts": _starts(found),
            "queue": found.queue or "none",
            "priority": "" if found.priority is None else str(found.priority),
            "pods": _counted(found),
            "nodes": _nodes(found),
        }
    )
    return "\n".join(line for text in (first, *more, *told.splitlines()) for line in _wrapped(text, width))


def _sentence(found: Explanation) -> str:
    """What it waits for, with the smallest set of things in its way; of what runs with fewer pods, that."""
    way = f" ({'; '.join(found.blocking)})" if found.blocking else ""
    if found.reason == Reason.RUNS_WITH_FEWER.value:
        return f"{found.name} {found.message}{way}."
    return f"{found.name} waits: {found.message}{way}."


def _starts(found: Explanation) -> str:
    start = found.start
    if start is None:
        return ""
    said = f"in about {lasting(start.in_s)}"
    if start.after:
        said += f", when {listed(list(start.after))} {'ends' if len(start.after) == 1 else 'end'}"
    if start.learned_runs:
        said += f", {learned_from(start.learned_runs)}"
    if start.latest_s > start.start_s:
        said += f"; nine times in ten within {lasting(start.latest_s - start.start_s + start.in_s)}"
    elif not start.sure and not start.learned_runs:
        said += "; what runs there has outlived what was said of it"
    return f"{said}; room is kept on {_some(list(start.nodes))}" if start.nodes else said


def _counted(found: Explanation) -> str:
    counted = found.kind == "gang" and found.size is not None
    return f"{found.pods} of {found.size} there, {found.placed} on nodes" if counted else ""


def _nodes(found: Explanation) -> str:
    gang = (found.size or 1) > 1
    return _some([f"{node} ({' '.join(pods)})" if gang else node for node, pods in found.nodes.items()])


def _some(nodes: list[str]) -> str:
    more = len(nodes) - NODES_SHOWN
    return ", ".join(nodes[:NODES_SHOWN] + ([f"and {more} more"] if more > 0 else []))


def _wrapped(line: str, width: int | None) -> list[str]:
    """A line broken between words; of a fact, under where its value begins."""
    if width is None or len(line) <= width:
        return [line]
    named = re.match(r"[a-z ]+: +", line)
    indent = " " * (named.end() if named is not None else 0)
    return textwrap.wrap(line, max(width, 40), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _start(kept: Reservation) -> Start:
    return Start(
        start_s=kept.start_s,
        latest_s=kept.latest_s,
        in_s=kept.start_s - kept.made_s,
        sure=kept.sure,
        after=tuple(people_name(key) for key in kept.after),
        nodes=kept.nodes,
        learned_runs=kept.learned_runs,
    )


def _names(pod: Pod) -> Iterable[str]:
    gang = (pod.gang.name,) if pod.gang is not None else ()
    return {pod.name, *gang, *((pod.owner_name,) if pod.owner_name else ())}


def _keys(snapshot: Snapshot, here: Sequence[Pod], namespace: str, name: str) -> list[WorkloadKey]:
    """The workloads that `name` means: a pod's own or its gang's, a gang's, or those of an owner's pods."""
    of_pod = {pod.uid: key for key, workload in snapshot.workloads.items() for pod in workload.members}
    named = [of_pod[pod.uid] for pod in here if pod.name == name and pod.uid in of_pod]
    for key in (*named, gang_key(namespace, name), pod_key(namespace, name)):
        if key in snapshot.workloads:
            return [key]
    owned = [of_pod[pod.uid] for pod in here if pod.owner_name == name and pod.uid in of_pod]
    described = [key for key in snapshot.workloads if key.startswith(f"gang:{namespace}/")]
    return list(dict.fromkeys(owned or [key for key in described if name in key.split("/")[2:]]))


def _workload(snapshot: Snapshot, workload: Workload, decision: Decision | None) -> Explanation:
    nodes: dict[str, tuple[str, ...]] = {}
    for pod in workload.placed:
        nodes[str(pod.node)] = (*nodes.get(str(pod.node), ()), pod.name)
    found = Explanation(
        kind="gang" if workload.is_gang else "pod",
        name=people_name(workload.key),
        state="running",
        lines=(f"{people_name(workload.key)} runs.",),
        queue=workload.queue,
        priority=workload.priority,
        size=workload.size,
        pods=len(workload.pending) + len(workload.placed),
        placed=len(workload.placed),
        nodes=dict(sorted(nodes.items())),
    )
    found = found if decision is None else _decided(found, decision)
    places = decision.placement.assignments if isinstance(decision, Admit | Reclaim) else ()
    stands = [*(NodeName(node) for node in nodes), *(assignment.node for assignment in places)]
    assumed = (f"{line}." for line in assumed_lines(snapshot, workload, stands))
    more = (*failing_lines(failing(snapshot, workload)), *assumed, *workload.notes)
    return msgspec.structs.replace(found, lines=(*found.lines, *more), notes=more) if more else found


def _decided(found: Explanation, decision: Decision) -> Explanation:
    lines = tuple(explain(decision))
    match decision:
        case Admit() | Offer() | Reclaim():
            return msgspec.structs.replace(found, state="starting", lines=lines)
        case RollBack():
            return msgspec.structs.replace(found, state="leaving", lines=lines)
        case Wait():
            return msgspec.structs.replace(
                found,
                state="running" if decision.reason is Reason.RUNS_WITH_FEWER else "waiting",
                lines=lines,
                reason=decision.reason.value,
                message=decision.message,
                detail=decision.detail,
                blocking=tuple(in_the_way(blocker) for blocker in decision.blocking),
                unblock=decision.unblock,
                start=None if decision.reservation is None else _start(decision.reservation),
            )
        case _:
            assert_never(decision)


def _unplanned(pod: Pod) -> Explanation:
    name = f"{pod.namespace}/{pod.name}"
    why = "it asks for no GPU and belongs to no gang" if pod.ours else "it names another scheduler"
    if pod.ours and any(resource == OUR_CLASS for resource, _ in pod.shape.requests.extended):
        why = f"it asks for {OUR_CLASS}, which nobody gives out; it has to name a ResourceClaim of {DEVICE_CLASS}"
    where = f" It is on {pod.node}." if pod.node is not None else ""
    return Explanation(
        kind="pod",
        name=name,
        state="not planned",
        lines=(f"{name} is not planned by Bayplan: {why}.{where}",),
        priority=pod.priority,
        size=1,
        pods=1,
        placed=int(pod.node is not None),
        nodes={} if pod.node is None else {str(pod.node): (pod.name,)},
    )
