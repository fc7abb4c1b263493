"""Laws of the state: however it came to be, a snapshot shows what is there now and nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from scheduler.model.claims import Capacity
from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.node import Allocator, Taint
from scheduler.model.workload import GangClaim, HostPort
from scheduler.scoring.devices.links import all_equal
from scheduler.scoring.sharing.mig_tables import mig_models
from scheduler.state.audit import compare, inconsistencies, violations
from scheduler.state.cluster import ClusterState
from scheduler.state.events import (
    ClaimGone,
    ClaimSeen,
    DeviceClassGone,
    DeviceClassSeen,
    DevicesGone,
    DevicesSeen,
    Event,
    GroupGone,
    GroupSeen,
    JobGone,
    JobSeen,
    NodeGone,
    NodeRefused,
    NodeSeen,
    PodGone,
    PodSeen,
    QueueGone,
    QueueSeen,
    Released,
    Reserved,
    RunSeen,
    SliceGone,
    SliceSeen,
    Ticked,
)
from scheduler.state.lengths import run_of
from tests.state.build import (
    GIB,
    MEMORY,
    claim,
    claiming,
    content,
    foreign,
    gpu_name,
    job,
    made_name,
    mig,
    node,
    offer,
    part,
    part_claim,
    pod,
    presliced,
    queue,
    report,
    reserved,
    shape,
    sharing,
    slice_claim,
    slice_name,
    sliceable,
    sliced,
)

NODES: tuple[str, ...] = ("n1", "n2", "n3")
PODS: tuple[str, ...] = ("p0", "p1", "p2", "p3", "p4")
node_names = st.sampled_from(NODES)
places = st.none() | node_names.map(NodeName)
ports = st.sampled_from([(), (HostPort(port=80),), (HostPort(port=80), HostPort(port=81))])


divided = st.one_of(
    st.sampled_from([250, 500, 700]).map(part),
    st.sampled_from(["1g.10gb", "3g.40gb", "4g.40gb"]).map(sliced),
)


@st.composite
def pods(draw: st.DrawFn) -> PodSeen:
    name = draw(st.sampled_from(PODS))
    what = shape(draw(st.integers(0, 3)), host_ports=draw(ports))
    if draw(st.integers(0, 2)) == 0:
        what = draw(divided)
    if draw(st.booleans()):
        return PodSeen(pod=foreign(name, shape=what, node=draw(places), nominated_node=draw(places)))
    return PodSeen(
        pod=pod(
            name,
            uid=PodUid(name + draw(st.sampled_from(["", "-again"]))),
            shape=what,
            managed=draw(st.booleans()),
            gang=draw(st.sampled_from([None, None, "g", "h", "x/g"])),
            role=draw(st.sampled_from(["", "r"])),
            size=draw(st.sampled_from([None, 2, 3])),
            owner_uid=draw(st.sampled_from([None, "j1", "j2"])),
            node=draw(places),
            nominated_node=draw(places),
            deleting=draw(st.booleans()),
            queue=draw(st.sampled_from([None, QueueName("red"), QueueName("ghost")])),
            priority=draw(st.integers(0, 2)),
        )
    )


@st.composite
def nodes(draw: st.DrawFn) -> NodeSeen:
    made = node(
        draw(node_names),
        gpus=draw(st.sampled_from([0, 4, 8])),
        labels={"rack": draw(st.sampled_from("ab"))},
        taints=draw(st.sampled_from([(), (Taint(key="k"),)])),
        ready=draw(st.booleans()),
        product=draw(st.sampled_from(["", "NVIDIA-A100-SXM4-80GB"])),
    )
    return NodeSeen(node=made)


@st.composite
def reports(draw: st.DrawFn) -> DevicesSeen:
    held = draw(st.dictionaries(st.sampled_from(PODS), st.sampled_from([(0,), (1,), (2, 3)]), max_size=2))
    seen = replace(
        report(draw(node_names), gpus=8, sick=draw(st.sets(st.integers(0, 7), max_size=2)), **held),
        links=draw(st.sampled_from([None, all_equal(8)])),
        allocator=draw(st.sampled_from(Allocator)),
        clique=draw(st.sampled_from(["", "u.1", "u.2"])),
    )
    if draw(st.booleans()):
        return seen
    made = draw(
        st.dictionaries(st.sampled_from(PODS), st.sampled_from([(mig(4, "1g.10gb", 0),), (mig(5, "3g.40gb", 4),)]))
    )
    return replace(
        seen,
        mig_on_demand=draw(st.booleans()),
        shares_on_demand=draw(st.booleans()),
        mig_instances=draw(st.sampled_from([(), (mig(4, "1g.10gb", 0),), (mig(7, "2g.20gb", 2),)])),
        mig_models=draw(st.sampled_from([(), (mig_models()["A100-80GB"],), (mig_models()["A30-24GB"],)])),
        slices_held=tuple((f"a/{name}", slices) for name, slices in made.items()),
    )


@st.composite
def jobs(draw: st.DrawFn) -> JobSeen:
    return job(
        draw(st.sampled_from(["j1", "j2"])),
        completions=draw(st.sampled_from([None, 2, 3])),
        succeeded=draw(st.integers(0, 1)),
        deadline_s=draw(st.sampled_from([None, 60])),
        gang=draw(st.sampled_from([None, GangClaim(name="g"), GangClaim(name="h", size=3)])),
        queue=draw(st.sampled_from([None, QueueName("red")])),
    )


@st.composite
def groups(draw: st.DrawFn) -> GroupSeen:
    uid = draw(st.sampled_from(["o1", "o2"]))
    return GroupSeen(
        uid=uid,
        key=WorkloadKey(draw(st.sampled_from(["gang:a/g", "gang:a/x/g"]))),
        kind=draw(st.sampled_from(["A", "B"])),
        form=draw(st.sampled_from(["gang", "roles", "parts", "alone"])),
        claim=draw(st.sampled_from([GangClaim(name="", size=3), GangClaim(name="", least=2, role_least=(("r", 1),))])),
        role_sizes=draw(st.sampled_from([(), (("r", 2),), (("", 0), ("r", 1))])),
        queue=draw(st.sampled_from([None, QueueName("red")])),
        preemptible=draw(st.sampled_from([None, False])),
        priority=draw(st.sampled_from([None, 9])),
        topology_required=draw(st.sampled_from([None, "rack"])),
        role_levels=draw(st.sampled_from([(), (("r", "rack"),)])),
    )


@st.composite
def queues(draw: st.DrawFn) -> QueueSeen:
    name, served = draw(st.sampled_from(["red", "default"])), draw(st.sampled_from([(), ("a",)]))
    return QueueSeen(queue=queue(name, *served))


@st.composite
def claim_users(draw: st.DrawFn) -> PodSeen:
    """Pods that name claims, of their own or of several, ours or not."""
    named = draw(st.lists(st.sampled_from(["c0", "c1", ""]), min_size=1, max_size=2, unique=True))
    seen = claiming(
        draw(st.sampled_from(PODS)),
        *named,
        shared=draw(st.booleans()),
        node=draw(places),
        managed=draw(st.booleans()),
        created_s=draw(st.integers(0, 2)),
        shape=shape(draw(st.sampled_from([0, 0, 1]))),
    )
    if draw(st.integers(0, 3)) == 0:
        made = tuple(replace(each, served=True) for each in seen.claims)
        seen = replace(seen, shape=shape(draw(st.integers(1, 2))), claims=made)
    return PodSeen(pod=seen if draw(st.integers(0, 3)) else replace(seen, ours=False, managed=False))


@st.composite
def claims(draw: st.DrawFn) -> ClaimSeen:
    name = draw(st.sampled_from(["c0", "c1"]))
    devices = draw(st.lists(st.tuples(node_names, st.integers(0, 7)), max_size=2, unique=True))
    seen = claim(name, *(gpu_name(n, i) for n, i in devices), gpus=draw(st.integers(1, 2)), ours=draw(st.booleans()))
    if draw(st.integers(0, 3)) == 0:
        places = st.sampled_from([(0, "1g.10gb", 0), (1, "1g.10gb", 0), (0, "3g.40gb", 4)])
        had = draw(st.lists(st.tuples(node_names, places), max_size=2, unique=True))
        called = draw(st.sampled_from([slice_name, made_name]))
        seen = slice_claim(name, "1g.10gb", *(called(n, *place) for n, place in had))
    elif draw(st.integers(0, 2)) == 0:
        gib, has = draw(st.sampled_from([0, 10, 30])), draw(st.sampled_from([5, 30]))
        named = (gpu_name(n, i) for n, i in devices)
        seen = replace(part_claim(name, gib, *named, has=has), ours=draw(st.booleans()))
    return replace(seen, uid=seen.uid + draw(st.sampled_from(["", "-again"])))


device_classes = st.sampled_from(["", "nvidia.com/gpu"]).map(lambda r: DeviceClassSeen(uid="k", name="k", resource=r))


@st.composite
def offers(draw: st.DrawFn) -> SliceSeen:
    gpus = draw(st.sampled_from([range(8), range(4), range(4, 8), None]))
    if gpus is None:
        smaller = replace(MEMORY, total=40 * GIB)
        ways = st.sampled_from([(), (smaller,), (MEMORY, Capacity(name="cores", total=100, default=10))])
        return draw(
            st.one_of(node_names.map(sliceable), st.tuples(node_names, ways).map(lambda w: sharing(w[0], *w[1])))
        )
    if draw(st.integers(0, 4)) == 0:
        whole, sick = draw(st.sampled_from([(), (2, 3), (0,)])), draw(st.sampled_from([(), [(0, "1g.10gb", 1)]]))
        return presliced(draw(node_names), whole=whole, sick=sick)
    seen = offer(draw(node_names), gpus=gpus, sick=draw(st.sets(st.integers(0, 7), max_size=1)))
    return replace(seen, generation=draw(st.integers(1, 2)), slices=draw(st.sampled_from([1, 1, 2])))


keys = st.sampled_from(["gang:a/g", "gang:a/h", "pod:a/p0", "pod:a/p1"]).map(WorkloadKey)


@st.composite
def plans(draw: st.DrawFn) -> Reserved:
    devices = st.sampled_from([(), (0,), (1, 2)])
    placed = draw(st.dictionaries(st.sampled_from(PODS), st.tuples(node_names, devices), min_size=1, max_size=3))
    plan = reserved(draw(keys), *((p, n, d) for p, (n, d) in placed.items()), milli_gpu=3000)
    return replace(plan, leaving=tuple(map(PodUid, draw(st.lists(st.sampled_from(PODS), max_size=2, unique=True)))))


@st.composite
def refusals(draw: st.DrawFn) -> NodeRefused:
    return NodeRefused(workload=draw(keys), node=NodeName(draw(node_names)), until_s=draw(st.integers(1, 20)))


@st.composite
def runs(draw: st.DrawFn) -> RunSeen:
    ended_s = draw(st.integers(1000, 1020))
    seen = draw(pods()).pod
    return RunSeen(run=run_of(replace(seen, bound_s=draw(st.none() | st.integers(900, 999))), ended_s))


gone = st.one_of(
    st.sampled_from([PodGone(uid=PodUid(p + e)) for p in PODS for e in ("", "-again")]),
    node_names.map(lambda n: NodeGone(name=NodeName(n))),
    node_names.map(lambda n: DevicesGone(node=NodeName(n))),
    st.sampled_from([JobGone(uid="j1"), JobGone(uid="j2"), QueueGone(name=QueueName("red"))]),
    st.sampled_from([GroupGone(uid="o1"), GroupGone(uid="o2")]),
    keys.map(lambda k: Released(workload=k)),
    st.sampled_from([ClaimGone(uid=f"claim-{c}{e}") for c in ("c0", "c1") for e in ("", "-again")]),
    offers().map(lambda seen: SliceGone(uid=seen.uid)),
    st.just(DeviceClassGone(uid="k")),
    st.integers(0, 20).map(lambda s: Ticked(now_s=s)),
)
events: st.SearchStrategy[Event] = st.one_of(
    pods(),
    pods(),
    nodes(),
    reports(),
    jobs(),
    groups(),
    queues(),
    plans(),
    gone,
    refusals(),
    runs(),
    claims(),
    claim_users(),
    offers(),
)


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(events, st.booleans()), max_size=40))
def test_snapshots_made_step_by_step_equal_one_made_from_scratch(steps: list[tuple[Event, bool]]) -> None:
    state = ClusterState()
    for event, looked_at in steps:
        before, generation = content(state.snapshot()) if looked_at else None, state.snapshot().generation
        changed = state.apply(event)
        if before is not None and not changed:
            assert content(state.snapshot()) == before
        assert (state.snapshot().generation > generation) == changed
    assert inconsistencies(state) == []
    replayed = ClusterState()
    for event in state.facts():
        replayed.apply(event)
    assert content(replayed.snapshot()) == content(state.snapshot())


@pytest.mark.long
@settings(max_examples=200, deadline=None)
@given(st.lists(events, max_size=40), st.data())
def test_the_order_of_independent_objects_does_not_matter(happened: list[Event], data: st.DataObject) -> None:
    state = ClusterState()
    for event in happened:
        state.apply(event)
    facts = list(state.facts())
    ended = [f for f in facts if isinstance(f, JobGone | GroupGone | QueueGone)]
    ours = [f for f in facts if isinstance(f, Reserved | NodeRefused)]
    objects = [f for f in facts if f not in ended and f not in ours]
    shuffled = ClusterState()
    for event in [*data.draw(st.permutations(objects)), *ended, *data.draw(st.permutations(ours))]:
        shuffled.apply(event)
    assert content(shuffled.snapshot()) == content(state.snapshot())


@pytest.mark.long
@settings(max_examples=200, deadline=None)
@given(st.lists(events, max_size=40))
def test_a_fresh_list_of_what_is_believed_shows_no_difference(happened: list[Event]) -> None:
    state = ClusterState()
    for event in happened:
        state.apply(event)
    assert compare(state, state.facts()).is_clean


@st.composite
def honest_histories(draw: st.DrawFn) -> list[Event]:
    """Pods are bound where their plan says, plans respect what is free, and reports name what is held."""
    happened: list[Event] = [QueueSeen(queue=queue()), *(NodeSeen(node=node(n, gpus=4)) for n in NODES)]
    free: dict[str, int] = dict.fromkeys(NODES, 4)
    waiting = [pod(f"{gang}{i}", gang=gang, size=2) for gang in "gh" for i in range(2)]
    happened += [PodSeen(pod=p) for p in waiting]
    for gang in draw(st.permutations("gh")):
        members = [p for p in waiting if p.gang == GangClaim(name=gang, size=2)]
        chosen = {p.uid: draw(st.sampled_from([n for n in NODES if free[n]])) for p in members}
        for name in chosen.values():
            free[name] -= 1
        happened.append(reserved(f"gang:a/{gang}", *((u, n, ()) for u, n in chosen.items()), milli_gpu=2000))
        bound = [PodSeen(pod=replace(p, node=NodeName(chosen[p.uid]))) for p in draw(st.permutations(members))]
        happened += bound
        if draw(st.booleans()):
            happened += [PodGone(uid=p.uid) for p in members]
            for name in chosen.values():
                free[name] += 1
    return happened


@pytest.mark.long
@settings(max_examples=100, deadline=None)
@given(honest_histories())
def test_an_honest_history_breaks_no_rule_at_any_moment(happened: list[Event]) -> None:
    state = ClusterState()
    for event in happened:
        state.apply(event)
        assert violations(state.snapshot()) == []
        assert inconsistencies(state) == []
