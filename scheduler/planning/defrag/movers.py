"""Which running work may move, at what price, and what it needs elsewhere."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from scheduler.model.names import WorkloadKey
from scheduler.model.resources import GPU
from scheduler.model.snapshot import Snapshot, amount_of
from scheduler.model.workload import Pod, PodShape, Workload
from scheduler.planning.candidate import Candidate, candidate_of
from scheduler.planning.defrag.lifted import lifted
from scheduler.planning.desk import Desk
from scheduler.planning.screen import screen
from scheduler.planning.settings import PlanSettings
from scheduler.quota.usage import opening_ledger
from scheduler.scoring.fleet import Fleet, Mask
from scheduler.scoring.gangs.gang import Ask
from scheduler.scoring.gangs.problem import model_choices, usable
from scheduler.scoring.moves.moves import Bundle, Kind, Mover
from scheduler.scoring.own_rules import NO_RULES, OwnRules
from scheduler.scoring.topology import domains


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What all of one search for moves works on. `rules`: those of the administrator's own."""

    snapshot: Snapshot
    fleet: Fleet
    now_s: int
    settings: PlanSettings
    rules: OwnRules = NO_RULES

    def desk(self, snapshot: Snapshot) -> Desk:
        """A desk to place work at, on a variant of the snapshot."""
        return Desk(
            snapshot,
            self.fleet,
            opening_ledger(snapshot),
            now_s=self.now_s,
            settings=self.settings,
            rules=self.rules,
        )


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """`movers[i]` is the workload `keys[i]`. `stays`: why other running work does not move.

    `desk`: where all movers have left their nodes. `unit`: prices are lost GPU-seconds times this, and pods.
    """

    movers: tuple[Mover, ...]
    keys: tuple[WorkloadKey, ...]
    stays: Mapping[WorkloadKey, str]
    desk: Desk
    unit: int


def pool_of(scene: Scene) -> Pool:
    """All work that may move, by key."""
    snapshot = scene.snapshot
    stays: dict[WorkloadKey, str] = {}
    keys: list[WorkloadKey] = []
    for key, workload in sorted(snapshot.workloads.items()):
        if workload.placed:
            why = _why_it_stays(snapshot, workload)
            if why is None:
                keys.append(key)
            else:
                stays[key] = why
    base = lifted(snapshot, keys)
    candidates = {key: candidate for key in keys if (candidate := candidate_of(base.workloads[key])) is not None}
    for key, candidate in candidates.items():
        refusal = screen(base, scene.fleet, candidate)
        if refusal is not None:
            stays[key] = f"it could not start again: {refusal.message}"
    if stays.keys() & candidates.keys():
        keys = [key for key in keys if key not in stays]
        base = lifted(snapshot, keys)
    desk = scene.desk(base)
    unit = 1 + sum(len(base.workloads[key].members) for key in keys)
    kinds = _Kinds(desk)
    movers = tuple(
        _mover(scene, desk, kinds, snapshot.workloads[key], candidates[key], lost_gpu_seconds, unit)
        for key in keys
        for lost_gpu_seconds in [lost(snapshot.workloads[key].placed, scene.now_s)]
    )
    return Pool(movers=movers, keys=tuple(keys), stays=stays, desk=desk, unit=unit)


def lost(pods: Iterable[Pod], now_s: int) -> int:
    """GPU-seconds since each of these pods got its node: what is lost if they start anew."""
    return sum(pod.shape.milli_gpu * running_s(pod, now_s) for pod in pods) // 1000


def running_s(pod: Pod, now_s: int) -> int:
    """For how long a pod has had its node; since its creation where that is not known."""
    return max(0, now_s - (pod.created_s if pod.bound_s is None else pod.bound_s))


def _why_it_stays(snapshot: Snapshot, workload: Workload) -> str | None:
    """Why this work never moves; None where it may."""
    pods = workload.placed
    if not workload.preemptible:
        return "it is not preemptible"
    if workload.key in snapshot.in_flight:
        return "it is being started"
    if any(pod.deleting for pod in workload.members):
        return "part of it is leaving already"
    if workload.lacking(pods):
        return "part of it is missing"
    if any(pod.shape.scheduler_rules for pod in pods):
        return "it has rules that only kube-scheduler can judge"
    for pod in pods:
        node = None if pod.node is None else snapshot.nodes.get(pod.node)
        if node is None:
            return "it stands on a node that is not known"
        if (node.mig_on_demand or node.shares_on_demand) and (
            pod.shape.requests.shared_gpus or pod.shape.requests.mig_slices
        ):
            return "it has parts of GPUs that are divided on demand"
    return None


