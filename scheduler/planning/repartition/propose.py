"""How GPUs whose MIG slices are made beforehand had better be divided for what waits. A proposal changes nothing."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from scheduler.model.names import NodeName, WorkloadKey
from scheduler.model.node import MigInstance
from scheduler.model.plan import Admit
from scheduler.model.snapshot import Snapshot
from scheduler.planning.cycle import plan
from scheduler.planning.repartition.after import divided_anew
from scheduler.planning.repartition.proposal import GpuChange, GpuLayout, NodeChange, Proposal, Served
from scheduler.planning.repartition.stock import Gpu, gpus_of
from scheduler.planning.repartition.wishes import Waiting, places_of, waiting_of
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.gangs.gang import Limits
from scheduler.scoring.own_rules import NO_RULES, OwnRules
from scheduler.scoring.sharing.mig import Layout
from scheduler.scoring.sharing.repack import Option, Repacked, RepackProblem, Stock

BUDGET_MS = 5000
"""Time for the solver, in milliseconds of its deterministic clock."""


def propose(
    snapshot: Snapshot,
    *,
    now_s: int,
    settings: PlanSettings,
    rules: OwnRules = NO_RULES,
    node: NodeName | None = None,
    moves: int = 0,
    budget_ms: int = BUDGET_MS,
) -> Proposal:
    """The layouts that serve most of what waits; of these the ones that move fewest instances in use, then lose least.

    `now_s`: seconds since 1970. `node`: only this one changes. `moves`: instances in use that may have to go.
    """
    planned = plan(snapshot, now_s=now_s, settings=settings, rules=rules)
    waiting = waiting_of(snapshot, planned.decisions)
    admitted = [each for each in planned.decisions if isinstance(each, Admit)]
    gpus, notes = gpus_of(snapshot, _given(snapshot, admitted), node)
    empty = Proposal(generation=snapshot.generation, waiting=sum(each.pods for each in waiting), notes=tuple(notes))
    if not waiting or not gpus:
        return empty
    problem, members = _problem(snapshot, waiting, gpus, moves)
    # Loading the solver takes half a second, which only those pay who need it.
    from scheduler.scoring.sharing.cpsat_repack import repack  # noqa: PLC0415

    answer = repack(problem, Limits(budget_ms=budget_ms, seed=settings.seed, workers=settings.workers))
    nodes = tuple(_changes(snapshot, gpus, _assigned(answer, members)))
    starts: tuple[WorkloadKey, ...] = ()
    if nodes and not answer.moved:
        after = plan(divided_anew(snapshot, nodes), now_s=now_s, settings=settings, rules=rules)
        before = {each.workload for each in admitted}
        then = [each.workload for each in after.decisions if isinstance(each, Admit)]
        starts = tuple(key for key in then if key not in before)
    return msgspec.structs.replace(
        empty,
        nodes=nodes,
        served=tuple(_served(waiting, answer)),
        starts=starts,
        moved=answer.moved,
        lost=answer.lost,
        proof=answer.proof,
    )


def _given(snapshot: Snapshot, admitted: Sequence[Admit]) -> Mapping[NodeName, Counter[str]]:
    """What pods get that start now, by node and resource: it is as good as in use."""
    shapes = {pod.uid: pod.shape for each in admitted for pod in snapshot.workloads[each.workload].members}
    found: dict[NodeName, Counter[str]] = {}
    for each in admitted:
        for assignment in each.placement.assignments:
            counts = found.setdefault(assignment.node, Counter())
            counts.update(dict(shapes[assignment.pod].requests.extended))
    return found


def _problem(
    snapshot: Snapshot, waiting: Sequence[Waiting], gpus: Sequence[Gpu], moves: int
) -> tuple[RepackProblem, list[list[Gpu]]]:
    """The problem, and the GPUs of each of its stocks; those on nodes without anything in use come first."""
    worth: Counter[NodeName] = Counter()
    busy: set[NodeName] = set()
    for gpu in gpus:
        worth[gpu.node] += len(gpu.idle) if gpu.fixed or gpu.held else 1
        if gpu.used or gpu.held:
            busy.add(gpu.node)
    places = places_of(snapshot, waiting, worth)
    alike: dict[Stock, list[Gpu]] = {}
    for gpu in sorted(gpus, key=lambda gpu: (gpu.node in busy, gpu.node, gpu.device)):
        if gpu.held or (gpu.fixed and not gpu.idle):
            continue
        stock = Stock(
            model=gpu.model,
            used=gpu.used,
            idle=gpu.idle,
            remade=True,
            divided=gpu.divided,
            fixed=gpu.fixed,
            place=places.of_node[gpu.node],
        )
        alike.setdefault(stock, []).append(gpu)
    stocks = tuple(msgspec.structs.replace(stock, count=len(members)) for stock, members in alike.items())
    return RepackProblem(stocks=stocks, wishes=places.wishes, most_moves=moves), list(alike.values())


def _assigned(answer: Repacked, members: Sequence[Sequence[Gpu]]) -> Mapping[tuple[NodeName, int], Option]:
    """What becomes of which GPU."""
    left = [iter(some) for some in members]
    found: dict[tuple[NodeName, int], Option] = {}
    for change in answer.changes:
        for _ in range(change.count):
            gpu = next(left[change.stock])
            found[gpu.node, gpu.device] = change.option
    return found


def _changes(
    snapshot: Snapshot, gpus: Sequence[Gpu], chosen: Mapping[tuple[NodeName, int], Option]
) -> Iterator[NodeChange]:
    for name in dict.fromkeys(gpu.node for gpu in gpus if (gpu.node, gpu.device) in chosen):
        own = [gpu for gpu in gpus if gpu.node == name]
        holders = _holders(snapshot, name)
        changes: list[GpuChange] = []
        layouts: list[GpuLayout] = []
        for gpu in own:
            option = chosen.get((name, gpu.device))
            after = gpu.layout if option is None else _layout(gpu, option.layout, whole=option.whole)
            layouts.append(after)
            if option is not None:
                held = [(gpu.device, start) for _, start in option.leaving]
                pods = sorted({holders.get(spot, "a pod that nobody named") for spot in held})
                changes.append(GpuChange(before=gpu.layout, after=after, leaving=tuple(pods)))
        idle = not any(gpu.used or gpu.held for gpu in own)
        yield NodeChange(node=name, changes=tuple(changes), gpus=tuple(layouts), idle=idle)


def _layout(gpu: Gpu, layout: Layout, *, whole: bool) -> GpuLayout:
    instances = tuple(
        MigInstance(device=gpu.device, profile=gpu.model.profiles[profile].name, start=start, in_use=False)
        for start, profile in sorted((start, profile) for profile, start in layout)
    )
    return GpuLayout(device=gpu.device, product=gpu.product, divided=not whole, instances=instances)


def _holders(snapshot: Snapshot, node: NodeName) -> dict[tuple[int, int], str]:
    """Whose the instances of a node are, as `namespace/name`, by device and start, as far as that is known."""
    return {
        (one.device, one.start): f"{pod.namespace}/{pod.name}"
        for workload in snapshot.workloads.values()
        for pod in workload.members
        if pod.node == node
        for one in pod.slices
    }


def _served(waiting: Sequence[Waiting], answer: Repacked) -> Iterator[Served]:
    """Whom the answer serves: of pods that wait alike those that come first."""
    for each, count in zip(waiting, answer.served, strict=True):
        left = count
        for key, pods in each.workloads:
            if left:
                yield Served(workload=key, profile=each.want.profile, pods=min(pods, left), each=each.want.each)
                left -= min(pods, left)
