"""What a whole plan decides, drawn."""

import pytest

from scheduler.model.plan import Admit, Wait
from scheduler.planning.cycle import PlanCache, plan
from scheduler.planning.settings import PlanSettings
from tests.planning.build import draw, equal, gang, node, pods, queue, shape, single, snapshot, waiting
from tests.planning.decided import outcomes, planned


def test_of_two_gangs_with_room_for_one_the_older_runs_whole() -> None:
    snap = draw(
        "n0: ........\nn1: ........\nn2: ........",
        equal("first", 2, created_s=-20),
        equal("second", 2, created_s=-10),
    )
    assert outcomes(snap, "first", "second") == ["n0 n1", "InsufficientResources"]


def test_a_gang_that_fits_in_sum_only_lets_small_jobs_pass() -> None:
    snap = draw(
        "big: ......\nsmall-0: ..\nsmall-1: ..\nsmall-2: ..",
        equal("gang", 3, 4, created_s=-20),
        single("one", shape(2), created_s=-10),
    )
    assert outcomes(snap, "gang", "one") == ["Fragmented", "small-0"]


@pytest.mark.parametrize(
    ("drawing", "count", "gpus", "want"),
    [
        pytest.param("b0/r0 n0: ####....\nb0/r0 n1: ........", 1, 4, "n0", id="fills the node in use"),
        pytest.param("b0/r0 n0: ........\nb0/r1 n1: ........\nb0/r1 n2: ........", 2, 8, "n1 n2", id="one rack"),
        pytest.param(
            "b0/r0 n0: ........\nb0/r0 n1: ........\nb0/r0 n2: ........\nb1/r1 n3: ........\nb1/r1 n4: ........",
            2, 8, "n3 n4", id="the rack that it fills, a larger one stays whole",
        ),
        pytest.param(
            "b0/r0 n0: ....\nb0/r0 n1: ####\nb0/r0 n2: ####\nb1/r1 n3: ....\nb1/r1 n4: ....",
            2, 4, "n3 n4", id="the domain that holds it whole, not the fuller one",
        ),
        pytest.param("b0/r0 n0: ....####\nb1/r1 n1: ....####", 2, 4, "n0 n1", id="two blocks where it must"),
        pytest.param("-/- n0: ........\nb0/r0 n1: ....\nb0/r0 n2: ....", 2, 4, "n0 n0", id="fewest nodes"),
        pytest.param("-/- n0: ....\n-/- n1: ....\nb0/r0 n2: ....\nb0/r0 n3: ....", 2, 4, "n2 n3", id="known places"),
        pytest.param("n0: x.......", 1, 8, "InsufficientResources", id="an unhealthy GPU is not planned on"),
        pytest.param("n0: .", 2, 0, "n0 n0", id="no GPUs at all"),
    ],
)  # fmt: skip
def test_where_a_gang_goes(drawing: str, count: int, gpus: int, want: str) -> None:
    assert outcomes(draw(drawing, equal("g", count, gpus)), "g") == [want]


def test_consecutive_ranks_stand_together() -> None:
    snap = draw("b0/r0 n0: ....\nb0/r1 n1: ....\nb0/r0 n2: ....\nb0/r1 n3: ....", equal("g", 8, 2))
    assert outcomes(snap, "g") == ["n0 n0 n2 n2 n1 n1 n3 n3"]


def test_a_launcher_without_gpus_moves_in_with_its_workers() -> None:
    members = pods("g", [shape(0), shape(8), shape(8)])
    snap = draw("cpu:\nb0/r0 n0: ........\nb0/r0 n1: ........\nb0/r1 n2: ........", gang("g", members))
    assert outcomes(snap, "g") == ["n0 n0 n1"]


def test_a_gang_without_gpus_leaves_gpu_nodes_to_others() -> None:
    assert outcomes(draw("a0: ....\nb0/r0 m0: ....\nz0:", equal("g", 2, 0)), "g") == ["z0 z0"]
    crowd = gang("g", pods("g", [shape(0, milli_cpu=40_000)] * 2))
    assert outcomes(draw("a0: ....\nz0:", crowd), "g") == ["a0 z0"]


