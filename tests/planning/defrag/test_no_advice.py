"""What `advise` says where no moves help, or none is allowed."""

from typing import Any

import pytest

from scheduler.model.names import NodeName, PodUid, QueueName, gang_key
from scheduler.model.plan import Assignment
from scheduler.model.snapshot import InFlight
from scheduler.model.workload import Workload
from scheduler.planning.defrag.advice import MakeFit, NoAdvice, OpenDomain, Target
from tests.planning.build import draw, gang, pods, queue, shape, single
from tests.planning.defrag.asked import NEW, R0, TWO_RACKS, asked, moves, stands, waits, why_not


@pytest.mark.parametrize(
    ("more", "why"),
    [
        pytest.param({"preemptible": False}, "team/a on n1: it is not preemptible", id="not preemptible"),
        pytest.param({"size": 3, "least": 2}, "team/a on n1: part of it is missing", id="incomplete"),
        pytest.param(
            {"queue": None}, "team/a on n1: it could not start again: no queue serves its namespace", id="queue"
        ),
    ],
)
def test_work_that_stays_keeps_a_rack_from_being_opened(more: dict[str, Any], why: str) -> None:
    said = why_not(asked(draw(TWO_RACKS, stands("a", 1, "n1", **more)), R0))
    assert said.startswith("1 node of rack r0 cannot be emptied by moves: ")
    assert why in said


def test_work_that_is_being_started_stays() -> None:
    flight = InFlight(
        workload=gang_key("team", "a"),
        queue=QueueName("a"),
        assignments=(Assignment(pod=PodUid("late-0"), node=NodeName("n2")),),
        milli_gpu=1000,
    )
    members = (*pods("a", [shape(1)], on=["n1"]), *pods("late", [shape(1)]))
    snap = draw(TWO_RACKS, gang("a", members, least=1), in_flight=[flight])
    assert "team/a on n1: it is being started" in why_not(asked(snap, R0))


def test_pods_that_only_kube_scheduler_can_judge_stay() -> None:
    work = single("a", shape(1, scheduler_rules=("volumes",)), on="n1")
    assert "only kube-scheduler can judge" in why_not(asked(draw(TWO_RACKS, work), R0))


def test_work_of_others_stays() -> None:
    snap = draw("b0/r0 n1: #...\nb0/r1 n2: ....")
    assert why_not(asked(snap, R0)) == (
        "1 node of rack r0 cannot be emptied by moves: work of other schedulers holds GPUs there."
    )


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (
            OpenDomain(level="row"),
            "the level is 'row'; allowed: block, rack, node, or the key of a label that nodes have.",
        ),
        (OpenDomain(level="rack", domain="r9"), "no node is in rack 'r9'; there are r0, r1."),
        (OpenDomain(level="rack", nodes=0), "the number of nodes is 0; allowed: 1 or more."),
        (MakeFit(workload="new"), "the workload is 'new'; allowed: NAMESPACE/NAME."),
        (
            MakeFit(workload="team/nwe"),
            "nothing called 'team/nwe' is planned by Bayplan; waiting work with a name like it: team/new.",
        ),
    ],
)
def test_questions_that_name_nothing(target: Target, why: str) -> None:
    found = asked(draw(TWO_RACKS, waits("new", 1, 8)), target)
    assert why_not(found) == why
    assert isinstance(found, NoAdvice)
    assert found.unknown


@pytest.mark.parametrize(
    ("waiting", "why"),
    [
        (waits("new", 3, 8, topology_required="rack"), "it would not fit even if all work that may move were gone"),
        (waits("new", 1, 16), "moves do not help team/new"),
        (waits("new", 5, 8, queue=QueueName("b")), "moves do not help team/new: "),
        (waits("new", 2, 8, size=3), "moves do not help team/new: not all pods of the gang have arrived"),
        (stands("new", 1, "n1"), "team/new does not wait: all its pods have nodes"),
    ],
)
def test_moves_do_not_help(waiting: Workload, why: str) -> None:
    queues = (queue(), queue("b", nominal=8, borrow=0))
    found = asked(draw(TWO_RACKS, waiting, queues=queues), NEW)
    assert why_not(found).startswith(why)
    assert isinstance(found, NoAdvice)
    assert not found.unknown
    assert found.certain


def test_what_cannot_be_placed_elsewhere_waits_only_if_that_is_allowed() -> None:
    snap = draw(
        TWO_RACKS, stands("a", 8, "n1", "n2", topology_required="rack"), stands("b", 8, "n3", preemptible=False)
    )
    refused = asked(snap, R0)
    assert why_not(refused) == (
        "no moves open rack r0 and leave a place for all that moves. "
        "It can be done if work may be left waiting: team/a would leave."
    )
    assert isinstance(refused, NoAdvice)
    assert refused.certain
    assert moves(asked(snap, R0, let_wait=True)) == ["a: n1 n2 -> waits"]


def test_a_budget_of_nothing_proves_nothing() -> None:
    found = asked(draw(TWO_RACKS, stands("a", 2, "n1")), R0, budget_ms=0)
    assert isinstance(found, NoAdvice)
    assert not found.certain
