"""Who makes way for what, drawn."""

from typing import Any

import msgspec
import pytest

from scheduler.model.names import NodeName, PodUid
from scheduler.model.plan import Admit, Assignment, Offer, Reclaim, Wait
from scheduler.model.queue import Quota
from scheduler.model.snapshot import InFlight, Snapshot
from scheduler.model.workload import HostPort, Workload
from scheduler.planning.settings import PlanSettings
from tests.planning.build import drawn, gang, node, outcome, pods, shape, single, snapshot, waiting
from tests.planning.reclaim.cases import SETTINGS, asks, claims, decided, gone, runs, team, tree

TEAMS = tree(team("a", 8), team("b", 8))


def nodes(drawing: str, *work: Workload, queues: Any = TEAMS, **more: Any) -> Snapshot:  # noqa: ANN401
    made, _ = drawn(drawing)
    return snapshot(made, work, queues=queues, **more)


TWO = "n1: ........\nn2: ........"
RACKS = "b0/r0 n1: ........\nb0/r0 n2: ........\nb0/r1 n3: ........\nb0/r1 n4: ........"


def test_the_youngest_guest_makes_way_and_the_owner_has_its_gpus() -> None:
    snap = nodes(TWO, runs("old", "a", ["n1"], since=500), runs("new", "a", ["n2"], since=50), asks("x", "b"))
    (claim,) = claims(decided(snap))
    assert [(v.workload, v.queue, v.pods, v.cost_gpu_seconds, v.why) for v in claim.victims] == [
        ("pod:team/new", "a", ("new-0",), 400, "reclaim")
    ]
    assert [(a.node, len(a.devices)) for a in claim.placement.assignments] == [("n2", 8)]
    assert (claim.proof.status, claim.proof.cost, claim.lent_milli_gpu) == ("optimal", 400, 8000)


def test_of_equal_losses_in_a_higher_tier_the_one_is_taken_that_spares_more_below() -> None:
    # Either surplus member makes room for x, but on n0 a pod of lower priority would have to leave as well.
    made, _ = drawn("n0: ....\nn1: ....\nn2: ....")
    elastic = runs("elastic", "a", ["n1", "n0", "n2"], 2, least=1, since=0, priority=5)
    work = [elastic, runs("small", "a", ["n0"], 1, since=0), asks("x", "a", 1, 4, priority=9, preemptible=False)]
    (claim,) = claims(decided(snapshot(made, work, queues=tree(team("a", 4), team("b", 0)))))
    assert [(v.workload, v.pods) for v in claim.victims] == [("gang:team/elastic", ("elastic-2",))]


def test_a_checkpoint_lowers_the_cost() -> None:
    saved = runs("saved", "a", ["n1"], since=500)
    (pod,) = saved.members
    saved = msgspec.structs.replace(saved, members=(msgspec.structs.replace(pod, checkpointed_s=9_990),))
    snap = nodes(TWO, saved, runs("new", "a", ["n2"], since=50), asks("x", "b"))
    (claim,) = claims(decided(snap))
    assert [(v.workload, v.cost_gpu_seconds) for v in claim.victims] == [("pod:team/saved", 80)]


@pytest.mark.parametrize(
    ("guest", "why"),
    [
        ({"preemptible": False}, "not preemptible"),
        ({"queue": "b"}, "the asking queue itself borrows then"),
    ],
)
def test_nobody_makes_way(guest: dict[str, Any], why: str) -> None:
    queue = guest.pop("queue", "a")
    snap = nodes(TWO, runs("old", queue, ["n1"], **guest), runs("new", queue, ["n2"], **guest), asks("x", "b"))
    assert gone(decided(snap)) == set(), why


