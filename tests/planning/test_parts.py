"""Plans for parts of GPUs and MIG slices: the best place among all, gangs whole, and what those are told who wait."""

from collections.abc import Iterator, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from scheduler.model.names import NodeName, PodUid, WorkloadKey
from scheduler.model.node import MigInstance
from scheduler.model.plan import Admit, Assignment, Blocker, Plan, Reason, Wait
from scheduler.model.resources import GPU_SHARED, Resources
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod, PodShape
from scheduler.planning.cycle import PlanCache, plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from scheduler.state.audit import inconsistencies, violations
from scheduler.state.events import DevicesSeen, PodGone, PodSeen
from tests.state.build import Thing, mig, node, part, pod, queue, report, shape, sliced, state_of

PRODUCT = "NVIDIA-A100-SXM4-80GB"
SIZE = {"7g.80gb": 8, "4g.40gb": 4, "3g.40gb": 4, "2g.20gb": 2, "1g.20gb": 2, "1g.10gb": 1}
STARTS: Mapping[str, Sequence[int]] = {
    "7g.80gb": (0,),
    "4g.40gb": (0,),
    "3g.40gb": (0, 4),
    "2g.20gb": (0, 2, 4),
    "1g.20gb": (0, 2, 4, 6),
    "1g.10gb": range(7),
}
"""An A100 with 80 GB, the largest profiles first, written down apart from the project's table."""

Gpu = frozenset[tuple[str, int]]
"""The instances of a GPU: profile and start."""
NOTHING: Gpu = frozenset()


def cluster(*gpus: Sequence[Gpu], waiting: Sequence[Thing] = (), parts: bool = True) -> Snapshot:
    """Nodes `n0`, `n1` … whose GPUs have these instances, each held by a pod, and what waits."""
    things: list[Thing] = [queue("default")]
    for number, own in enumerate(gpus):
        name = f"n{number}"
        made = {f"{name}-{i}-{start}": mig(i, p, start) for i, gpu in enumerate(own) for p, start in sorted(gpu)}
        held = tuple((f"a/{holder}", (one,)) for holder, one in made.items())
        seen = replace(report(name, gpus=len(own)), mig_on_demand=True, shares_on_demand=parts, slices_held=held)
        things += [node(name, gpus=len(own), product=PRODUCT), seen]
        things += [pod(h, shape=sliced(one.profile), node=NodeName(name)) for h, one in made.items()]
    return state_of(*things, *waiting).snapshot()


def planned(snap: Snapshot) -> Plan:
    decided = plan(snap, now_s=0, settings=PlanSettings(solver_budget_ms=2000))
    assert broken_rules(snap, decided) == []
    return decided


def places(snap: Snapshot) -> dict[str, Assignment]:
    return {a.pod: a for d in planned(snap).decisions if isinstance(d, Admit) for a in d.placement.assignments}


def wait_of(snap: Snapshot, key: str) -> Wait:
    (wait,) = (d for d in planned(snap).decisions if isinstance(d, Wait) and d.workload == WorkloadKey(key))
    return wait


def taken(gpu: Gpu) -> set[int]:
    return {unit for profile, start in gpu for unit in range(start, start + SIZE[profile])}


def fitting(gpu: Gpu, profile: str) -> list[int]:
    units = taken(gpu)
    return [s for s in STARTS[profile] if not units & set(range(s, s + SIZE[profile]))]


def most(gpu: Gpu, profile: str) -> int:
    """How many more of a profile a GPU could hold."""
    free, count = taken(gpu), 0
    for start in STARTS[profile]:
        units = set(range(start, start + SIZE[profile]))
        if not units & free:
            free |= units
            count += 1
    return count


@st.composite
def gpus(draw: st.DrawFn) -> Gpu:
    made: Gpu = frozenset()
    for profile in draw(st.lists(st.sampled_from(list(SIZE)), max_size=4)):
        free = fitting(made, profile)
        if free and sum(int(p[0]) for p, _ in made) + int(profile[0]) <= 7:
            made |= {(profile, draw(st.sampled_from(free)))}
    return made


CLUSTERS = st.lists(st.lists(gpus(), min_size=1, max_size=2), min_size=1, max_size=3)


def harm(gpu: Gpu, profile: str, start: int) -> tuple[int, ...]:
    """What a slice takes: an untouched GPU first of all, then places of larger profiles."""
    after = gpu | {(profile, start)}
    if not gpu:
        return (1, *(-most(after, p) for p in SIZE))
    return (0, *(most(gpu, p) - most(after, p) for p in SIZE))


