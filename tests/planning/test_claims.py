"""Pods that claim GPUs: planned on exact devices, where these can be claimed, and never twice."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from scheduler.model.claims import DeviceName
from scheduler.model.links import LinkGraph
from scheduler.model.names import NodeName, PodUid
from scheduler.model.plan import Admit, Reason, Reclaim, Wait
from scheduler.model.queue import Quota
from scheduler.model.workload import GangClaim, Linked
from scheduler.scoring.devices.machines import machine_graph
from scheduler.state.cluster import ClusterState
from scheduler.state.events import DeviceClassSeen, Event
from tests.planning.claimed import MADE_SMALL, QUEUE, planned, starts, waits
from tests.state.build import (
    Thing,
    claim,
    claiming,
    event_of,
    foreign,
    gpu_name,
    made_name,
    mig,
    node,
    offer,
    pod,
    presliced,
    queue,
    report,
    shape,
    slice_claim,
    slice_name,
    sliceable,
    state_of,
)

THERE = "GPUs for pods that do not claim them: {} of 1 nodes"
FULL = replace(queue(), total=Quota(nominal_milli_gpu=4000, borrowing_limit_milli_gpu=0))


def graph(machine: str) -> LinkGraph:
    found = machine_graph(machine)
    assert found is not None
    return found


def test_a_pod_gets_exactly_the_gpus_that_are_free_where_they_can_be_claimed() -> None:
    taken = claim("others", gpu_name("n2", 0), gpu_name("n2", 2), ours=False)
    asked = (claiming("p", "c"), claim("c", gpus=2))
    assert starts(node("n1", gpus=8), node("n2", gpus=0), offer("n2", gpus=4), taken, *asked) == {"p": ("n2", (1, 3))}


def test_sick_gpus_and_those_that_are_not_offered_are_left_alone() -> None:
    asked = (claiming("p", "c"), claim("c", gpus=2))
    there = (node("n1", gpus=0), report("n1", gpus=6, sick=[2]), offer("n1", gpus=[1, 2, 3, 5], sick=[3]))
    assert starts(*there, *asked) == {"p": ("n1", (1, 5))}


def test_a_gang_gets_linked_gpus_of_which_the_plan_is_certain() -> None:
    members = [
        claiming(f"p{i}", f"c{i}", gang=GangClaim(name="g", size=2), shape=shape(0, linked=Linked.REQUIRED))
        for i in range(2)
    ]
    told = replace(report("n1"), links=graph("dgx1_v100"))
    things = (node("n1", gpus=0), told, offer("n1"), *members, claim("c0", gpus=4), claim("c1", gpus=4))
    assert {devices for _, devices in starts(*things).values()} == {(0, 1, 2, 3), (4, 5, 6, 7)}


def test_pods_without_claims_get_no_gpus_that_are_there_for_claims() -> None:
    there = (node("n1", gpus=0), offer("n1"))
    assert waits(*there, pod("p")) == [
        (Reason.NO_NODE_MATCHES, "no node has GPUs for pods that do not claim them", THERE.format(0))
    ]
    assert starts(*there, pod("p", gpus=0, shape=shape(0))) == {"p": ("n1", ())}


def test_claims_get_no_gpus_that_only_a_plugin_gives_out() -> None:
    assert waits(node("n1"), report("n1"), claiming("p", "c"), claim("c")) == [
        (Reason.NO_NODE_MATCHES, "no node has GPUs that pods can claim", "GPUs that pods can claim: 0 of 1 nodes")
    ]


def test_one_node_of_both_serves_one_sort_at_a_time() -> None:
    both = (node("n1"), report("n1"), offer("n1"))
    asked = (claiming("p", "c"), claim("c"), pod("q", created_s=1))
    assert starts(*both, *asked) == {"p": ("n1", (0,))}
    assert starts(*both, pod("q"), claiming("p", "c", created_s=1), claim("c")) == {"q": ("n1", (0,))}
    assert len(starts(*both, node("n2"), *asked)) == 2
    known = replace(report("n1"), held=(("a/f", (0,)),))
    holder = foreign("f", shape=shape(1), node=NodeName("n1"))
    assert [w[1] for w in waits(*both, holder, *asked[:2])] == [
        "GPUs that it could claim are on nodes where it is not known which of them other pods hold"
    ]
    assert [w[1] for w in waits(*both, claim("x", gpu_name("n1", 0)), pod("q"))] == [
        "the GPUs that are free are on nodes whose device plugin does not know which of them claims hold"
    ]
    assert starts(*both, known, holder, *asked[:2]) == {"p": ("n1", (1,))}


def test_a_pod_on_rules_of_kube_scheduler_is_planned_on_one_node_where_it_claims() -> None:
    rules = claiming("p", "c", shape=shape(0, scheduler_rules=("volumes", "resource claims")))
    assert starts(node("n1", gpus=0), offer("n1"), rules, claim("c")) == {"p": ("n1", (0,))}


@pytest.mark.parametrize(
    ("things", "want"),
    [
        pytest.param(
            (claiming("p", ""),),
            ("a ResourceClaim that its pods name is not there yet", "ResourceClaim of its template for c0"),
            id="of a template",
        ),
        pytest.param(
            (claiming("p", "c", "d"), claim("d")),
            ("a ResourceClaim that its pods name is not there yet", "ResourceClaim c"),
            id="by name",
        ),
        pytest.param(
            (claiming("p", "c"), claim("c", gpu_name("n1", 0))),
            ("a ResourceClaim of its pods still has devices that no plan counts on", "ResourceClaim c"),
            id="left over",
        ),
    ],
)
def test_claims_that_are_not_ready_are_waited_for(things: tuple[Thing, ...], want: tuple[str, str]) -> None:
    assert waits(node("n1", gpus=0), offer("n1"), *things) == [(Reason.CLAIM_NOT_READY, *want)]


def test_where_kube_scheduler_serves_gpus_nothing_is_promised_of_them() -> None:
    serving = DeviceClassSeen(uid="k", name="gpu.nvidia.com", resource="nvidia.com/gpu")
    there = (node("n1", gpus=0), replace(report("n1"), links=graph("dgx1_v100")), offer("n1"), serving)
    assert starts(*there, pod("p", shape=shape(2)))["p"][0] == "n1"
    assert starts(*there, pod("p", shape=shape(2, linked=Linked.REQUIRED))) == {}
    assert len(starts(*there, pod("p"), pod("q"), claiming("r", "c", created_s=1), claim("c"))) == 2
    assert len(starts(*there, claiming("r", "c"), claim("c", gpus=2))["r"][1]) == 2


def trays(count: int, *, reported: bool = False) -> list[Thing]:
    """Nodes of 4 GPUs that are claimed, two to a clique, by their labels or by what exporters report."""
    cliques = [f"c.{i // 2}" for i in range(count)]
    labels = [{"rack": "r"} if reported else {"nvidia.com/gpu.clique": each, "rack": "r"} for each in cliques]
    made = [node(f"n{i}", gpus=0, labels=each) for i, each in enumerate(labels)]
    told = [replace(report(f"n{i}", gpus=4), clique=each) for i, each in enumerate(cliques) if reported]
    return [*made, *told, *(offer(f"n{i}", gpus=4) for i in range(count))]


def channel_gang(pods: int, **fields: object) -> list[Thing]:
    """A gang whose pods claim 4 GPUs and an IMEX channel each."""
    channel = replace(claim("channel", ours=False), channel=True)
    members = [
        replace(claiming(f"p{i}", f"c{i}", "channel", gang=GangClaim(name="g", size=pods)), **fields)
        for i in range(pods)
    ]
    return [channel, *members, *(claim(f"c{i}", gpus=4) for i in range(pods))]


@pytest.mark.parametrize("reported", [False, True], ids=["by labels", "by reports"])
def test_a_gang_with_imex_channels_stays_in_one_clique(reported: bool) -> None:
    busy = claim("x", gpu_name("n0", 0), ours=False)
    there = trays(4, reported=reported)
    assert {at for at, _ in starts(*there, *channel_gang(2), busy).values()} == {"n2", "n3"}
    _, made = planned(state_of(QUEUE, *there, *channel_gang(3)))
    (wait,) = (d for d in made.decisions if isinstance(d, Wait))
    assert wait.reason is Reason.TOPOLOGY_UNSATISFIED
    assert "without claiming channels of a ComputeDomain, which reach no farther than one clique" in wait.unblock
    within = channel_gang(2, topology_required="clique")
    assert {at for at, _ in starts(*there, *within, busy).values()} == {"n2", "n3"}
    ((reason, told, _),) = waits(*there, *channel_gang(2, topology_required="rack"))
    assert reason is Reason.INVALID_REQUEST
    assert told == (
        "required topology of gang a/g is 'rack'; allowed: nvidia.com/gpu.clique or nothing where pods claim an IMEX "
        "channel, which reaches no farther"
    )


def test_a_gpu_model_is_exactly_what_a_claim_names() -> None:
    asked = (claiming("p", "c"), claim("c", models=("=NVIDIA-H200",)))
    nvl = (node("n1", gpus=0, product="NVIDIA-H200-NVL"), offer("n1"))
    assert waits(*nvl, *asked)[0][0] is Reason.NO_NODE_MATCHES
    assert starts(*nvl, node("n2", gpus=0, product="NVIDIA-H200"), offer("n2"), *asked) == {"p": ("n2", (0,))}


def test_claims_that_make_way_leave_their_gpus_to_those_who_come_after() -> None:
    low = claim("c", *(gpu_name("n1", i) for i in range(4)), gpus=4)
    things = (node("n1", gpus=0), offer("n1", gpus=4), claiming("p", "c", node=NodeName("n1"), bound_s=1), low)
    snap, made = planned(state_of(FULL, *things, claiming("q", "d", priority=5), claim("d", gpus=2)), reclaim=True)
    (decision,) = (d for d in made.decisions if isinstance(d, Reclaim))
    assert [victim.pods for victim in decision.victims] == [("p",)]
    assert [len(a.devices) for a in decision.placement.assignments] == [2]
    assert snap.devices_used == {NodeName("n1"): frozenset({0, 1, 2, 3})}


def test_gpus_have_the_memory_that_is_asked_for() -> None:
    small, large = (
        replace(seen, devices=tuple(replace(d, memory_mib=mib) for d in seen.devices))
        for seen, mib in ((offer("n1"), 40_000), (offer("n2"), 80_000))
    )
    there, asked = (node("n1", gpus=0), node("n2", gpus=0), small), (claiming("p", "c"), claim("c", memory_mib=50_000))
    assert starts(*there, large, *asked) == {"p": ("n2", (0,))}
    assert waits(*there, *asked)[0][:2] == (Reason.NO_NODE_MATCHES, "no node has GPUs of 50000 MiB")


def test_slices_are_planned_by_the_places_that_are_offered() -> None:
    snap, made = planned(
        state_of(
            QUEUE,
            node("n1", gpus=0),
            sliceable("n1"),
            slice_claim("others", "1g.10gb", slice_name("n1", 0, "1g.10gb", 0)),
            *(claiming(f"p{i}", f"c{i}", created_s=i) for i in range(3)),
            slice_claim("c0", "3g.40gb"),
            slice_claim("c1", "1g.10gb", count=2),
            claim("c2"),
        )
    )
    given = {a.pod: a for d in made.decisions if isinstance(d, Admit) for a in d.placement.assignments}
    there = snap.nodes[NodeName("n1")]
    assert given[PodUid("p0")].slices == (mig(0, "3g.40gb", 4),)
    assert [there.claimed_as(one) for one in given[PodUid("p0")].slices] == [slice_name("n1", 0, "3g.40gb", 4)]
    assert {(one.device, one.profile) for one in given[PodUid("p1")].slices} == {(0, "1g.10gb")}
    assert given[PodUid("p2")].devices == (1,)


def test_no_slices_where_none_are_made_as_they_are_claimed() -> None:
    asked = (claiming("p", "c"), slice_claim("c", "1g.10gb"))
    assert waits(node("n1", gpus=0), offer("n1"), *asked)[0][0] is Reason.INSUFFICIENT_RESOURCES
    assert starts(node("n1"), sliceable("n1", gpus=8), *asked) == {}


@st.composite
def held(draw: st.DrawFn, name: str, places: list[tuple[DeviceName, ...]]) -> list[Thing]:
    """Claims that have these devices of a node: ours with a pod there, or without, or others'."""
    things: list[Thing] = []
    for i, devices in enumerate(places):
        taken = claim(f"{name}-c{i}", *devices, gpus=len(devices))
        user = claiming(f"{name}-u{i}", f"{name}-c{i}", node=NodeName(name))
        things += draw(st.sampled_from([[taken], [taken, user], [replace(taken, ours=False)]]))
    return things