def test_larger_pods_of_a_gang_go_first() -> None:
    members = pods("g", [shape(1), shape(1), shape(4)])
    assert outcomes(draw("n0: ....\nn1: ..", gang("g", members)), "g") == ["n1 n1 n0"]


def test_devices_are_predicted_and_never_shared() -> None:
    snap = draw("n0: #.......", equal("g", 2, 3))
    (decision,) = planned(snap).decisions
    assert isinstance(decision, Admit)
    assert [a.devices for a in decision.placement.assignments] == [(1, 2, 3), (4, 5, 6)]


def test_spread_and_proof_are_told() -> None:
    snap = draw("b0/r0 n0: ........\nb0/r1 n1: ........\nb1/r2 n2: ........", equal("g", 2))
    (decision,) = planned(snap).decisions
    assert isinstance(decision, Admit)
    assert [(u.level, u.used, u.fewest) for u in decision.placement.spread] == [
        ("block", 1, 1),
        ("rack", 2, 2),
        ("node", 2, 2),
    ]
    assert decision.placement.proof.status == "optimal"
    assert decision.placement.proof.gap == 0.0


# ---- order


def test_priority_goes_before_age() -> None:
    snap = draw("n0: ........", equal("old", 1, created_s=1), equal("urgent", 1, priority=10, created_s=2))
    assert outcomes(snap, "old", "urgent") == ["InsufficientResources", "n0"]


def test_the_older_goes_before_the_younger_whatever_their_names() -> None:
    snap = draw("n0: ........", equal("zebra", 1, created_s=1), equal("ant", 1, created_s=2))
    assert outcomes(snap, "zebra", "ant") == ["n0", "InsufficientResources"]


def test_nominal_quota_goes_before_borrowing() -> None:
    rich = queue("rich", nominal=8)
    snap = draw(
        "n0: ........",
        equal("borrows", 1, created_s=1),
        equal("owns", 1, queue=rich.name, created_s=2),
        queues=[queue("a", nominal=4), rich],
    )
    assert outcomes(snap, "borrows", "owns") == ["InsufficientResources", "n0"]


def test_who_borrows_is_judged_as_the_plan_goes() -> None:
    other = queue("other", nominal=4)
    snap = draw(
        "n0: ........",
        equal("first", 1, 4, created_s=1),
        equal("second", 1, 4, created_s=2),
        equal("third", 1, 4, queue=other.name, created_s=3),
        queues=[queue("a", nominal=4), other],
    )
    assert outcomes(snap, "first", "second", "third") == ["n0", "InsufficientResources", "n0"]


def test_of_equals_the_first_by_name() -> None:
    assert outcomes(draw("n0: ........", equal("b", 1), equal("a", 1)), "a", "b") == ["n0", "InsufficientResources"]


# ---- topology


RACKS = "b0/r0 n0: ........\nb0/r0 n1: ########\nb0/r1 n2: ........\nb0/r1 n3: ........\nb1/r2 n4: ........"


@pytest.mark.parametrize(
    ("required", "count", "want"),
    [
        ("rack", 2, "n2 n3"),
        ("r", 2, "n2 n3"),
        ("rack", 3, "TopologyUnsatisfied"),
        ("block", 3, "n0 n2 n3"),
        ("block", 4, "TopologyUnsatisfied"),
        ("node", 1, "n4"),
        ("node", 2, "TopologyUnsatisfied"),
        ("kubernetes.io/hostname", 1, "n4"),
        ("shelf", 1, "InvalidRequest"),
    ],
)
def test_a_required_level(required: str, count: int, want: str) -> None:
    assert outcomes(draw(RACKS, equal("g", count, topology_required=required)), "g") == [want]


def test_a_required_level_counts_the_standing_members() -> None:
    members = pods("g", [shape(8)] * 2, on=["n0"], bound_s=10, created_s=5)
    grown = gang("g", members, least=1, topology_required="rack")
    assert outcomes(draw(RACKS, grown), "g") == ["RunsWithFewer"]


def test_nodes_without_the_label_are_never_used_for_a_required_level() -> None:
    snap = draw("n0: ........\nb0/r0 n1: ....", equal("g", 1, topology_required="rack"))
    assert outcomes(snap, "g") == ["NoNodeMatches"]