def test_min_runtime_counts_from_the_latest_pod() -> None:
    queues = tree(team("a", 0, min_runtime_s=100), team("b", 8))
    grown = gang(
        "grown",
        (*pods("g", [shape(4)], on=["n1"], bound_s=0), *pods("h", [shape(4)], on=["n1"], bound_s=9_950)),
        queue="a",
    )
    made, _ = drawn("n1: ........")
    assert gone(decided(snapshot(made, [grown, asks("x", "b")], queues=queues))) == set()
    longer = gang("grown", pods("g", [shape(4)] * 2, on=["n1", "n1"], bound_s=9_900), queue="a")
    assert gone(decided(snapshot(made, [longer, asks("x", "b")], queues=queues))) == {"grown"}


def test_surplus_leaves_before_any_gang() -> None:
    elastic = runs("elastic", "a", ["n1", "n2"], 4, least=1, since=5000)
    cheap = runs("cheap", "a", ["n1", "n2"], 4, since=1)
    snap = nodes(TWO, elastic, cheap, asks("x", "b", 1, 4))
    (claim,) = claims(decided(snap))
    assert [(v.workload, v.pods, v.why) for v in claim.victims] == [("gang:team/elastic", ("elastic-1",), "surplus")]


def test_a_gang_leaves_whole_with_its_surplus() -> None:
    elastic = runs("elastic", "a", ["n1", "n2", "n3"], least=2, since=10)
    snap = nodes(RACKS, elastic, asks("x", "b", 4), queues=tree(team("a", 0), team("b", 32)))
    (claim,) = claims(decided(snap))
    assert [(len(v.pods), v.why) for v in claim.victims] == [(3, "reclaim")]


def test_growing_makes_nobody_leave() -> None:
    small = gang("small", pods("s", [shape(8)] * 2, on=["n1"], bound_s=0), least=1, queue="b")
    snap = nodes(TWO, small, runs("guest", "a", ["n2"]), queues=tree(team("a", 0), team("b", 16)))
    assert gone(decided(snap)) == set()


def test_a_gang_takes_only_its_least_from_others() -> None:
    guests = [runs(f"g{i}", "a", [f"n{i}"], since=i) for i in (1, 2, 3, 4)]
    wish = gang("x", pods("x", [shape(8)] * 3), least=2, queue="b")
    made = decided(nodes(RACKS, *guests, wish, queues=tree(team("a", 0), team("b", 32))))
    assert gone(made) == {"g1", "g2"}
    assert sorted(outcome(made, "x").split()) == ["n1", "n2"]


def test_all_of_a_gang_fits_its_rack() -> None:
    work = [
        runs("a1", "a", ["n1"], since=1),
        runs("a2", "a", ["n2"], since=900),
        runs("a3", "a", ["n3"], since=2),
        runs("a4", "a", ["n4"], since=100),
    ]
    snap = nodes(RACKS, *work, asks("x", "b", 2, topology_required="rack"), queues=tree(team("a", 16), team("b", 16)))
    made = decided(snap)
    assert gone(made) == {"a3", "a4"}
    assert sorted(outcome(made, "x").split()) == ["n3", "n4"]


def test_what_one_victim_leaves_over_is_used_before_another_leaves() -> None:
    wide = runs("wide", "a", ["n1", "n2"], since=1)
    small = runs("small", "a", ["n3"], since=900)
    work = [asks("x1", "b"), asks("x2", "b")]
    made = decided(nodes(RACKS.rsplit("\n", 1)[0], wide, small, *work, queues=tree(team("a", 8), team("b", 16))))
    assert gone(made) == {"wide"}
    assert [len(c.victims) for c in claims(made)] == [1, 0]


def test_reclaim_goes_before_preempting_ones_own() -> None:
    own = runs("own", "b", ["n1"], since=1)
    guest = runs("guest", "a", ["n2"], since=900, priority=50)
    snap = nodes(TWO, own, guest, asks("x", "b", priority=9), queues=tree(team("a", 0), team("b", 16)))
    assert gone(decided(snap)) == {"guest"}


def test_ones_own_make_way_where_the_guest_is_of_no_use() -> None:
    own = runs("own", "b", ["n1", "n1"], 4, since=1)
    guest = runs("guest", "a", ["n2"], 4, since=900)
    fixed = runs("fixed", "b", ["n2"], 4, preemptible=False, priority=9)
    snap = nodes(TWO, own, guest, fixed, asks("x", "b", priority=9), queues=tree(team("a", 0), team("b", 16)))
    assert gone(decided(snap)) == {"own"}


