"""What a whole plan decides, drawn."""

import msgspec
import pytest

from scheduler.model.plan import Admit, Plan, Wait
from scheduler.model.queue import Quota
from scheduler.model.resources import Resources
from scheduler.model.snapshot import InFlight, Snapshot
from scheduler.model.workload import HostPort
from scheduler.planning.cycle import PlanCache, plan
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import draw, equal, gang, node, outcome, pods, queue, shape, single, snapshot, waiting


def planned(snap: Snapshot) -> Plan:
    decided = plan(snap, now_s=1000, settings=PlanSettings())
    assert broken_rules(snap, decided) == []
    return decided


def outcomes(snap: Snapshot, *names: str) -> list[str]:
    decided = planned(snap)
    return [outcome(decided, name) for name in names]


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


# ---- quota


def test_each_admission_is_charged_before_the_next() -> None:
    snap = draw(
        "n0: ........\nn1: ........",
        *(single(f"s{i}", shape(2), created_s=i) for i in range(4)),
        queues=[queue("a", nominal=4, borrow=1)],
    )
    assert outcomes(snap, "s0", "s1", "s2", "s3") == ["n0", "n0", "QuotaExhausted", "QuotaExhausted"]


def test_standing_and_in_flight_members_count_once() -> None:
    flying = equal("flying", 2, 2)
    stands = gang("stands", pods("stands", [shape(2)], on=["n0"]))
    half = msgspec.structs.replace(flying.members[0], node="n1")
    flying = msgspec.structs.replace(flying, members=(half, flying.members[1]))
    going = plan(draw("n1: ####....", equal("flying", 2, 2)), now_s=0, settings=PlanSettings())
    (admit,) = going.decisions
    assert isinstance(admit, Admit)
    flight = InFlight(workload=flying.key, queue=queue().name, assignments=admit.placement.assignments, milli_gpu=4000)
    for limit, want in ((8, "n1"), (7, "QuotaExhausted")):
        snap = draw(
            "n0: ........\nn1: ........",
            flying,
            stands,
            single("more", shape(2)),
            queues=[queue("a", nominal=limit, borrow=0)],
            in_flight=[flight],
        )
        assert outcomes(snap, "more", "flying") == [want, "no decision"]


def test_a_flavor_limits_the_nodes_that_may_be_used() -> None:
    nodes = [node("h0", product="NVIDIA-H100-80GB-HBM3"), node("l0", product="NVIDIA-L40S")]
    limited = queue("a", flavors={"H100": 2})
    wide = [single("a0", shape(2)), single("a1", shape(2)), equal("g", 2, 2)]
    assert outcomes(snapshot(nodes, wide, queues=[limited]), "g", "a0", "a1") == ["l0 l0", "l0", "l0"]
    picky = [single(f"s{i}", shape(1, models=("H100",))) for i in range(3)]
    found = outcomes(snapshot(nodes, picky, queues=[limited]), "s0", "s1", "s2")
    assert found == ["h0", "h0", "QuotaExhausted"]


def test_mig_slices_are_charged_to_their_profile() -> None:
    two_slices = Quota(nominal_milli_gpu=2 * 142, borrowing_limit_milli_gpu=0)
    snap = snapshot(
        [node("m0", 0, product="A100", mig={"1g.10gb": 7, "3g.40gb": 2})],
        [*(single(f"s{i}", shape(mig="1g.10gb")) for i in range(3)), single("large", shape(mig="3g.40gb"))],
        queues=[msgspec.structs.replace(queue("a"), flavors=(("1g.10gb", two_slices),))],
    )
    assert outcomes(snap, "s0", "s1", "s2", "large") == ["m0", "m0", "QuotaExhausted", "m0"]


# ---- models


def test_a_gang_that_accepts_several_models_gets_one() -> None:
    nodes = [
        node("a0", product="A100"),
        node("h0", product="H100"),
        node("l0", product="L40S"),
        node("l1", product="L40S"),
    ]
    members = pods("g", [shape(8, models=("H100", "L40S", "A100"))] * 2)
    assert outcomes(snapshot(nodes, [gang("g", members)]), "g") == ["l0 l1"]
    three = gang("g", pods("g", [shape(8, models=("H100", "A100"))] * 2))
    assert outcomes(snapshot(nodes, [three]), "g") == ["InsufficientResources"]


def test_members_that_stand_settle_the_model() -> None:
    nodes = [
        node("h0", product="H100"),
        node("h1", product="H100"),
        node("h2", product="H100"),
        node("l0", 2, product="L40S"),
    ]
    members = pods("g", [shape(2, models=("L40S", "H100"))] * 2, on=["h0"], bound_s=10, created_s=5)
    snap = snapshot(nodes, [gang("g", members, least=1)], held={"h0": range(2, 8)})
    assert outcomes(snap, "g") == ["h1"]


def test_a_gang_without_wishes_is_not_mixed_without_need() -> None:
    nodes = [node("a0", product="A100"), node("h0", product="H100"), node("h1", product="H100")]
    assert outcomes(snapshot(nodes, [equal("g", 2)]), "g") == ["h0 h1"]
    assert outcomes(snapshot(nodes, [equal("g", 3)]), "g") == ["a0 h0 h1"]


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