def test_a_preferred_level_walks_up() -> None:
    assert outcomes(draw(RACKS, equal("g", 3, topology_preferred="rack")), "g") == ["n0 n2 n3"]


def test_a_preferred_label_that_is_no_level_counts_as_one() -> None:
    nodes = [node(f"n{i}", labels={"power": "ab"[i % 2]}) for i in range(4)]
    snap = snapshot(nodes, [equal("g", 2, topology_preferred="power")], topology=())
    assert outcomes(snap, "g") == ["n0 n2"]


# ---- gangs that may stand with fewer


def test_an_elastic_gang_takes_what_there_is() -> None:
    assert outcomes(draw("n0: ........\nn1: ........", equal("g", 3, least=2)), "g") == ["n0 n1"]
    assert outcomes(draw("n0: ........", equal("g", 3, least=2)), "g") == ["InsufficientResources"]


def test_an_elastic_gang_stays_within_quota() -> None:
    snap = draw("n0: ........\nn1: ........", equal("g", 3, 4, least=1), queues=[queue("a", nominal=8, borrow=0)])
    assert outcomes(snap, "g") == ["n0 n0"]


def test_surplus_members_wait_their_turn() -> None:
    members = pods("wide", [shape(8)] * 2, on=["n0"], bound_s=10, created_s=5)
    snap = draw(
        "n0: ........\nn1: ........",
        gang("wide", members, least=1, created_s=5),
        equal("urgent", 1, priority=5, created_s=9),
    )
    assert outcomes(snap, "wide", "urgent") == ["RunsWithFewer", "n1"]


# ---- what is left alone


def test_workloads_in_flight_or_whole_get_no_decision() -> None:
    whole = gang("whole", pods("whole", [shape(1)], on=["n0"]))
    assert planned(draw("n0: ....", whole)).decisions == ()


def test_a_deleted_member_is_neither_pending_nor_placed() -> None:
    members = (*pods("g", [shape(1)]), *pods("h", [shape(1)], deleting=True))
    assert outcomes(draw("n0: ....", gang("g", members)), "g") == ["GangIncomplete"]


def test_decisions_are_the_same_with_a_cache_and_without() -> None:
    cache = PlanCache()
    for drawing in ("n0: ....\nn1: ....", "n0: ##..\nn1: ....", "n0: ##..\nn1: ....\nn2: ...."):
        snap = draw(drawing, equal("g", 2, 3), single("s", shape(2)))
        fresh = plan(snap, now_s=0, settings=PlanSettings())
        assert plan(snap, now_s=0, settings=PlanSettings(), cache=cache) == fresh
        assert plan(snap, now_s=0, settings=PlanSettings(), cache=cache) == fresh


def test_a_plan_names_its_snapshot() -> None:
    assert planned(draw("n0: .", generation=7)).generation == 7


def test_who_asks_for_less_is_not_told_what_another_was() -> None:
    drawing = "b0/r0 n0: ........\nb0/r1 n1: ........"
    strict = equal("strict", 2, created_s=1, topology_required="rack")
    # A required level that no rack could ever meet keeps no room for the gang.
    assert outcomes(draw(drawing, strict, equal("loose", 2, created_s=2)), "strict", "loose") == [
        "TopologyUnsatisfied",
        "n0 n1",
    ]
    whole, part = equal("whole", 3, created_s=1), equal("part", 3, created_s=2, least=2)
    assert outcomes(draw(drawing, whole, part), "whole", "part") == ["InsufficientResources", "n0 n1"]
    names = frozenset(draw(drawing).nodes)
    avoids = single("avoids", shape(8), created_s=1, avoid=names)
    assert outcomes(draw(drawing, avoids, single("free", shape(8), created_s=2)), "avoids", "free") == [
        "NodeRefused",
        "n0",
    ]


def test_refusals_of_equal_gangs_are_worked_out_once_and_told_to_each() -> None:
    snap = draw("n0: ....", *(equal(f"g{i}", 2, 4) for i in range(3)))
    waits = [waiting(planned(snap), f"g{i}") for i in range(3)]
    assert [w.workload for w in waits] == [f"gang:team/g{i}" for i in range(3)]
    assert len({w.message for w in waits}) == 1
    assert all(isinstance(w, Wait) for w in waits)