@settings(max_examples=150, deadline=None)
@given(CLUSTERS, st.sampled_from(list(SIZE)))
def test_a_slice_goes_to_the_best_place_of_the_cluster(own: list[list[Gpu]], profile: str) -> None:
    snap = cluster(*own, waiting=[pod("p", shape=sliced(profile), gated=True)])
    there = {
        (f"n{n}", i, s): harm(gpu, profile, s)
        for n, node_ in enumerate(own)
        for i, gpu in enumerate(node_)
        for s in fitting(gpu, profile)
        if sum(int(p[0]) for p, _ in gpu) + int(profile[0]) <= 7
    }
    got = places(snap).get("p")
    assert (got is None) == (not there)
    if got is not None:
        (one,) = got.slices
        assert there[got.node, one.device, one.start] == min(there.values())


GANG = st.lists(
    st.one_of(
        st.sampled_from([250, 500, 700]).map(part),
        st.sampled_from(["1g.10gb", "2g.20gb", "3g.40gb", "4g.40gb"]).map(sliced),
        st.integers(1, 2).map(shape),
    ),
    min_size=1,
    max_size=6,
)


class ByHand:
    """Every way to give pods what they ask for, tried one after the other; `gpus`: node, instances, free milli-GPU."""

    def __init__(self, own: list[list[Gpu]]) -> None:
        self.gpus = [(n, gpu, 0 if gpu else 1000) for n, node_ in enumerate(own) for gpu in node_]

    def all_fit(self, shapes: Sequence[PodShape]) -> bool:
        return not shapes or any(self.all_fit(shapes[1:]) for _ in self.ways(shapes[0]))

    def ways(self, what: PodShape) -> Iterator[None]:
        """Change the GPUs in every way in which a pod can be given what it asks for, each undone before the next."""
        before = list(self.gpus)
        if what.requests.gpus:
            found = self.whole(what.requests.gpus)
        elif what.requests.shared_gpus:
            found = (
                [(at, (NOTHING, milli - what.share_milli))]
                for at, _, milli in self.distinct()
                if milli >= what.share_milli
            )
        else:
            ((profile, _),) = what.requests.mig_slices
            found = (
                [(at, (made, 0))] for at, gpu, milli in self.distinct() for made in sliced_ways(gpu, milli, profile)
            )
        for changes in list(found):
            for at, after in changes:
                self.gpus[at] = (self.gpus[at][0], *after)
            yield
            self.gpus = list(before)

    def distinct(self) -> list[tuple[int, Gpu, int]]:
        """One GPU of each kind."""
        kinds = {(gpu, milli): at for at, (_, gpu, milli) in enumerate(self.gpus)}
        return [(at, gpu, milli) for (gpu, milli), at in kinds.items()]

    def whole(self, number: int) -> Iterator[list[tuple[int, tuple[Gpu, int]]]]:
        for name in sorted({n for n, _, _ in self.gpus}):
            free = [at for at, (n, gpu, milli) in enumerate(self.gpus) if n == name and not gpu and milli == 1000]
            if len(free) >= number:
                yield [(at, (NOTHING, -1)) for at in free[:number]]


def sliced_ways(gpu: Gpu, milli: int, profile: str) -> Iterator[Gpu]:
    if (gpu or milli == 1000) and slices_of(gpu) + int(profile[0]) <= 7:
        for start in fitting(gpu, profile):
            yield gpu | {(profile, start)}


def slices_of(gpu: Gpu) -> int:
    return sum(int(profile[0]) for profile, _ in gpu)


@pytest.mark.long
@settings(max_examples=100, deadline=None)
@given(CLUSTERS, GANG)
def test_a_gang_stands_whole_or_not_at_all_and_only_where_it_could(
    own: list[list[Gpu]], shapes: list[PodShape]
) -> None:
    members = [pod(f"p{i}", shape=each, gang="g", size=len(shapes), gated=True) for i, each in enumerate(shapes)]
    got = places(cluster(*own, waiting=members))
    assert len(got) in {0, len(shapes)}
    if got or len(set(shapes)) == 1:
        assert bool(got) == ByHand(own).all_fit(sorted(shapes, key=lambda each: -each.milli_gpu))