@st.composite
def divided_nodes(draw: st.DrawFn, name: str) -> list[Thing]:
    """A node whose slices are made as they are claimed, or were made beforehand; some are claimed."""
    if draw(st.booleans()):
        sick = draw(st.sampled_from([(), [(0, "1g.10gb", 1)]]))
        taken = draw(st.lists(st.sampled_from([*MADE_SMALL, (0, "3g.40gb", 4)]), max_size=2, unique=True))
        found: list[Thing] = [node(name, gpus=0), presliced(name, whole=draw(st.sampled_from([(), (2, 3)])), sick=sick)]
        return [*found, *draw(held(name, [(made_name(name, *place),) for place in taken]))]
    here = [(0, "1g.10gb", 3), (1, "3g.40gb", 0), (2, "7g.80gb", 0)]
    some = draw(st.lists(st.sampled_from(here), max_size=2, unique=True))
    things: list[Thing] = [node(name, gpus=0), sliceable(name, gpus=3)]
    for i, (gpu, profile, start) in enumerate(some):
        taken = slice_claim(f"{name}-c{i}", profile, slice_name(name, gpu, profile, start))
        things += [taken, claiming(f"{name}-u{i}", f"{name}-c{i}", node=NodeName(name))][: draw(st.integers(1, 2))]
    return things


