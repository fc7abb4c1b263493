"""Pods that claim parts of GPUs: as many on each as fit, by what the policy of its capacities makes of that."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from scheduler.model.claims import Capacity, Grant
from scheduler.model.names import NodeName
from scheduler.model.plan import Admit, Plan, Reason, Wait
from scheduler.model.queue import Quota
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import GangClaim
from scheduler.planning.cycle import plan
from scheduler.planning.grants import grants
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from scheduler.state.audit import inconsistencies, violations
from scheduler.state.cluster import ClusterState
from scheduler.state.events import ClaimSeen
from tests.state.build import (
    GIB,
    MEMORY,
    Thing,
    claim,
    claiming,
    event_of,
    gpu_name,
    node,
    offer,
    part_claim,
    pod,
    queue,
    sharing,
    state_of,
)

QUEUE = replace(queue(), total=Quota(nominal_milli_gpu=100_000))
CORES = Capacity(name="cores", total=100, default=10)
SHARED = (node("n1", gpus=0), sharing("n1"))


def planned(state: ClusterState) -> tuple[Snapshot, Plan]:
    snap = state.snapshot()
    made = plan(snap, now_s=100, settings=PlanSettings(solver_budget_ms=500, reclaim=False))
    assert broken_rules(snap, made) == []
    return snap, made


def given_by(snap: Snapshot, made: Plan) -> dict[str, tuple[Grant, ...]]:
    """What the claims of each pod that starts are given."""
    found: dict[str, tuple[Grant, ...]] = {}
    members = {p.uid: p for w in snap.workloads.values() for p in w.members}
    for decision in made.decisions:
        for each in decision.placement.assignments if isinstance(decision, Admit) else ():
            got = grants(members[each.pod], each, snap.nodes[each.node])
            assert not isinstance(got, str), got
            found[each.pod] = tuple(grant for some in got.values() for grant in some)
    return found


def starts(*things: Thing) -> dict[str, list[tuple[str, dict[str, int]]]]:
    """Which pods start, on which GPUs of which pool, and with how much memory (GiB) and else of each."""
    return {
        name: [
            (
                f"{g.device.pool}/{g.device.device}",
                {n: a // GIB if n == "memory" else a for n, a in g.consumed},
            )
            for g in got
        ]
        for name, got in given_by(*planned(state_of(QUEUE, *things))).items()
    }


def waits(*things: Thing) -> list[tuple[Reason, str]]:
    _, made = planned(state_of(QUEUE, *things))
    return [(d.reason, d.message) for d in made.decisions if isinstance(d, Wait)]


def asking(name: str, gib: int = 0, *, created_s: int = 0, gang: GangClaim | None = None) -> tuple[Thing, Thing]:
    """A pod with a claim for a part."""
    return claiming(name, f"c-{name}", created_s=created_s, gang=gang), part_claim(f"c-{name}", gib)


def test_parts_are_as_large_as_the_policy_makes_them_and_fill_one_gpu_after_the_other() -> None:
    things = [thing for i, gib in enumerate((31, 40, 1)) for thing in asking(f"p{i}", gib, created_s=i)]
    assert starts(*SHARED, *things) == {
        "p0": [("n1/gpu-0", {"memory": 35})],
        "p1": [("n1/gpu-0", {"memory": 40})],
        "p2": [("n1/gpu-0", {"memory": 5})],
    }


def test_who_names_no_amount_gets_the_default_or_the_whole_gpu_where_there_is_none() -> None:
    assert starts(*SHARED, *asking("p")) == {"p": [("n1/gpu-0", {"memory": 10})]}
    all_of_it = sharing("n1", replace(MEMORY, default=None, least=None))
    assert starts(node("n1", gpus=0), all_of_it, *asking("p"), *asking("q", 10, created_s=1)) == {
        "p": [("n1/gpu-0", {"memory": 80})],
        "q": [("n1/gpu-1", {"memory": 10})],
    }


def test_who_names_no_amount_gets_a_gpu_that_is_not_shared_where_there_are_any() -> None:
    both = (*SHARED, node("n2", gpus=0), offer("n2", gpus=1))
    assert starts(*both, *asking("p")) == {"p": [("n2/gpu-0", {})]}
    assert starts(*both, *asking("p", 1)) == {"p": [("n1/gpu-0", {"memory": 5})]}
    taken = claim("x", gpu_name("n2", 0), ours=False)
    assert [reason for reason, _ in waits(*both, taken, *asking("p"))] == [Reason.INSUFFICIENT_RESOURCES]


@pytest.mark.parametrize(("total", "gib", "pods"), [(80, 5, 16), (24, 8, 3), (70, 10, 7), (81, 27, 3)])
def test_gpus_are_filled_to_the_last_byte(total: int, gib: int, pods: int) -> None:
    gpu = sharing("n1", Capacity(name="memory", total=total * GIB), CORES, gpus=1)
    asked = [thing for i in range(pods + 1) for thing in asking(f"p{i:02}", gib, created_s=i)]
    free = [
        replace(t, requests=(replace(t.requests[0], capacity=(*t.requests[0].capacity, ("cores", 1))),))
        if isinstance(t, ClaimSeen)
        else t
        for t in asked
    ]
    assert len(starts(node("n1", gpus=0), gpu, *free)) == pods


def test_the_same_part_is_less_of_a_larger_gpu() -> None:
    small = sharing("n2", replace(MEMORY, total=20 * GIB), gpus=1)
    there = (node("n1", gpus=0), sharing("n1", gpus=1), node("n2", gpus=0), small)
    many = [thing for i in range(12) for thing in asking(f"p{i:02}", 10, created_s=i)]
    found = Counter(at for got in starts(*there, *many).values() for at, _ in got)
    assert found == {"n1/gpu-0": 8, "n2/gpu-0": 2}


def test_each_capacity_of_a_gpu_counts() -> None:
    both = sharing("n1", MEMORY, CORES, gpus=1)
    things = [thing for i in range(12) for thing in asking(f"p{i:02}", 5, created_s=i)]
    found = starts(node("n1", gpus=0), both, *things)
    assert set(found) == {f"p{i:02}" for i in range(10)}
    assert found["p00"] == [("n1/gpu-0", {"memory": 5, "cores": 10})]


def test_what_others_have_of_a_gpu_is_not_free() -> None:
    foreign = part_claim("x", 70, gpu_name("n1", 0), ours=False)
    assert starts(*SHARED, foreign, *asking("p", 10), *asking("q", 5, created_s=1)) == {
        "p": [("n1/gpu-0", {"memory": 10})],
        "q": [("n1/gpu-1", {"memory": 5})],
    }
    # Without a word on how much, it has all.
    whole = claim("x", gpu_name("n1", 0), ours=False)
    assert starts(*SHARED, whole, *asking("p", 10)) == {"p": [("n1/gpu-1", {"memory": 10})]}
    # What several have of one GPU is counted as it is, and not each part rounded by itself.
    thirds = [part_claim(f"x{i}", 1, gpu_name("n1", 0), has=20, ours=False) for i in range(3)]
    assert starts(*SHARED, *thirds, *asking("p", 20)) == {"p": [("n1/gpu-0", {"memory": 20})]}


def test_what_pods_have_by_their_claims_counts_as_it_was_given() -> None:
    there = claiming("s", "c", node=NodeName("n1"))
    state = state_of(QUEUE, *SHARED, there, part_claim("c", 7, gpu_name("n1", 0), has=60), *asking("p", 25))
    snap, made = planned(state)
    assert snap.shares_used == {NodeName("n1"): ((0, 60 * GIB),)}
    assert [g.device for g in given_by(snap, made)["p"]] == [gpu_name("n1", 1)]
    assert violations(snap) == []


def test_gangs_get_their_parts_whole_or_not_at_all() -> None:
    def gang(size: int) -> list[Thing]:
        return [thing for i in range(size) for thing in asking(f"g{i}", 40, gang=GangClaim(name="g", size=size))]

    assert Counter(at for got in starts(*SHARED, *gang(4)).values() for at, _ in got) == {"n1/gpu-0": 2, "n1/gpu-1": 2}
    assert starts(*SHARED, *gang(5)) == {}


def test_a_claim_for_several_gets_parts_of_several_gpus() -> None:
    several = replace(part_claim("c", 40), requests=(replace(part_claim("c", 40).requests[0], count=2),))
    assert starts(*SHARED, claiming("p", "c"), several) == {
        "p": [("n1/gpu-0", {"memory": 40}), ("n1/gpu-1", {"memory": 40})]
    }


def test_parts_count_for_quota_by_the_smallest_gpu_that_suits() -> None:
    small = sharing("n2", replace(MEMORY, total=20 * GIB), model="NVIDIA L4")
    large = sharing("n1", model="NVIDIA H100")
    there = (node("n1", gpus=0), large, node("n2", gpus=0), small)

    def charged(**fields: object) -> int:
        asked = replace(part_claim("c", 10), **fields)
        (workload,) = state_of(QUEUE, *there, claiming("p", "c"), asked).snapshot().workloads.values()
        return workload.members[0].shape.milli_gpu

    assert charged() == 500
    assert charged(models=("=NVIDIA-H100",)) == 125
    assert charged(memory_mib=50_000) == 125
    tight = replace(QUEUE, total=Quota(nominal_milli_gpu=250, borrowing_limit_milli_gpu=0))
    two = [t for i in range(3) for t in (claiming(f"p{i}", f"c{i}", created_s=i), part_claim(f"c{i}", 10))]
    snap, made = planned(state_of(tight, node("n1", gpus=0), large, *two))
    assert set(given_by(snap, made)) == {"p0", "p1"}
    assert [d.reason for d in made.decisions if isinstance(d, Wait)] == [Reason.QUOTA_EXHAUSTED]


@pytest.mark.parametrize(
    ("there", "gib", "message"),
    [
        pytest.param(
            SHARED, 81, "no node has GPUs of which several claims have parts, with 81Gi memory", id="too much"
        ),
        pytest.param(
            (node("n1", gpus=0), offer("n1")),
            10,
            "no node has GPUs of which several claims have parts, with 10Gi memory",
            id="nothing is shared",
        ),
    ],
)
def test_what_cannot_be_had_is_told(there: tuple[Thing, ...], gib: int, message: str) -> None:
    assert waits(*there, *asking("p", gib)) == [(Reason.NO_NODE_MATCHES, message)]


def test_who_waits_for_a_part_is_told_which_is_nearest() -> None:
    full = [part_claim(f"x{i}", 70, gpu_name("n1", i), ours=False) for i in range(2)]
    ((reason, message),) = waits(*SHARED, *full, *asking("p", 40))
    assert (reason, message) == (Reason.INSUFFICIENT_RESOURCES, "no GPU has a free place for 0.5 of a GPU")


def test_parts_of_several_sizes_in_one_pod_are_refused() -> None:
    things = (claiming("p", "a", "b"), part_claim("a", 10), part_claim("b", 20))
    _, made = planned(state_of(QUEUE, *SHARED, *things))
    (found,) = (d for d in made.decisions if isinstance(d, Wait))
    assert found.reason is Reason.INVALID_REQUEST
    assert "capacity.requests of its claims is 'memory: 10Gi and memory: 20Gi'" in found.message + found.detail


def test_shared_gpus_are_not_given_out_where_they_are_not_all_alike_or_a_plugin_is_there_too() -> None:
    odd = sharing("n1")
    mixed = replace(odd, devices=(odd.devices[0], replace(odd.devices[1], shared=False, capacities=())))
    state = state_of(QUEUE, node("n1", gpus=0), mixed)
    assert starts(node("n1", gpus=0), mixed, *asking("p")) == {"p": [("n1/gpu-1", {})]}
    assert [told.partition(",")[0] for told in state.unclear()] == ["n1 has GPUs that claims share"]
    assert starts(node("n1", gpus=2), odd, *asking("p", 10)) == {}
    _, made = planned(state_of(QUEUE, node("n1", gpus=2), odd, pod("q", gpus=2)))
    assert isinstance(made.decisions[0], Admit)


capacities = st.sampled_from(
    [
        (MEMORY,),
        (replace(MEMORY, default=None, least=None, step=0),),
        (replace(MEMORY, default=80 * GIB, values=(20 * GIB, 27 * GIB, 80 * GIB), least=None, step=0),),
        (MEMORY, CORES),
    ]
)


@st.composite
def clusters(draw: st.DrawFn) -> list[Thing]:
    """Nodes with shared GPUs and whole ones, of which others have some, and pods that claim parts, or nothing named."""
    things: list[Thing] = [QUEUE]
    for name in ("n1", "n2"):
        if draw(st.integers(0, 3)) == 0:
            things += [node(name, gpus=0), offer(name, gpus=2)]
            continue
        things += [node(name, gpus=0), sharing(name, *draw(capacities))]
        for i in range(draw(st.integers(0, 3))):
            has = draw(st.integers(1, 26))
            taken = part_claim(f"{name}-c{i}", has, gpu_name(name, draw(st.integers(0, 1))))
            user = claiming(f"{name}-u{i}", f"{name}-c{i}", node=NodeName(name))
            things += draw(st.sampled_from([[taken], [taken, user], [replace(taken, ours=False)]]))
    for i in range(draw(st.integers(1, 8))):
        gang = draw(st.sampled_from([None, None, GangClaim(name="g", size=2)]))
        things += asking(f"w{i}", draw(st.sampled_from([0, 0, 1, 8, 20, 27, 33, 80])), created_s=i, gang=gang)
    return draw(st.permutations(things))


@settings(max_examples=150, deadline=None)
@given(clusters())
def test_no_capacity_is_given_out_beyond_what_there_is(things: list[Thing]) -> None:
    state = ClusterState()
    for thing in things:
        state.apply(event_of(thing))
    assert inconsistencies(state) == []
    snap, made = planned(state)
    used: Counter[tuple[str, str]] = Counter()
    whole: set[str] = set()
    for thing in things:
        for part in getattr(thing, "parts", ()):
            used.update({(str(part.device), name): amount for name, amount in part.amounts})
    for got in given_by(snap, made).values():
        for grant in got:
            if not grant.consumed:
                assert str(grant.device) not in whole
                whole.add(str(grant.device))
            used.update({(str(grant.device), name): amount for name, amount in grant.consumed})
    total = {(str(d.claimed_as), c.name): c.total for n in snap.nodes.values() for d in n.devices for c in d.capacities}
    assert not [at for at, amount in used.items() if amount > total[at]]
    assert not {device for device, _ in used} & whole
