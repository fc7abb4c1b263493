"""Moves over the wire: what goes in comes out."""

import pytest

from scheduler.model.names import NodeName, PodUid, QueueName, gang_key, pod_key
from scheduler.model.plan import Proof
from scheduler.planning.defrag.advice import Advice, MakeFit, Move, NoAdvice, OpenDomain, PodMove, Seat, Target
from scheduler.rpc import bayplan_pb2 as pb
from scheduler.rpc.convert_defrag import defrag_answer, defrag_request, defrag_response, defrag_target

TARGETS: list[Target] = [
    OpenDomain(level="rack"),
    OpenDomain(level="rack", domain="r3"),
    OpenDomain(level="rack", domain="r3", nodes=4),
    MakeFit(workload="team/train"),
]

ADVICE = Advice(
    generation=7,
    target=TARGETS[1],
    moves=(
        Move(
            workload=gang_key("team", "a"),
            queue=QueueName("q"),
            pods=(PodMove(pod=PodUid("u1"), name="a-0", source=NodeName("n1"), target=NodeName("n2"), devices=(0, 3)),),
            milli_gpu=2000,
            running_s=60,
            lost_gpu_seconds=120,
        ),
        Move(
            workload=pod_key("team", "b"),
            queue=QueueName("p"),
            pods=(PodMove(pod=PodUid("u2"), name="b", source=NodeName("n1")),),
            milli_gpu=500,
            running_s=10,
            lost_gpu_seconds=5,
        ),
    ),
    domain="r3",
    opens=(NodeName("n1"),),
    open_gpus=8,
    starts=(Seat(pod=PodUid("u3"), name="c-0", node=NodeName("n1"), devices=(1,)),),
    overtaken=True,
    lost_gpu_seconds=125,
    proof=Proof(status="budget hit", cost=125, bound=120),
)


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_a_question(target: Target) -> None:
    request = pb.DefragRequest.FromString(defrag_request(target, let_wait=True, budget_ms=9).SerializeToString())
    assert defrag_target(request) == target
    assert (request.let_wait, request.budget_ms) == (True, 9)


@pytest.mark.parametrize("found", [ADVICE, NoAdvice(message="why", unknown=True, certain=False, unblock="Do.")])
def test_an_answer(found: Advice | NoAdvice) -> None:
    response = pb.DefragResponse.FromString(defrag_response(found).SerializeToString())
    assert defrag_answer(TARGETS[1], response) == found


def test_a_proof_of_a_newer_service_counts_as_none() -> None:
    response = defrag_response(ADVICE)
    response.advice.proof.status = "divine"
    answer = defrag_answer(TARGETS[1], response)
    assert isinstance(answer, Advice)
    assert answer.proof.status == "feasible"
