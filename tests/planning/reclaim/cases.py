"""Small clusters full of running work of a tree of queues, and one workload that asks for room."""

# ruff: noqa: ANN401  fields of records are passed on by keyword

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

from scheduler.model.names import PodUid, QueueName, WorkloadKey
from scheduler.model.plan import Admit, Plan, Reclaim, Victim
from scheduler.model.queue import Queue, Quota
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Workload
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from scheduler.quota.forest import in_force
from scheduler.scoring.rules.check import broken_rules
from scheduler.scoring.rules.gone import without_pods
from tests.planning.build import gang, node, pods, shape, single, snapshot

NOW_S = 10_000
SETTINGS = PlanSettings(solver_budget_ms=2000, reclaim=True)


def team(
    name: str,
    nominal: int | None = None,
    *,
    parent: str | None = None,
    borrow: int | None = None,
    lend: int | None = None,
    min_runtime_s: int = 0,
    priority: int = 0,
) -> Queue:
    """A queue with amounts in GPUs; None leaves them out."""
    total = Quota(
        nominal_milli_gpu=1000 * (nominal or 0),
        given=nominal is not None,
        borrowing_limit_milli_gpu=None if borrow is None else 1000 * borrow,
        lending_limit_milli_gpu=None if lend is None else 1000 * lend,
    )
    above = None if parent is None else QueueName(parent)
    return Queue(name=QueueName(name), parent=above, total=total, min_runtime_s=min_runtime_s, priority=priority)


def tree(*queues: Queue) -> tuple[Queue, ...]:
    """The queues as they are in force."""
    return tuple(in_force({q.name: q for q in queues}, {}).values())


def runs(
    name: str, queue: str, on: Sequence[str], gpus: int = 8, *, least: int | None = None, since: int = 0, **more: Any
) -> Workload:
    """A gang (with several nodes, or `least`) or a pod alone that runs on `on`, one pod each, for `since` seconds."""
    settings: dict[str, Any] = {"queue": QueueName(queue), **more}
    if len(on) == 1 and least is None:
        alone = single(name, shape(gpus), on=on[0], **settings)
        (pod,) = alone.members
        return msgspec.structs.replace(alone, members=(msgspec.structs.replace(pod, bound_s=NOW_S - since),))
    members = pods(name, [shape(gpus)] * len(on), on=on, bound_s=NOW_S - since)
    return gang(name, members, least=least, **settings)


def asks(name: str, queue: str, count: int = 1, gpus: int = 8, **more: Any) -> Workload:
    """A workload that waits: a pod alone, or a gang of `count`."""
    settings: dict[str, Any] = {"queue": QueueName(queue), **more}
    if count == 1:
        return single(name, shape(gpus), **settings)
    return gang(name, pods(name, [shape(gpus)] * count), **settings)


def decided(snap: Snapshot, settings: PlanSettings = SETTINGS) -> Plan:
    """The plan, which breaks no rule."""
    made = plan(snap, now_s=NOW_S, settings=settings)
    assert broken_rules(snap, made) == []
    return made


def claims(made: Plan) -> list[Reclaim]:
    return [decision for decision in made.decisions if isinstance(decision, Reclaim)]


def gone(made: Plan) -> set[str]:
    """Names of the workloads that lose pods, and of how many where it is not all."""
    return {victim.workload.partition("/")[2] for claim in claims(made) for victim in claim.victims}


Price = tuple[tuple[tuple[int, bool], int, int], ...]


def by_hand(snap: Snapshot, key: WorkloadKey) -> Price | None:
    """What the cheapest lawful evictions for a workload cost, over all sets there are; None where there are none.

    What other queues borrow at every level goes before what is borrowed at some, and that before work of its own queue,
    as long as it is enough.
    """
    asking = snap.workloads[key]
    found: list[tuple[int, Price]] = []
    pieces = [list(_pieces(snap, workload)) for workload in snap.workloads.values() if workload.key != key]
    for some in itertools.product(*pieces):
        victims = tuple(victim for victim in some if victim is not None)
        uids = {uid for victim in victims for uid in victim.pods}
        if not victims:
            continue
        own = 2 if any(v.queue == asking.queue for v in victims) else int(not _all_borrow(snap, asking, victims))
        price = _price(snap, victims)
        if any((o, p) <= (own, price) for o, p in found):
            continue
        after = without_pods(snap, uids)
        alone = msgspec.structs.replace(
            after, workloads={k: w for k, w in after.workloads.items() if w.placed or k == key}
        )
        admit = next(iter(plan(alone, now_s=NOW_S, settings=PlanSettings(solver_budget_ms=2000)).decisions))
        if not isinstance(admit, Admit):
            continue
        claim = Reclaim(workload=key, queue=QueueName(str(asking.queue)), placement=admit.placement, victims=victims)
        if not broken_rules(snap, Plan(generation=snap.generation, decisions=(claim,))):
            found.append((own, price))
    return min(found)[1] if found else None


def _all_borrow(snap: Snapshot, asking: Workload, victims: Sequence[Victim]) -> bool:
    """Whether with just one victim back, each queue on its way would be above nominal quota."""
    shapes = {pod.uid: pod.shape for w in snap.workloads.values() for pod in w.members}
    uids = {uid for victim in victims for uid in victim.pods}
    use = dict.fromkeys(snap.queues, 0)
    for workload in snap.workloads.values():
        for pod in workload.placed:
            for name in _up(snap, workload.queue) if pod.uid not in uids else ():
                use[name] += pod.shape.milli_gpu
    own = set(_up(snap, asking.queue))
    return all(
        use[name] + sum(shapes[uid].milli_gpu for uid in v.pods) > snap.queues[name].total.nominal_milli_gpu
        for v in victims
        for name in _up(snap, v.queue)
        if name not in own
    )