class _Kinds:
    """One record for all pods that are equal in what they ask for and where they may go."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._known: dict[object, Kind] = {}

    def of(self, candidate: Candidate, shape: PodShape, ask: Ask) -> Kind:
        workload = candidate.workload
        key = (shape, workload.queue, workload.avoid, candidate.milli_gpu)
        kind = self._known.get(key)
        if kind is None:
            fits = self._desk.room.view(shape).fits
            kind = self._known[key] = kind_of(self._desk, shape, fits, ask.allowed)
        return kind


def kind_of(desk: Desk, shape: PodShape, fits: np.ndarray, allowed: Mask | None = None) -> Kind:
    """The pods of `shape`, where `fits` says how many each node takes.

    Parts of GPUs and MIG slices of nodes that divide their GPUs on demand are in no column: there `fits` has to do.
    """
    requests = shape.requests
    if (requests.shared_gpus or requests.mig_slices) and _any_divides(desk.snapshot):
        kept = tuple((name, n) for name, n in requests.extended if name == GPU)
        requests = msgspec.structs.replace(requests, extended=kept)
    return Kind(
        demand=tuple(desk.room.demand(requests) or ()),
        fits=fits.copy() if allowed is None else np.where(allowed, fits, 0),
        gpu_column=desk.room.column(GPU),
    )


def _any_divides(snapshot: Snapshot) -> bool:
    return any(node.mig_on_demand or node.shares_on_demand for node in snapshot.nodes.values())


def seat_of(desk: Desk, candidate: Candidate) -> Bundle:
    """What the pending members of a waiting workload need, those that stand considered."""
    ask = desk.ask(candidate)
    kinds = [kind_of(desk, shape, fits) for (shape, _), fits in zip(ask.groups, usable(desk.room, ask), strict=True)]
    return _bundle(desk, ask, kinds)


def _bundle(desk: Desk, ask: Ask, kinds: Sequence[Kind]) -> Bundle:
    shapes = [shape for shape, _ in ask.groups]
    choices = [mask for mask in model_choices(desk.room, shapes, ask.standing) if mask is not None]
    fleet = desk.fleet
    return Bundle(
        kinds=tuple((kind, count) for kind, (_, count) in zip(kinds, ask.groups, strict=True)),
        required=None if ask.required is None else domains(fleet, ask.required).codes,
        # Where members stand, what is missing of a slice goes where the rest of it is, which is not counted here.
        slices=() if ask.standing else tuple((domains(fleet, level).codes, size) for level, size in ask.slices),
        choices=tuple(choices),
        choosy=tuple(shape.requests.wants_devices and len(shape.models) > 1 for shape in shapes),
    )


def _mover(
    scene: Scene,
    desk: Desk,
    kinds: _Kinds,
    workload: Workload,
    candidate: Candidate,
    lost_gpu_seconds: int,
    unit: int,
) -> Mover:
    columns = scene.snapshot.columns
    use: dict[int, dict[int, int]] = {}
    holds: set[int] = set()
    for pod in workload.placed:
        row = columns.row_of[pod.node] if pod.node is not None else -1
        amounts = use.setdefault(row, {})
        for column, resource in enumerate(columns.resources):
            n = amount_of(pod.shape.requests, resource)
            if n:
                amounts[column] = amounts.get(column, 0) + n
        if pod.shape.requests.wants_devices:
            holds.add(row)
    ask = desk.ask(candidate)
    return Mover(
        price=lost_gpu_seconds * unit + len(workload.placed),
        use={row: tuple(sorted(amounts.items())) for row, amounts in use.items()},
        holds=frozenset(holds),
        bundle=_bundle(desk, ask, [kinds.of(candidate, shape, ask) for shape, _ in candidate.groups]),
    )
