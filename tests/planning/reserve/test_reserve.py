"""When blocked work will start, what is kept for it, and who may use that until then."""

# ruff: noqa: ANN401  fields of records are passed on by keyword

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from scheduler.model.names import people_name
from scheduler.model.plan import Blocker, Plan, Reservation, Wait
from scheduler.model.queue import Queue
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Learned, Workload
from scheduler.planning.cycle import plan
from scheduler.planning.reasons.explain import explain
from scheduler.planning.settings import PlanSettings
from scheduler.scoring.rules.check import broken_rules
from tests.planning.build import drawn, equal, gang, outcome, pods, queue, shape, single, snapshot, waiting

NOW_S = 10_000


def running(name: str, on: Sequence[str], gpus: int = 8, *, ends: int | None, **more: Any) -> Workload:
    """A gang that stands on these nodes; `ends`: in so many seconds, None where nobody knows."""
    members = pods(name, [shape(gpus)] * len(on), on=on, bound_s=NOW_S - 100)
    return gang(name, members, duration_s=None if ends is None else 100 + ends, **more)


def cluster(drawing: str, *workloads: Workload, queues: Sequence[Queue] = (queue(),)) -> Snapshot:
    nodes, held = drawn(drawing)
    return snapshot(nodes, workloads, held=held, queues=queues)


def planned(snap: Snapshot, **settings: Any) -> Plan:
    decided = plan(snap, now_s=NOW_S, settings=PlanSettings(**settings))
    assert broken_rules(snap, decided) == []
    return decided


def reserved(decided: Plan, name: str) -> Reservation:
    found = waiting(decided, name).reservation
    assert found is not None
    return found


def start(decided: Plan, name: str) -> str:
    """`+600 on n0 n1, after a`"""
    found = reserved(decided, name)
    after = " ".join(people_name(key).partition("/")[2] for key in found.after)
    return f"+{found.start_s - NOW_S} on {' '.join(found.nodes)}, after {after}"


TWO = "n0: ........\nn1: ........"
BIG = equal("big", 2, 8, created_s=1)


def test_a_blocked_gang_is_told_its_start_and_its_nodes() -> None:
    decided = planned(cluster(TWO, running("a", ["n0"], ends=600), running("b", ["n1"], ends=900), BIG))
    assert start(decided, "big") == "+900 on n0 n1, after b"
    assert "Reserved on 2 nodes (16 GPUs), starts in about 15 min, when team/b ends." in explain(
        waiting(decided, "big")
    )


def test_the_earliest_end_that_is_enough_counts() -> None:
    jobs = [running(f"r{i}", [f"n{i}"], ends=100 * (4 - i)) for i in range(4)]
    decided = planned(cluster("\n".join(f"n{i}: ........" for i in range(4)), *jobs, BIG))
    assert start(decided, "big") == "+200 on n2 n3, after r2"


def test_no_start_is_known_where_it_depends_on_work_of_unknown_length() -> None:
    decided = planned(cluster(TWO, running("a", ["n0"], ends=600), running("b", ["n1"], ends=None), BIG))
    assert waiting(decided, "big").reservation is None


def test_a_required_rack_is_reserved_whole() -> None:
    drawing = """
        b0/r0 n0: ........
        b0/r0 n1: ........
        b0/r1 n2: ........
        b0/r1 n3: ........
    """
    # The first two nodes become free in different racks.
    ends = {"n0": 900, "n1": 100, "n2": 200, "n3": 500}
    jobs = [running(f"on-{name}", [name], ends=seconds) for name, seconds in ends.items()]
    big = equal("big", 2, 8, created_s=1, topology_required="rack")
    assert start(planned(cluster(drawing, *jobs, big)), "big") == "+500 on n2 n3, after on-n3"


@pytest.mark.parametrize(
    ("duration_s", "want"),
    [
        pytest.param(600, "n0", id="gone when the gang starts"),
        pytest.param(601, "InsufficientResources", id="a second too long"),
        pytest.param(None, "InsufficientResources", id="of unknown length"),
    ],
)
def test_who_uses_room_that_is_kept_is_gone_by_then(duration_s: int | None, want: str) -> None:
    small = single("small", shape(2), created_s=2, duration_s=duration_s)
    decided = planned(cluster(TWO, running("a", ["n1"], ends=600), BIG, small))
    assert start(decided, "big") == "+600 on n0 n1, after a"
    assert outcome(decided, "small") == want