@st.composite
def whole_nodes(draw: st.DrawFn, name: str) -> list[Thing]:
    """A node that a plugin, claims or both serve, with pods and claims that have some of its GPUs."""
    serves = draw(st.sampled_from(["plugin", "claims", "both"]))
    things: list[Thing] = [node(name, gpus=0 if serves == "claims" else 8)]
    order = draw(st.permutations(range(8)))
    known: dict[str, tuple[int, ...]] = {}
    for i in range(0 if serves == "claims" else draw(st.integers(0, 2))):
        mine = tuple(sorted(order[2 * i : 2 * i + draw(st.integers(1, 2))]))
        things.append(foreign(f"{name}-f{i}", shape=shape(len(mine)), node=NodeName(name)))
        if draw(st.booleans()):
            known[f"a/{name}-f{i}"] = mine
    if serves == "plugin" or draw(st.booleans()):
        seen = report(name, sick=draw(st.sets(st.integers(0, 7), max_size=2)))
        links = draw(st.sampled_from([None, graph("dgx1_v100"), graph("hgx_h100")]))
        things.append(replace(seen, held=tuple(known.items()), links=links))
    if serves != "plugin":
        places = [tuple(gpu_name(name, i) for i in order[4:6]), (gpu_name(name, order[6]),)]
        things.append(offer(name, gpus=draw(st.sampled_from([range(8), range(6)]))))
        things += draw(held(name, places[: draw(st.integers(0, 2))]))
    return things