def test_nobody_leaves_for_pods_that_only_kube_scheduler_can_place() -> None:
    choosy = single("x", shape(8, scheduler_rules=("volumes",)), queue="b")
    snap = nodes("n1: ........", runs("guest", "a", ["n1"]), choosy, queues=tree(team("a", 0), team("b", 8)))
    assert isinstance(decided(snap).decisions[0], Wait)


def test_an_offer_names_no_node_that_is_being_left() -> None:
    queues = tree(team("a", 0), team("b", 16))
    choosy = single("y", shape(4, scheduler_rules=("volumes",)), queue="b")
    made = decided(nodes("n1: ........", runs("guest", "a", ["n1"]), asks("x", "b", 1, 4), choosy, queues=queues))
    assert [type(d) for d in made.decisions] == [Reclaim, Wait]
    assert not any(isinstance(d, Offer) for d in made.decisions)


def test_work_in_flight_stays() -> None:
    starting = asks("starting", "a")
    uid = PodUid(starting.members[0].uid)
    flight = InFlight(
        workload=starting.key,
        queue=TEAMS[0].name,
        assignments=(Assignment(pod=uid, node=NodeName("n1"), devices=tuple(range(8))),),
        milli_gpu=8000,
    )
    snap = nodes("n1: ........", starting, asks("x", "b"), queues=tree(team("a", 0), team("b", 8)), in_flight=[flight])
    assert gone(decided(snap)) == set()


def test_ports_and_gpus_of_those_who_leave_are_free() -> None:
    held = single("held", shape(2, host_ports=(HostPort(port=80),)), on="n1", queue="a")
    wants = single("x", shape(2, host_ports=(HostPort(port=80),)), queue="b")
    ports = {"n1": (HostPort(port=80),)}
    made = decided(nodes("n1: ........", held, wants, queues=tree(team("a", 0), team("b", 8)), ports=ports))
    assert gone(made) == {"held"}


def test_broken_gpus_of_those_who_leave_are_not_used() -> None:
    guest = runs("guest", "a", ["n1"], 6)
    made = decided(nodes("n1: ..x.....", guest, asks("x", "b", 1, 7), queues=tree(team("a", 0), team("b", 8))))
    (claim,) = claims(made)
    assert claim.placement.assignments[0].devices == (0, 1, 3, 4, 5, 6, 7)


def test_the_model_that_is_owned_comes_back() -> None:
    def flavored(name: str, h100: int, a100: int) -> Any:  # noqa: ANN401
        flavors = tuple((f, Quota(nominal_milli_gpu=1000 * n)) for f, n in (("A100", a100), ("H100", h100)))
        return msgspec.structs.replace(team(name), flavors=flavors)

    fleet = [node("h1"), node("h2"), node("x1", product="NVIDIA-A100-SXM4-80GB")]
    queues = tree(flavored("a", 8, 8), flavored("b", 8, 0))
    work = [runs("old", "a", ["h1"], since=100), runs("new", "a", ["h2"], since=10)]
    any_model = asks("x", "b")
    made = decided(snapshot(fleet, [*work, any_model], queues=queues))
    # What b owns are H100s, but an idle A100 may be borrowed.
    assert isinstance(made.decisions[0], Admit)
    picky = single("x", shape(8, models=("H100",)), queue="b")
    made = decided(snapshot(fleet, [*work, picky], queues=queues))
    assert gone(made) == {"new"}


def test_what_is_not_preemptible_has_nominal_quota_only() -> None:
    queues = tree(team("a", 4), team("b", 4))
    firm = asks("x", "a", 1, 8, preemptible=False)
    made = decided(nodes("n1: ........", firm, queues=queues))
    assert "not preemptible" in waiting(made, "x").message
    assert outcome(decided(nodes("n1: ........", asks("x", "a", 1, 8), queues=queues)), "x") == "n1"
    made = decided(nodes("n1: ........", asks("x", "a", 1, 4, preemptible=False), queues=queues))
    assert outcome(made, "x") == "n1"