# ---- pods whose rules only kube-scheduler knows


def test_such_a_pod_is_offered_every_node_that_takes_it_best_first() -> None:
    picky = shape(2, scheduler_rules=("volumes",))
    snap = draw("n0: ....\nn1: ##..\nn2: ###.\nn3: ....", single("one", picky))
    assert outcomes(snap, "one") == ["offered n1 n0 n3"]


def test_offers_are_counted_on_the_best_node() -> None:
    picky = shape(2, scheduler_rules=("volumes",))
    snap = draw("n0: ##..\nn1: ....", *(single(f"s{i}", picky, created_s=i) for i in range(4)))
    assert outcomes(snap, "s0", "s1", "s2", "s3") == [
        "offered n0 n1",
        "offered n1",
        "offered n1",
        "InsufficientResources",
    ]


def test_offers_leave_out_what_the_queue_cannot_pay_and_what_refused() -> None:
    picky = shape(1, scheduler_rules=("volumes",))
    nodes = [node("h0", product="H100"), node("l0", product="L40S"), node("l1", product="L40S")]
    refused = single("one", picky, avoid=frozenset({nodes[1].name}))
    assert outcomes(snapshot(nodes, [refused], queues=[queue("a", flavors={"H100": 0})]), "one") == ["offered l1"]


def test_refused_nodes_are_avoided_and_that_is_told_when_nothing_is_left() -> None:
    drawing = "n0: ........\nn1: ........"
    (first, second) = (n.name for n in draw(drawing).nodes.values())
    assert outcomes(draw(drawing, equal("g", 1, avoid=frozenset({first}))), "g") == ["n1"]
    assert outcomes(draw(drawing, equal("g", 1, avoid=frozenset({first, second}))), "g") == ["NodeRefused"]
    assert outcomes(draw(drawing, single("s", avoid=frozenset({first, second}))), "s") == ["NodeRefused"]


# ---- single pods


def test_single_pods_fill_nodes_in_use_and_leave_whole_ones_whole() -> None:
    snap = draw("n0: ....\nn1: #...\nn2: ###.", *(single(f"s{i}", shape(1), created_s=i) for i in range(5)))
    assert outcomes(snap, "s0", "s1", "s2", "s3", "s4") == ["n2", "n1", "n1", "n1", "n0"]


def test_a_small_node_that_is_whole_stays_so() -> None:
    assert outcomes(draw("n0: ..\nn1: ####....", single("s", shape(2))), "s") == ["n1"]


def test_many_equal_pods_go_where_they_would_go_one_by_one() -> None:
    drawing = "n0: ........\nn1: ###.....\nn2: ##......\nn3: #####..."
    together = planned(draw(drawing, *(single(f"s{i:02}", shape(2), created_s=i) for i in range(12))))
    held = {"n1": 3, "n2": 2, "n3": 5, "n0": 0}
    for i in range(12):
        signs = "\n".join(f"{name}: {'#' * n}{'.' * (8 - n)}" for name, n in sorted(held.items()))
        alone = outcome(planned(draw(signs, single("s", shape(2)))), "s")
        assert outcome(together, f"s{i:02}") == alone
        if alone in held:
            held[alone] += 2


def test_a_single_pod_with_a_host_port() -> None:
    port = shape(1, host_ports=(HostPort(port=80),))
    snap = draw("n0: ....\nn1: ....", *(single(f"s{i}", port) for i in range(3)))
    assert outcomes(snap, "s0", "s1", "s2") == ["n0", "n1", "Fragmented"]


def test_terminating_and_foreign_pods_take_room() -> None:
    snap = snapshot([node("n0")], [single("s", shape(1, milli_cpu=1000))], used={"n0": Resources(milli_cpu=63_500)})
    assert outcomes(snap, "s") == ["InsufficientResources"]


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


def test_when_nodes_change_their_product_what_stands_is_charged_anew() -> None:
    stands = gang("stands", pods("stands", [shape(4)], on=["n0"]))
    limited = [queue("a", flavors={"H100": 4})]
    wants = single("wants", shape(1, models=("H100",)))
    cache = PlanCache()
    for generation, (product, want) in enumerate([("L40S", "n1"), ("H100", "QuotaExhausted"), ("L40S", "n1")]):
        nodes = [node("n0", product=product), node("n1", product="H100")]
        snap = snapshot(nodes, [stands, wants], queues=limited)
        snap = msgspec.structs.replace(snap, static_generation=generation)
        assert outcome(plan(snap, now_s=0, settings=PlanSettings(), cache=cache), "wants") == want


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


def test_a_queue_above_its_limit_lets_pods_without_gpus_start() -> None:
    over = single("over", shape(4), on="n0")
    bare = gang("bare", pods("bare", [shape(0)] * 2))
    snap = draw("n0: ........", over, bare, single("one", shape(0)), queues=[queue(nominal=2, borrow=0)])
    assert outcomes(snap, "bare", "one") == ["n0 n0", "n0"]