def test_a_gang_of_slices_and_whole_gpus_shares_a_node() -> None:
    shapes = [shape(2), sliced("3g.40gb"), sliced("4g.40gb"), part(500), part(500)]
    members = [pod(f"p{i}", shape=each, gang="g", size=5, gated=True) for i, each in enumerate(shapes)]
    got = places(cluster([NOTHING] * 4, waiting=members))
    assert {len(got[f"p{i}"].devices) for i in (3, 4)} == {1}
    assert got["p3"].devices == got["p4"].devices
    assert {one.start for i in (1, 2) for one in got[f"p{i}"].slices} == {0, 4}


SPLIT: Gpu = frozenset({("1g.10gb", 0), ("1g.10gb", 4)})
FULL: Gpu = frozenset({("7g.80gb", 0)})


@pytest.mark.parametrize(
    ("own", "detail", "unblock"),
    [
        pytest.param(
            [[FULL], [SPLIT]],
            "needs 1 such place, there are 0; nearest is GPU 0 of n1 at 0, where 1g.10gb at 0 "
            "of a/n1-0-0 is in the way",
            "It starts when 1g.10gb at 0 of a/n1-0-0 of GPU 0 of n1 is given back.",
            id="one small slice is in the way",
        ),
        pytest.param(
            [[FULL]],
            "needs 1 such place, there are 0; nearest is GPU 0 of n0 at 0, where 7g.80gb at 0 "
            "of a/n0-0-0 is in the way",
            "It starts when 7g.80gb at 0 of a/n0-0-0 of GPU 0 of n0 is given back.",
            id="all of it is one slice",
        ),
    ],
)
def test_who_waits_for_a_slice_is_told_where_it_could_come_from(
    own: list[list[Gpu]], detail: str, unblock: str
) -> None:
    wait = wait_of(cluster(*own, waiting=[pod("p", shape=sliced("3g.40gb"), gated=True)]), "pod:a/p")
    assert wait.message == "no GPU has a free place for a 3g.40gb slice"
    assert wait.detail == detail
    assert wait.unblock.startswith(unblock)
    blocker = Blocker(kind="fragmentation", subject="a 3g.40gb slice", needed=1, available=0, unit="pods")
    assert wait.blocking == (blocker,)


def test_who_waits_for_a_part_is_told_where_most_is_free() -> None:
    state = [pod(f"h{i}", shape=part(milli), node=NodeName("n0")) for i, milli in enumerate([800, 900])]
    snap = cluster([NOTHING] * 2, waiting=[*state, pod("p", shape=part(300), gated=True)])
    wait = wait_of(snap, "pod:a/p")
    assert wait.message == "no GPU has a free place for 0.3 of a GPU"
    assert wait.detail == "needs 1 such place, there are 0; nearest is GPU 0 of n0, which has 0.2 of it free"
    assert wait.unblock == "It starts when 0.1 of GPU 0 of n0 is given back, or as much of another."
    assert wait.reason is Reason.FRAGMENTED


def test_a_profile_that_no_gpu_has_is_never_to_be_had() -> None:
    wait = wait_of(cluster([NOTHING], waiting=[pod("p", shape=sliced("9g.99gb"), gated=True)]), "pod:a/p")
    assert wait.reason is Reason.INSUFFICIENT_RESOURCES
    assert wait.message == "no node has 1 MIG slice 9g.99gb"


def test_whole_gpus_and_a_part_of_one_pod_are_not_made_on_demand() -> None:
    both = PodShape(requests=Resources(pods=1, extended=(("nvidia.com/gpu", 1), (GPU_SHARED, 1))), share_milli=500)
    assert places(cluster([NOTHING] * 4, waiting=[pod("p", shape=both, gated=True)])) == {}


def test_room_kept_for_a_gang_is_kept_in_slices_too() -> None:
    first = [pod(f"g{i}", shape=sliced("3g.40gb"), gang="g", size=3, gated=True, priority=5) for i in range(3)]
    later = pod("p", shape=sliced("3g.40gb"), gated=True, created_s=1)
    wait = wait_of(cluster([frozenset(), FULL], waiting=[*first, later]), "pod:a/p")
    assert wait.message == "the room that it needs is kept for a gang ahead of it"
    small = pod("s", shape=sliced("1g.10gb"), gated=True, created_s=1)
    assert "s" not in places(cluster([frozenset(), FULL], waiting=[*first, small]))


