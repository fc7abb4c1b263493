"""Moves on random small clusters: never dearer than the cheapest that trying everything finds."""

import itertools
from collections.abc import Iterator, Mapping

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.names import NodeName
from scheduler.model.resources import GPU
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod, Workload
from scheduler.planning.defrag.advice import Advice, MakeFit, NoAdvice, OpenDomain, Target
from scheduler.planning.defrag.advise import advise
from scheduler.planning.defrag.check import broken_advice
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.moves import frame
from tests.planning.build import gang, node, pods, queue, shape, snapshot
from tests.planning.random_clusters import Cluster, clusters

NOW_S = 100
GPUS = 4
TRIES = settings(max_examples=120, deadline=None)


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """Racks of nodes, work that stands, GPUs held by others, and a gang that waits."""

    racks: tuple[str, ...]
    running: tuple[Workload, ...]
    held: Mapping[str, tuple[int, ...]]
    waiting: Workload

    def names(self, prefix: str = "n") -> list[NodeName]:
        return [NodeName(f"{prefix}{i}") for i in range(len(self.racks))]

    def snapshot(self, prefix: str = "n") -> Snapshot:
        names = dict(zip(self.names(), self.names(prefix), strict=True))
        nodes = [node(names[old], GPUS, labels={"r": r}) for old, r in zip(self.names(), self.racks, strict=True)]

        def there(workload: Workload) -> Workload:
            members = tuple(
                pod if pod.node is None else msgspec.structs.replace(pod, node=names[pod.node])
                for pod in workload.members
            )
            return msgspec.structs.replace(workload, members=members)

        return snapshot(
            nodes,
            [there(each) for each in (*self.running, self.waiting)],
            queues=(queue(),),
            held={names[NodeName(name)]: devices for name, devices in self.held.items()},
        )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    racks = tuple(draw(st.lists(st.sampled_from(["r0", "r1"]), min_size=3, max_size=6)))
    free = {f"n{i}": list(range(GPUS)) for i in range(len(racks))}
    held: dict[str, tuple[int, ...]] = {}
    for name, devices in free.items():
        held[name] = tuple(devices.pop(0) for _ in range(draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1]))))
    running: list[Workload] = []
    for i in range(draw(st.integers(2, 5))):
        gpus = draw(st.sampled_from([1, 1, 2, 3]))
        wanted = draw(st.integers(1, 2))
        on: list[str] = []
        for name in draw(st.permutations(sorted(free))):
            while len(free[name]) >= gpus and len(on) < wanted:
                on.append(name)
                del free[name][:gpus]
        if on:
            made = pods(f"w{i}", [shape(gpus)] * len(on), on=on, bound_s=draw(st.integers(0, 90)))
            running.append(
                gang(
                    f"w{i}",
                    made,
                    topology_required=draw(st.sampled_from([None, None, "rack", "node"])),
                    preemptible=draw(st.integers(0, 9)) > 0,
                )
            )
    size = draw(st.integers(1, 3))
    waiting = gang(
        "new",
        pods("new", [shape(draw(st.sampled_from([2, 4, 4])))] * size),
        topology_required=draw(st.sampled_from([None, "rack", "node"])),
    )
    return Case(racks=racks, running=tuple(running), held=held, waiting=waiting)


@st.composite
def targets(draw: st.DrawFn) -> Target:
    match draw(st.integers(0, 3)):
        case 0:
            return OpenDomain(level="rack", domain="r0")
        case 1:
            return OpenDomain(level="rack", nodes=draw(st.integers(1, 2)))
        case 2:
            return OpenDomain(level="rack")
        case _:
            return MakeFit(workload="team/new")


def asked(snap: Snapshot, target: Target, *, let_wait: bool = False) -> Advice | NoAdvice:
    return advise(
        snap, target, now_s=NOW_S, settings=PlanSettings(solver_budget_ms=2000), let_wait=let_wait, budget_ms=20_000
    )


# The same question answered by trying everything


def cheapest_by_hand(case: Case, target: Target, *, let_wait: bool) -> int | None:
    """What the cheapest moves lose, in GPU-seconds; None where no moves do it."""
    movable = [w for w in case.running if w.preemptible]
    best: int | None = None
    for count in range(len(movable) + 1):
        for moved in itertools.combinations(movable, count):
            lost = sum(p.shape.requests.gpus * (NOW_S - (p.bound_s or 0)) for w in moved for p in w.members)
            if (best is None or lost < best) and _works(case, target, moved, let_wait=let_wait):
                best = lost
    return best