@st.composite
def mixtures(draw: st.DrawFn) -> list[Event]:
    """Nodes of all sorts, with work of all sorts there and waiting."""
    things: list[Thing] = [QUEUE]
    for name in ("n1", "n2"):
        things += draw(whole_nodes(name) | whole_nodes(name) | divided_nodes(name))
    linked = st.sampled_from([Linked.ANY, Linked.PREFERRED, Linked.REQUIRED])
    for i in range(draw(st.integers(1, 6))):
        gpus, gang = draw(st.integers(1, 4)), draw(st.sampled_from([None, None, GangClaim(name="g", size=2)]))
        wish, sort = draw(linked), draw(st.sampled_from(["claims", "claims", "slices", "plain", "plain"]))
        if sort == "plain":
            things.append(replace(pod(f"w{i}", shape=shape(gpus, linked=wish)), gang=gang, created_s=i))
        elif sort == "slices":
            profile = draw(st.sampled_from(["1g.10gb", "3g.40gb"]))
            things += [claiming(f"w{i}", f"w{i}", created_s=i), slice_claim(f"w{i}", profile, count=gpus)]
        else:
            things += [claiming(f"w{i}", f"w{i}", shape=shape(0, linked=wish), gang=gang, created_s=i)]
            things.append(claim(f"w{i}", gpus=gpus))
    return [event_of(thing) for thing in draw(st.permutations(things))]


@pytest.mark.long
@settings(max_examples=150, deadline=None)
@given(mixtures())
def test_no_device_is_planned_twice_whatever_claims_and_others_there_are(happened: list[Event]) -> None:
    state = ClusterState()
    for event in happened:
        state.apply(event)
    snap, made = planned(state)
    given: set[tuple[str, int]] = set()
    cut: set[tuple[str, int]] = set()
    slices: set[tuple[str, object]] = set()
    members = {p.uid: p for w in snap.workloads.values() for p in w.members}
    for decision in made.decisions:
        for assignment in decision.placement.assignments if isinstance(decision, Admit) else ():
            asked = members[PodUid(assignment.pod)].shape
            node_, devices = snap.nodes[assignment.node], {(assignment.node, i) for i in assignment.devices}
            assert not devices & given
            assert not {i for _, i in devices} & snap.devices_used.get(assignment.node, frozenset())
            given |= devices
            cut |= {(assignment.node, one.device) for one in assignment.slices}
            assert not cut & given
            assert not {(assignment.node, one) for one in assignment.slices} & slices
            slices |= {(assignment.node, one) for one in assignment.slices}
            assert not set(assignment.slices) & {s for s in snap.slices.get(assignment.node, ()) if s.in_use}
            assert all(node_.claimed_as(one) is not None for one in assignment.slices)
            if asked.by_claim:
                assert len(devices) == asked.requests.gpus
                assert len(assignment.slices) == sum(count for _, count in asked.requests.mig_slices)
                assert all(node_.devices[i].claimed_as is not None for i in assignment.devices)
            else:
                assert not node_.claims_only