@pytest.mark.parametrize(("replicas", "node_of"), [(2, "n1"), (4, "n1"), (5, None)])
def test_a_part_has_to_be_as_large_as_asked_for(replicas: int, node_of: str | None) -> None:
    def sharing(name: str, parts: int) -> Thing:
        made = node(name, gpus=0, product=PRODUCT, replicas=parts)
        extended = ((GPU_SHARED, 8),)
        return replace(made, allocatable=replace(made.allocatable, extended=extended))

    waiting = pod("p", shape=part(250), gated=True)
    snap = state_of(queue("default"), sharing("n0", 8), sharing("n1", replicas), waiting).snapshot()
    got = places(snap).get("p")
    assert (None if got is None else got.node) == node_of
    if got is None:
        wait = wait_of(snap, "pod:a/p")
        assert wait.message == "no node has GPUs in parts of at least 0.25"
        assert wait.unblock == "Ask for a smaller bayplan.dev/gpu-share."


def test_who_has_slices_elsewhere_takes_no_part() -> None:
    holder: Pod = pod("h", shape=sliced("1g.10gb"), node=NodeName("n0"))
    held = (("a/h", (mig(0, "1g.10gb", 6),)),)
    seen = replace(report("n0", gpus=1), mig_on_demand=True, slices_held=held)
    things: list[Thing] = [queue("default"), node("n0", gpus=1, product=PRODUCT), seen, holder]
    snap = state_of(*things, pod("p", shape=sliced("4g.40gb"), gated=True)).snapshot()
    assert snap.slices[NodeName("n0")] == (MigInstance(device=0, profile="1g.10gb", start=6),)
    assert places(snap)[PodUid("p")].slices == (mig(0, "4g.40gb", 0),)


def test_unlike_parts_share_nodes_without_the_solver() -> None:
    shapes = [part(700), part(250), part(250)]
    members = [pod(f"p{i}", shape=each, gang="g", size=3, gated=True) for i, each in enumerate(shapes)]
    snap = cluster([NOTHING], [NOTHING], waiting=members)
    (decision,) = plan(snap, now_s=0, settings=PlanSettings(solver_budget_ms=0)).decisions
    assert isinstance(decision, Admit)
    assert broken_rules(snap, Plan(generation=snap.generation, decisions=(decision,))) == []


STEPS = st.lists(
    st.one_of(
        st.integers(0, 9),
        st.sampled_from([200, 500, 700]).map(part),
        st.sampled_from(["1g.10gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"]).map(sliced),
        st.integers(1, 2).map(shape),
    ),
    max_size=14,
)
"""Pods that come, and numbers of pods that leave."""


@pytest.mark.long
@settings(max_examples=60, deadline=None)
@given(STEPS, st.booleans())
def test_whoever_comes_and_goes_no_gpu_is_given_twice_and_a_cache_decides_nothing(
    steps: list[int | PodShape], fixed: bool
) -> None:
    made = replace(report("n0", gpus=2), mig_on_demand=True, shares_on_demand=True)
    made = replace(made, mig_instances=(mig(0, "1g.10gb", 2),) if fixed else ())
    state = state_of(queue("default"), node("n0", gpus=2, product=PRODUCT), made)
    held: dict[str, Assignment] = {}
    cache = PlanCache()
    for number, step in enumerate(steps):
        if isinstance(step, PodShape):
            state.apply(PodSeen(pod=pod(f"p{number}", shape=step, gated=True, created_s=number)))
        elif held:
            leaving = sorted(held)[step % len(held)]
            del held[leaving]
            state.apply(PodGone(uid=PodUid(leaving)))
        state.apply(_told(made, held))
        snap = state.snapshot()
        assert (violations(snap), inconsistencies(state)) == ([], [])
        decided = planned(snap)
        assert plan(snap, now_s=0, settings=PlanSettings(solver_budget_ms=2000), cache=cache) == decided
        for decision in decided.decisions:
            for a in decision.placement.assignments if isinstance(decision, Admit) else ():
                held[a.pod] = a
                waiting = state.pod(a.pod)
                assert waiting is not None
                state.apply(PodSeen(pod=replace(waiting, node=a.node, gated=False)))
        state.apply(_told(made, held))


def _told(made: DevicesSeen, held: Mapping[str, Assignment]) -> DevicesSeen:
    """The report when pods hold what they were given."""
    return replace(
        made,
        held=tuple((f"a/{name}", a.devices) for name, a in held.items() if a.devices),
        slices_held=tuple((f"a/{name}", a.slices) for name, a in held.items() if a.slices),
    )