def test_who_has_to_wait_is_told_for_whom_and_how_short_it_would_have_to_be() -> None:
    small = single("small", shape(2), created_s=2)
    wait = waiting(planned(cluster(TWO, running("a", ["n1"], ends=600), BIG, small)), "small")
    assert wait.message == "the room that it needs is reserved for a workload ahead of it"
    assert wait.blocking == (Blocker(kind="gang", subject="team/big"),)
    assert wait.detail.endswith("room is kept for team/big, which starts in about 10 min")
    assert "known to end within 10 min (annotation bayplan.dev/duration)" in wait.unblock


def test_other_nodes_are_free_for_all() -> None:
    drawing = f"{TWO}\nn2: ....####"
    small = single("small", shape(2), created_s=2)
    decided = planned(cluster(drawing, running("a", ["n1"], ends=600), BIG, small))
    assert outcome(decided, "small") == "n2"


def test_room_that_is_free_at_the_start_beside_the_gang_may_be_used() -> None:
    drawing = "n0: ........\nn1: ........\nn2: ........"
    small = [single(f"s{i}", shape(8), created_s=2 + i) for i in range(2)]
    # Of three nodes two are needed in 600 s; one is free now, and may go to work that stays.
    decided = planned(cluster(drawing, running("a", ["n1", "n2"], ends=600), BIG, *small))
    assert [outcome(decided, "s0"), outcome(decided, "s1")] == ["n0", "InsufficientResources"]


def test_short_work_does_not_pile_up_beyond_what_is_free_now() -> None:
    small = [single(f"s{i}", shape(4), created_s=2 + i, duration_s=60) for i in range(3)]
    decided = planned(cluster(TWO, running("a", ["n1"], ends=600), BIG, *small))
    assert [outcome(decided, f"s{i}") for i in range(3)] == ["n0", "n0", "InsufficientResources"]


LIMITED = queue("a", nominal=24, borrow=0)


def test_a_gang_that_waits_for_quota_is_told_its_start() -> None:
    drawing = "\n".join(f"n{i}: ........" for i in range(5))
    decided = planned(cluster(drawing, running("a", ["n0", "n1"], ends=600), BIG, queues=[LIMITED]))
    assert waiting(decided, "big").reason.value == "QuotaExhausted"
    assert start(decided, "big").startswith("+600 on")
    assert start(decided, "big").endswith("after a")


@pytest.mark.parametrize(("duration_s", "want"), [(600, "n2"), (601, "QuotaExhausted"), (None, "QuotaExhausted")])
def test_quota_that_is_kept_may_be_used_until_then(duration_s: int | None, want: str) -> None:
    drawing = "\n".join(f"n{i}: ........" for i in range(9))
    big = equal("big", 3, 8, created_s=1)
    small = single("small", shape(8), created_s=2, duration_s=duration_s)
    decided = planned(cluster(drawing, running("a", ["n0", "n1"], ends=600), big, small, queues=[LIMITED]))
    assert outcome(decided, "small") == want
    if duration_s is None:
        wait = waiting(decided, "small")
        assert wait.message == "the quota that it needs is reserved for a workload ahead of it"


def test_each_queue_has_its_own_head() -> None:
    queues = [queue("a"), queue("b")]
    heads = [equal(f"big-{q.name}", 1, 8, created_s=1, queue=q.name) for q in queues]
    second = equal("second", 1, 8, created_s=2)
    jobs = [running("x", ["n0"], ends=600, queue=queues[1].name), running("y", ["n1"], ends=900, queue=queues[1].name)]
    decided = planned(cluster(TWO, *jobs, *heads, second, queues=queues))
    assert [start(decided, "big-a"), start(decided, "big-b")] == ["+600 on n0, after x", "+900 on n1, after y"]
    assert waiting(decided, "second").reservation is None