def _pieces(snap: Snapshot, workload: Workload) -> Iterator[Victim | None]:
    """What of a workload may leave: nothing, some of its surplus, or all of it."""
    yield None
    placed = workload.placed
    if not placed or not workload.preemptible or workload.queue is None:
        return
    surplus = placed[workload.min_member :]
    safe_s = _safe_s(snap, workload)
    for count in range(1, len(surplus) + 1):
        for some in itertools.combinations(surplus, count):
            if all(NOW_S - (pod.bound_s or 0) >= safe_s for pod in some):
                yield _victim(workload, [pod.uid for pod in some])
    if all(NOW_S - (pod.bound_s or 0) >= safe_s for pod in placed):
        yield _victim(workload, [pod.uid for pod in placed])


def _safe_s(snap: Snapshot, workload: Workload) -> int:
    (asking,) = (w for w in snap.workloads.values() if w.pending)
    if asking.queue == workload.queue or workload.queue is None:
        return 0
    above = set(_up(snap, asking.queue))
    return max((snap.queues[n].min_runtime_s for n in _up(snap, workload.queue) if n not in above), default=0)


def _up(snap: Snapshot, name: QueueName | None) -> Iterator[QueueName]:
    while name is not None:
        yield name
        name = snap.queues[name].parent


def _victim(workload: Workload, uids: list[PodUid]) -> Victim:
    queue = QueueName(str(workload.queue))
    return Victim(workload=workload.key, queue=queue, pods=tuple(uids), cost_gpu_seconds=0, why="reclaim")


def _price(snap: Snapshot, victims: Sequence[Victim]) -> Price:
    sums: dict[tuple[int, bool], tuple[int, int]] = {}
    for victim in victims:
        workload = snap.workloads[victim.workload]
        placed = workload.placed
        whole = len(victim.pods) > len(placed) - workload.min_member
        core = {pod.uid for pod in placed[: workload.min_member]} if whole else set[PodUid]()
        for pod in placed:
            if pod.uid in victim.pods:
                tier = (workload.priority, pod.uid in core)
                lost, count = sums.get(tier, (0, 0))
                sums[tier] = lost + pod.shape.requests.gpus * (NOW_S - (pod.bound_s or 0)), count + 1
    return tuple((tier, *sums[tier]) for tier in sorted(sums, reverse=True))


def price(snap: Snapshot, claim: Reclaim) -> Price:
    """What a claim's victims cost, as `by_hand` counts it."""
    return _price(snap, claim.victims)


QUEUES = ("a", "b", "c")


@st.composite
def trees(draw: st.DrawFn) -> tuple[Queue, ...]:
    parents = draw(st.sampled_from([{}, {"a": "org", "b": "org", "c": "org"}, {"a": "org", "b": "org"}]))
    made = [team("org", draw(st.sampled_from([None, 8, 16])))] if parents else []
    made += [
        team(
            name,
            draw(st.sampled_from([0, 2, 4, 8])),
            parent=parents.get(name),
            borrow=draw(st.sampled_from([None, None, None, 0, 4])),
            min_runtime_s=draw(st.sampled_from([0, 0, 0, 100])),
        )
        for name in QUEUES
    ]
    return tree(*made)


@st.composite
def full(draw: st.DrawFn, *, waiting: int = 1, most: int = 6) -> Snapshot:
    """A cluster with running work of all queues, and workloads that wait."""
    nodes = [node(f"n{i}", 4, labels={"r": f"r{i // 2}"}) for i in range(draw(st.integers(1, 3)))]
    free = {n.name: 4 for n in nodes}
    work: list[Workload] = []
    for i in range(draw(st.integers(1, most))):
        gpus = draw(st.sampled_from([1, 2, 4]))
        room = [name for name in free for _ in range(free[name] // gpus)]
        if not room:
            continue
        on = draw(st.lists(st.sampled_from(range(len(room))), min_size=1, max_size=3, unique=True))
        places = [room[at] for at in on]
        for name in places:
            free[name] -= gpus
        least = draw(st.sampled_from([None, None, 1]))
        work.append(
            runs(
                f"w{i}",
                draw(st.sampled_from(QUEUES)),
                places,
                gpus,
                least=least,
                since=draw(st.sampled_from([0, 10, 50, 200, 1000])),
                priority=draw(st.sampled_from([0, 0, 5])),
                preemptible=draw(st.integers(0, 7)) > 0,
            )
        )
    for i in range(waiting):
        count = draw(st.sampled_from([1, 1, 2]))
        wish = draw(st.sampled_from([None, None, "rack"])) if count > 1 else None
        work.append(
            asks(
                f"x{i}",
                draw(st.sampled_from(QUEUES)),
                count,
                draw(st.sampled_from([1, 2, 4])),
                priority=draw(st.sampled_from([0, 3, 9])),
                topology_required=wish,
                preemptible=draw(st.integers(0, 5)) > 0,
            )
        )
    return snapshot(nodes, work, queues=draw(trees()))