def test_a_gang_that_gives_up_pods_does_not_grow_in_the_same_plan() -> None:
    members = pods("e", [shape(4)] * 4, on=["n1", "n1", "n2"], bound_s=0)
    elastic = gang("elastic", members, least=1, queue="a")
    queues = tree(team("a", 0), team("b", 8))
    made = decided(nodes(TWO, elastic, asks("x", "b", 1, 8), queues=queues))
    assert gone(made) <= {"elastic"}
    assert not {d.workload for d in made.decisions if isinstance(d, Admit)} & {"gang:team/elastic"}


def test_it_can_be_switched_off() -> None:
    snap = nodes(TWO, runs("old", "a", ["n1"]), runs("new", "a", ["n2"]), asks("x", "b"))
    assert gone(decided(snap, PlanSettings())) == set()
    assert gone(decided(snap, SETTINGS)) != set()


def test_cpu_that_is_held_comes_back_too() -> None:
    hungry = single("hungry", shape(1, milli_cpu=60_000), on="n1", queue="a")
    wants = single("x", shape(4, milli_cpu=32_000), queue="b")
    snap = nodes("n1: ........", hungry, wants, queues=tree(team("a", 0), team("b", 8)))
    assert gone(decided(snap)) == {"hungry"}


def test_of_two_tiers_the_higher_decides() -> None:
    work = [
        runs("high-0", "a", ["n1"], since=5, priority=9),
        runs("low-0", "a", ["n2"], since=1000),
        runs("high-1", "a", ["n3"], since=10, priority=9),
        runs("low-1", "a", ["n4"], since=1),
    ]
    snap = nodes(RACKS, *work, asks("x", "b", 2, topology_required="rack"), queues=tree(team("a", 0), team("b", 16)))
    assert gone(decided(snap)) == {"high-0", "low-0"}


def test_a_gang_whose_surplus_is_safe_is_safe_whole() -> None:
    queues = tree(team("a", 0, min_runtime_s=100), team("b", 8))
    grown = gang(
        "grown",
        (*pods("g", [shape(4)], on=["n1"], bound_s=9_000), *pods("h", [shape(4)], on=["n1"], bound_s=9_950)),
        least=1,
        queue="a",
    )
    dear = runs("dear", "a", ["n2"], since=9_000)
    assert gone(decided(nodes(TWO, grown, dear, asks("x", "b", 1, 4), queues=queues))) == {"dear"}


def test_work_that_is_not_preemptible_makes_others_leave_only_nodes_whose_model_its_queue_owns() -> None:
    flavors = (
        ("A100", Quota(nominal_milli_gpu=4000)),
        ("H100", Quota(nominal_milli_gpu=0, borrowing_limit_milli_gpu=4000)),
    )
    team_ = msgspec.structs.replace(team("a", 8), flavors=flavors)
    nodes = [node("n1", 4, product="A100"), node("n2", 4, product="H100")]
    work = [runs("own", "a", ["n1"], 4), asks("x", "a", gpus=4, priority=5, preemptible=False)]
    (claim,) = claims(decided(snapshot(nodes, work, queues=tree(team_))))
    assert [assignment.node for assignment in claim.placement.assignments] == ["n1"]
    assert gone(decided(snapshot(nodes, work, queues=tree(team_)))) == {"own"}


def test_two_teams_do_not_evict_each_other_by_turns() -> None:
    nodes = [node("n1", 4), node("n2", 4)]
    work = [
        runs("high", "a", ["n1"], 4, priority=10),
        runs("low", "a", ["n2"], 1),
        runs("mine", "b", ["n2"], 2, preemptible=False),
        asks("x", "b", gpus=4, priority=10),
    ]
    made = decided(snapshot(nodes, work, queues=tree(team("a", 4), team("b", 6))))
    assert claims(made) == []