def _works(case: Case, target: Target, moved: tuple[Workload, ...], *, let_wait: bool) -> bool:
    free = {name: GPUS - len(case.held.get(name, ())) for name in case.names()}
    for workload in case.running:
        if workload not in moved:
            for pod in workload.members:
                assert pod.node is not None
                free[pod.node] -= pod.shape.requests.gpus
    for opened in _openings(case, target, free):
        left = {name: 0 if name in opened else n for name, n in free.items()}
        everyone = [case.waiting] if isinstance(target, MakeFit) else []
        if _placeable(case, [*everyone, *(() if let_wait else moved)], left):
            return True
    return False


def _openings(case: Case, target: Target, free: Mapping[NodeName, int]) -> Iterator[tuple[NodeName, ...]]:
    if isinstance(target, MakeFit):
        yield ()
        return
    for rack in ("r0", "r1"):
        inside = [name for name, r in zip(case.names(), case.racks, strict=True) if r == rack]
        if target.domain not in {None, rack} or not inside:
            continue
        for some in itertools.combinations(inside, len(inside) if target.nodes is None else target.nodes):
            if all(free[name] == GPUS for name in some):
                yield some


def _placeable(case: Case, workloads: list[Workload], free: dict[NodeName, int]) -> bool:
    if not workloads:
        return True
    first, *rest = workloads
    match first.topology_required:
        case "rack":
            homes = [[n for n, r in zip(case.names(), case.racks, strict=True) if r == rack] for rack in ("r0", "r1")]
        case "node":
            homes = [[name] for name in case.names()]
        case _:
            homes = [case.names()]
    return any(_pods_placeable(case, list(first.members), rest, home, free) for home in homes)


def _pods_placeable(
    case: Case, members: list[Pod], rest: list[Workload], home: list[NodeName], free: dict[NodeName, int]
) -> bool:
    if not members:
        return _placeable(case, rest, free)
    gpus = members[0].shape.requests.gpus
    for name in home:
        if free[name] >= gpus and _pods_placeable(case, members[1:], rest, home, {**free, name: free[name] - gpus}):
            return True
    return False


@TRIES
@given(case=cases(), target=targets(), let_wait=st.booleans())
def test_no_moves_are_cheaper(case: Case, target: Target, *, let_wait: bool) -> None:
    if isinstance(target, OpenDomain) and target.domain is not None and target.domain not in case.racks:
        return
    snap = case.snapshot()
    found = asked(snap, target, let_wait=let_wait)
    best = cheapest_by_hand(case, target, let_wait=let_wait)
    if isinstance(found, NoAdvice):
        assert best is None, found
        assert found.certain
        assert not found.unknown
        return
    assert broken_advice(snap, found, now_s=NOW_S, let_wait=let_wait) == []
    assert found.lost_gpu_seconds == best
    assert found.proof.status == "optimal"
    assert found.proof.bound == best
    assert let_wait or not any(move.waits for move in found.moves)


@pytest.mark.parametrize(("few", "most"), [(0, 20_000), (0, 12), (1500, 25)])
@settings(max_examples=60, deadline=None)
@given(case=cases(), target=targets())
def test_a_model_of_classes_or_of_some_movers_claims_no_more_than_is_true(
    few: int, most: int, case: Case, target: Target
) -> None:
    if isinstance(target, OpenDomain) and target.domain is not None and target.domain not in case.racks:
        return
    snap = case.snapshot()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame, "FEW_PLACES", few)
        patch.setattr(frame, "MOST_PLACES", most)
        found = asked(snap, target)
    best = cheapest_by_hand(case, target, let_wait=False)
    if isinstance(found, NoAdvice):
        assert best is None or not found.certain
        return
    assert broken_advice(snap, found, now_s=NOW_S) == []
    assert best is not None
    assert found.proof.bound <= best <= found.lost_gpu_seconds
    assert found.proof.status != "optimal" or found.lost_gpu_seconds == best


@pytest.mark.long
@TRIES
@given(case=cases(), target=targets())
def test_renaming_nodes_renames_the_advice(case: Case, target: Target) -> None:
    here, there = asked(case.snapshot(), target), asked(case.snapshot("other-"), target)
    names = dict(zip(case.names("other-"), case.names(), strict=True))
    if isinstance(there, NoAdvice):
        assert isinstance(here, NoAdvice)
        return
    moves = tuple(
        msgspec.structs.replace(
            move,
            pods=tuple(
                msgspec.structs.replace(
                    pod, source=names[pod.source], target=None if pod.target is None else names[pod.target]
                )
                for pod in move.pods
            ),
        )
        for move in there.moves
    )
    starts = tuple(msgspec.structs.replace(seat, node=names[seat.node]) for seat in there.starts)
    opens = tuple(names[name] for name in there.opens)
    assert here == msgspec.structs.replace(there, moves=moves, starts=starts, opens=opens)


