"""Decisions in people's words."""

import msgspec
import pytest

from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey
from scheduler.model.plan import Assignment, Blocker, Offer, Placement, Proof, Reclaim, RollBack, Victim, VictimWhy
from scheduler.planning.cycle import plan
from scheduler.planning.reasons.explain import evicted_line, explain, in_the_way, proof_line
from scheduler.planning.settings import PlanSettings
from tests.planning.build import draw, equal, gang, pods, queue, shape


def lines(drawing: str, count: int, gpus: int) -> list[str]:
    snap = draw(drawing, equal("g", count, gpus), queues=[queue("a", nominal=16, borrow=0)])
    (decision,) = plan(snap, now_s=0, settings=PlanSettings()).decisions
    return explain(decision)


def test_a_gang_that_starts() -> None:
    assert lines("b0/r0 n0: ........\nb0/r1 n1: ........", 2, 8) == [
        "team/g starts: 2 pods on 2 nodes.",
        "It spans 1 block (fewest 1), 2 racks (fewest 2) and 2 nodes (fewest 2).",
        "No better placement exists (proven).",
        "Around the ring of its ranks 4 borders of nodes and domains are crossed (fewest 4).",
    ]
    assert lines("n0: ........", 2, 4)[-1] == "All its ranks are on one node."


def test_a_gang_that_waits() -> None:
    assert lines("n0: ......##\nn1: ##......", 3, 4) == [
        "team/g waits: enough is free in sum, but not 4 GPUs on one node for every pod.",
        "Now: room for 2 of 3 pods that need 4 GPUs each; 2 GPUs more would do where least is missing.",
        "In its way: room in pieces of 4 GPUs: needs 3, there are 2.",
        "It starts when work on partly used nodes ends, or with pods that ask for less each.",
    ]


def test_quota() -> None:
    assert lines("n0: ........\nn1: ........\nn2: ........", 3, 8)[2] == (
        "In its way: quota of queue a: needs 24 GPUs, has 16 GPUs."
    )


def test_an_offer_and_a_roll_back() -> None:
    key = gang("g", pods("g", [shape()])).key
    nodes = ((NodeName("n1"), 2), (NodeName("n0"), 1))
    assert explain(Offer(workload=key, pod=PodUid("g-0"), nodes=nodes)) == [
        "team/g may start on any of 2 nodes, best on n1; kube-scheduler chooses."
    ]
    assert explain(Offer(workload=key, pod=PodUid("g-0"), nodes=())) == ["team/g is offered no node."]
    assert explain(RollBack(workload=key, evict=(), why="no room")) == ["team/g is taken back to wait whole: no room."]


def test_proofs() -> None:
    assert proof_line(Proof(status="feasible", cost=100, bound=75)) == (
        "A better placement may exist: proven within 25.0% of the best."
    )
    assert proof_line(Proof(status="budget hit", cost=100, bound=100)) == (
        "The solver's budget ran out; proven within 0.0% of the best."
    )


def test_each_kind_of_blocker_has_words() -> None:
    assert in_the_way(Blocker(kind="gang", subject="team/big")) == "team/big is ahead of it"
    assert in_the_way(Blocker(kind="quota", subject="a of cpu", needed=20_000, available=500, unit="milli-CPU")) == (
        "quota of queue a of cpu: needs 20 cores, has 0.5 cores"
    )
    assert in_the_way(Blocker(kind="quota", subject="a of memory", needed=2048, available=0, unit="MiB")) == (
        "quota of queue a of memory: needs 2 GiB memory, has 0 GiB memory"
    )
    assert in_the_way(Blocker(kind="gang", subject="pods", needed=4, available=2, unit="pods")) == (
        "pods: 2 of 4 are there"
    )
    assert in_the_way(Blocker(kind="topology", subject="rack", needed=4, available=2, unit="pods")) == (
        "topology level rack: needs room for 4, the best has 2"
    )
    assert in_the_way(Blocker(kind="topology", subject="rack")) == "topology level rack: no node is in it"
    assert in_the_way(Blocker(kind="quota", subject="nope")) == "queue nope"
    assert in_the_way(Blocker(kind="resources", subject="milli_cpu", needed=8000, available=500, unit="CPU")) == (
        "needs 8 cores, there are 0.5 cores"
    )
    assert in_the_way(Blocker(kind="selector", subject="zone=z1")) == "zone=z1"


def claim(*victims: Victim, **more: object) -> Reclaim:
    placement = Placement(assignments=(Assignment(pod=PodUid("x-0"), node=NodeName("n1")),))
    made = Reclaim(workload=WorkloadKey("gang:team/x"), queue=QueueName("b"), placement=placement, victims=victims)
    return msgspec.structs.replace(made, **more)


def victim(why: VictimWhy, queue_name: str = "a") -> Victim:
    key = WorkloadKey(f"pod:team/{why}")
    return Victim(workload=key, queue=QueueName(queue_name), pods=(PodUid("p"),), cost_gpu_seconds=400, why=why)


def test_who_makes_way() -> None:
    assert explain(claim(victim("reclaim"), victim("preempt", "b"), victim("surplus"))) == [
        "team/x of queue b starts on n1 as soon as others have made way:",
        "team/reclaim of queue a, which borrows, leaves with 1 pod; 400 GPU-seconds are lost.",
        "team/preempt of queue b, of lower priority, leaves with 1 pod; 400 GPU-seconds are lost.",
        "team/surplus of queue a gives up 1 pod that it can do without; 400 GPU-seconds are lost.",
        "No cheaper choice exists (proven).",
    ]
    assert explain(claim()) == ["team/x starts on n1 as soon as work that leaves these nodes anyway is gone."]


@pytest.mark.parametrize(
    ("made", "gone", "line"),
    [
        (claim(lent_milli_gpu=8000), victim("reclaim"), "which had lent 8 GPUs"),
        (claim(lent_milli_gpu=8000), victim("preempt", "b"), "which has a higher priority"),
        (claim(), victim("surplus"), "from which queue a borrowed"),
    ],
)
def test_why_it_was_evicted(made: Reclaim, gone: Victim, line: str) -> None:
    assert evicted_line(made, gone) == (
        f"1 pod evicted for team/x of queue b, {line}; 400 GPU-seconds of work were lost"
    )
