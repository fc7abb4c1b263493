"""What a blocked gang keeps from those behind it, and what not."""

import pytest

from scheduler.model.plan import Blocker
from scheduler.model.snapshot import Snapshot
from scheduler.planning.cycle import plan
from scheduler.planning.settings import PlanSettings
from tests.planning.build import draw, equal, gang, node, outcome, pods, queue, shape, single, snapshot, waiting
from tests.planning.decided import outcomes, planned

BIG = equal("big", 2, 8, created_s=1)
SMALL = single("small", shape(2), created_s=2)


def test_a_small_job_takes_a_node_that_the_gang_cannot_use_yet() -> None:
    snap = draw("n0: ........\nn1: ########\nn2: ##......", BIG, SMALL)
    assert outcomes(snap, "big", "small") == ["InsufficientResources", "n2"]


def test_a_small_job_does_not_take_what_the_gang_could_use_now() -> None:
    decided = planned(draw("n0: ........\nn1: ########", BIG, SMALL))
    wait = waiting(decided, "small")
    assert wait.message == "the room that it needs is kept for a gang ahead of it"
    assert wait.blocking == (Blocker(kind="gang", subject="team/big"),)
    assert wait.detail.endswith("room is kept for team/big")


def test_what_is_left_on_a_held_node_may_be_used() -> None:
    snap = draw("n0: ......\nn1: #####.", equal("big", 2, 4, created_s=1), SMALL)
    assert outcomes(snap, "big", "small") == ["InsufficientResources", "n0"]


def test_other_nodes_are_used_before_what_is_left_on_a_held_one() -> None:
    drawing = "n0: ......\nn1: ####..\nn2: ######"
    assert outcomes(draw(drawing, equal("big", 2, 4, created_s=1), SMALL), "big", "small")[1] == "n1"
    assert outcomes(draw(drawing, equal("big", 2, 4, created_s=1), equal("g", 1, 2, created_s=2)), "g") == ["n1"]


def test_a_gang_that_could_never_run_keeps_nothing() -> None:
    snap = draw("n0: ........\nn1: ........", equal("big", 3, 8, created_s=1), SMALL)
    assert outcomes(snap, "big", "small") == ["InsufficientResources", "n0"]


def test_a_gang_blocked_by_quota_keeps_nothing() -> None:
    other = queue("other")
    snap = draw(
        "n0: ........",
        equal("big", 1, 8, created_s=1),
        single("small", created_s=2, queue=other.name),
        queues=[queue("a", nominal=4, borrow=0), other],
    )
    assert outcomes(snap, "big", "small") == ["QuotaExhausted", "n0"]


def test_a_gang_keeps_room_in_the_one_domain_that_is_nearest() -> None:
    drawing = """
        b0/r0 n0: ........
        b0/r0 n1: ........
        b0/r1 n2: ........
        b0/r1 n3: ########
        b0/r1 n4: ########
    """
    # Three nodes of a rack are needed. Only r1 has three, so r0 is free for all, though more of it is free now.
    big = equal("big", 3, 8, created_s=1, topology_required="rack")
    singles = [single(f"s{i}", shape(8), created_s=2 + i) for i in range(3)]
    assert outcomes(draw(drawing, big, *singles), "big", "s0", "s1", "s2") == [
        "TopologyUnsatisfied",
        "n0",
        "n1",
        "InsufficientResources",
    ]


def test_only_the_first_gang_of_those_that_want_the_same_nodes_keeps_room() -> None:
    drawing = "n0: ........\nn1: ########\nn2: ....####\nn3: ....####"
    first = equal("first", 2, 8, created_s=1)
    second = equal("second", 3, 4, created_s=2)
    assert outcomes(draw(drawing, first, second, single("s", shape(4), created_s=3)), "first", "second", "s") == [
        "Fragmented",
        "InsufficientResources",
        "n2",
    ]


def test_gangs_that_want_different_models_each_keep_room() -> None:
    nodes = [node(f"{model}{i}", product=model.upper()) for model in ("a100", "h100") for i in range(2)]
    held = {"a1001": range(8), "h1001": range(8)}
    gangs = [
        gang(f"g{i}", pods(f"g{i}", [shape(8, models=(model,))] * 2), created_s=i)
        for i, model in enumerate(["A100", "H100"])
    ]
    snap = snapshot(nodes, [*gangs, single("s", created_s=9)], held=held)
    decided = planned(snap)
    assert [outcome(decided, name) for name in ("g0", "g1", "s")] == ["InsufficientResources"] * 3
    assert [blocker.subject for blocker in waiting(decided, "s").blocking] == ["team/g0", "team/g1"]


@pytest.mark.parametrize(("now_s", "want"), [(1800, "InsufficientResources"), (1801, "n0")])
def test_no_gang_keeps_room_for_ever(now_s: int, want: str) -> None:
    decided = plan(draw("n0: ........\nn1: ########", BIG, SMALL), now_s=now_s, settings=PlanSettings())
    assert outcome(decided, "small") == want


def test_who_comes_first_is_not_held_up() -> None:
    snap = draw("n0: ........\nn1: ########", BIG, single("small", shape(2), created_s=2, priority=1))
    assert outcomes(snap, "big", "small") == ["InsufficientResources", "n0"]


def test_a_launcher_is_kept_room_for_as_well() -> None:
    members = pods("big", [shape(8, milli_cpu=8000)] * 2 + [shape(0, milli_cpu=50_000)])
    cpu_only = gang("cpu", pods("cpu", [shape(0, milli_cpu=10_000)]), created_s=2)
    owned = [queue("a", nominal=16)]
    snap = draw("n0: ........\nn1: ########", gang("big", members, created_s=1), cpu_only, queues=owned)
    # n0 has 64 cores: 8 for a worker, 50 for the launcher; so the other gang goes to n1.
    assert outcomes(snap, "big", "cpu") == ["InsufficientResources", "n1"]


EITHER = shape(8, models=("H100", "A100"))


def fleet_of(h100: int, a100: int, *, busy: str = "") -> Snapshot:
    nodes = [node(f"h{i}") for i in range(h100)]
    nodes += [node(f"a{i}", product="NVIDIA-A100-SXM4-80GB") for i in range(a100)]
    big = gang("big", pods("big", [EITHER] * 3), created_s=1)
    held = {busy: range(8)} if busy else {}
    return snapshot(nodes, [big, single("small", shape(8), created_s=2)], held=held)


def test_a_gang_that_neither_model_could_ever_hold_keeps_nothing() -> None:
    assert outcomes(fleet_of(2, 1), "big", "small")[1] == "a0"


def test_a_gang_keeps_room_on_one_model_only() -> None:
    # Three nodes of either model would do, and two A100 are free; H100 can never be three.
    assert outcomes(fleet_of(2, 3, busy="a2"), "big", "small")[1] == "h0"