@pytest.mark.long
@TRIES
@given(cluster=clusters(), data=st.data())
def test_any_cluster_gets_an_answer_that_keeps_all_rules(cluster: Cluster, data: st.DataObject) -> None:
    standing = tuple(_standing(data, each, cluster) for each in cluster.workloads)
    snap = msgspec.structs.replace(cluster, workloads=standing).snapshot()
    names = [each.key.partition(":")[2] for each in standing]
    fitting = [MakeFit(workload=name) for name in names]
    target = data.draw(st.sampled_from([*fitting, *OPENINGS]))
    used = snap.columns.used.copy()
    let_wait = data.draw(st.booleans())
    found = asked(snap, target, let_wait=let_wait)
    assert np.array_equal(snap.columns.used, used)
    if isinstance(found, NoAdvice):
        assert found.message
        return
    assert broken_advice(snap, found, now_s=NOW_S, let_wait=let_wait) == []
    assert found.proof.bound <= found.lost_gpu_seconds


OPENINGS = (
    OpenDomain(level="rack"),
    OpenDomain(level="block", nodes=1),
    OpenDomain(level="b", domain="b0"),
    OpenDomain(level="node", domain="n0"),
)


def _standing(data: st.DataObject, workload: Workload, cluster: Cluster) -> Workload:
    """The workload, mostly with all of its pods on nodes, whatever these have room for."""
    if data.draw(st.integers(0, 3)) == 0:
        return workload
    names = [each.name for each in cluster.nodes]
    members = tuple(
        msgspec.structs.replace(pod, node=data.draw(st.sampled_from(names)), bound_s=data.draw(st.integers(0, 90)))
        for pod in workload.members
    )
    return msgspec.structs.replace(workload, members=members)


@pytest.mark.long
@TRIES
@given(case=cases(), target=targets(), data=st.data())
def test_the_order_of_the_input_decides_nothing(case: Case, target: Target, data: st.DataObject) -> None:
    snap = case.snapshot()
    mixed = msgspec.structs.replace(
        snap,
        nodes={name: snap.nodes[name] for name in data.draw(st.permutations(list(snap.nodes)))},
        workloads={key: snap.workloads[key] for key in data.draw(st.permutations(list(snap.workloads)))},
    )
    assert asked(mixed, target) == asked(snap, target)


MUTATIONS = ("source", "target", "devices", "left out", "cheaper", "opened", "waits", "bound")


@pytest.mark.parametrize("how", MUTATIONS)
@settings(max_examples=25, deadline=None)
@given(case=cases(), target=targets())
def test_a_changed_advice_is_refused(how: str, case: Case, target: Target) -> None:
    snap = case.snapshot()
    found = asked(snap, target)
    if isinstance(found, NoAdvice) or not found.moves:
        return
    changed = _changed(found, how, snap)
    if changed is not None and changed != found:
        assert broken_advice(snap, changed, now_s=NOW_S)


def _changed(advice: Advice, how: str, snap: Snapshot) -> Advice | None:
    move = advice.moves[0]
    pod = move.pods[0]
    full = [name for name in snap.columns.names if name not in advice.opens and not _roomy(snap, name)]
    match how:
        case "source":
            other = msgspec.structs.replace(pod, source=NodeName("elsewhere"))
        case "target" if advice.opens or full:
            other = msgspec.structs.replace(pod, target=[*advice.opens, *full][0], devices=())
        case "devices":
            other = msgspec.structs.replace(pod, devices=(99,) * len(pod.devices) or (99,))
        case "waits":
            other = msgspec.structs.replace(pod, target=None, devices=())
        case "left out":
            return msgspec.structs.replace(advice, moves=advice.moves[1:])
        case "cheaper":
            return msgspec.structs.replace(advice, lost_gpu_seconds=advice.lost_gpu_seconds + 1)
        case "opened":
            if not advice.opens:
                return msgspec.structs.replace(advice, starts=advice.starts[1:])
            return msgspec.structs.replace(advice, opens=advice.opens[1:])
        case "bound":
            proof = msgspec.structs.replace(advice.proof, bound=advice.proof.cost + 1)
            return msgspec.structs.replace(advice, proof=proof)
        case _:
            return None
    return msgspec.structs.replace(
        advice, moves=(msgspec.structs.replace(move, pods=(other, *move.pods[1:])), *advice.moves[1:])
    )


def _roomy(snap: Snapshot, name: NodeName) -> bool:
    """Whether some GPU is not held by work that never moves."""
    columns = snap.columns
    free = int(columns.free[columns.row_of[name], columns.resources.index(GPU)])
    movable = (p for w in snap.workloads.values() if w.preemptible for p in w.members if p.node == name)
    return free + sum(p.shape.requests.gpus for p in movable) > 0
