"""What a whole plan decides where quota and GPU models count."""

import msgspec

from scheduler.model.plan import Admit
from scheduler.model.queue import Quota
from scheduler.model.snapshot import InFlight
from scheduler.planning.cycle import PlanCache, plan
from scheduler.planning.settings import PlanSettings
from tests.planning.build import draw, equal, gang, node, outcome, pods, queue, shape, single, snapshot
from tests.planning.decided import outcomes


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


def test_a_queue_above_its_limit_lets_pods_without_gpus_start() -> None:
    over = single("over", shape(4), on="n0")
    bare = gang("bare", pods("bare", [shape(0)] * 2))
    snap = draw("n0: ........", over, bare, single("one", shape(0)), queues=[queue(nominal=2, borrow=0)])
    assert outcomes(snap, "bare", "one") == ["n0 n0", "n0"]