def test_conservative_tells_everyone_and_lets_nobody_be_delayed() -> None:
    jobs = [running("x", ["n0"], ends=600), running("y", ["n1"], ends=900)]
    waits = [equal(f"w{i}", 1, 8, created_s=1 + i, duration_s=50) for i in range(3)]
    decided = planned(cluster(TWO, *jobs, *waits), backfill="conservative")
    assert [start(decided, f"w{i}") for i in range(3)] == [
        "+600 on n0, after x",
        "+650 on n0, after ",
        "+700 on n0, after ",
    ]


def test_a_pod_that_stands_alone_is_kept_room_for_as_well() -> None:
    drawing = "n0: ........"
    whole = single("whole", shape(8), created_s=1)
    small = [single(f"s{i}", created_s=2 + i, duration_s=seconds) for i, seconds in enumerate([300, 301])]
    decided = planned(cluster(drawing, running("a", ["n0"], gpus=4, ends=300), whole, *small))
    assert start(decided, "whole") == "+300 on n0, after a"
    assert [outcome(decided, "s0"), outcome(decided, "s1")] == ["n0", "InsufficientResources"]


def test_work_that_outlives_what_was_said_of_it_is_not_relied_upon() -> None:
    late = msgspec.structs.replace(running("a", ["n1"], ends=600), duration_s=80)
    found = reserved(planned(cluster(TWO, late, BIG)), "big")
    assert found.start_s == NOW_S - 100 + 160
    assert not found.sure
    assert found.latest_s > found.start_s


def test_a_workload_whose_start_is_known_keeps_its_room_however_long_it_waits() -> None:
    decided = planned(cluster(TWO, running("a", ["n1"], ends=600), BIG, single("small", created_s=2)), hold_s=1)
    assert outcome(decided, "small") == "InsufficientResources"


def test_waits_without_a_reservation_say_nothing_of_one() -> None:
    decided = planned(cluster(TWO, running("a", ["n1"], ends=None), BIG))
    assert not any("Reserved" in line for d in decided.decisions if isinstance(d, Wait) for line in explain(d))


def test_a_start_may_be_known_from_earlier_runs_and_is_not_sure_then() -> None:
    learned = Learned(median_s=700, high_s=1000, runs=12)
    before = [running("a", ["n0"], ends=300), running("b", ["n1"], ends=None, learned=learned)]
    told = single("told", shape(1), created_s=2, duration_s=600)
    guessed = single("guessed", shape(1), created_s=2, learned=Learned(median_s=5, high_s=9, runs=3))
    decided = planned(cluster(TWO, *before, BIG))
    assert start(decided, "big") == "+600 on n0 n1, after b"
    found = reserved(decided, "big")
    assert (found.sure, found.learned_runs, found.latest_s) == (False, 12, NOW_S + 900)
    said = "when team/b ends, by lengths learned from 12 earlier runs"
    assert (
        "Reserved on 2 nodes (16 GPUs), starts in about 10 min (nine times in ten within 15 min), " + said + "."
    ) in explain(waiting(decided, "big"))
    alone = planned(cluster(TWO, before[1], BIG, told, guessed))
    assert start(alone, "big") == "+600 on n0 n1, after b"
    assert (outcome(alone, "told"), outcome(alone, "guessed")) == ("n0", "InsufficientResources")


def test_an_end_learned_that_has_passed_is_taken_to_be_as_far_off_again() -> None:
    late = running("b", ["n1"], ends=None, learned=Learned(median_s=60, high_s=70, runs=3))
    assert start(planned(cluster(TWO, late, BIG)), "big") == "+20 on n0 n1, after b"


@pytest.mark.parametrize(("duration_s", "starts"), [(600, True), (601, False), (None, False)])
def test_who_wants_a_rack_for_itself_takes_none_in_which_room_is_kept(duration_s: int | None, *, starts: bool) -> None:
    big = equal("big", 2, 6, created_s=1)
    (pod,) = pods("a", [shape(8)], on=["n1"], bound_s=NOW_S)
    before = msgspec.structs.replace(single("a", shape(8)), members=(pod,), duration_s=600)
    alone = equal("alone", 2, 1, created_s=2, topology_exclusive="rack", duration_s=duration_s)
    decided = planned(cluster("b0/r0 n0: ........\nb0/r0 n1: ........", before, big, alone))
    assert start(decided, "big") == "+600 on n0 n1, after a"
    found = next(d for d in decided.decisions if d.workload.endswith("/alone"))
    assert isinstance(found, Wait) != starts
