import msgspec

from scheduler.model.names import NodeName, PodUid, QueueName, WorkloadKey, gang_key, pod_key
from scheduler.model.node import MigInstance
from scheduler.model.plan import (
    Admit,
    Assignment,
    Blocker,
    DomainUse,
    Offer,
    Placement,
    Plan,
    Proof,
    Reason,
    Reclaim,
    Reservation,
    Ring,
    RollBack,
    Victim,
    Wait,
)
from scheduler.model.workload import Problem
from scheduler.rpc import bayplan_pb2 as pb
from scheduler.rpc.convert import MESSAGE_BYTES, decision_message, delivery_messages
from scheduler.rpc.feed import Delivery

GANG = gang_key("team", "train")
POD = pod_key("team", "nb")
SLICE = MigInstance(device=3, profile="3g.40gb", start=4)
MESSAGE = pb.MigSlice(device=3, profile="3g.40gb", start=4)


def wait(workload: WorkloadKey, message: str = "m") -> Wait:
    return Wait(workload=workload, reason=Reason.QUOTA_EXHAUSTED, message=message)


def reservation(*nodes: str, sure: bool) -> Reservation:
    """Room for GANG, 8 GPUs on each of the nodes, from when POD ends."""
    return Reservation(
        workload=GANG,
        queue=QueueName("a"),
        made_s=100,
        start_s=160,
        latest_s=190,
        kept_from_s=160,
        kept_from_unknown_s=170,
        sure=sure,
        assignments=tuple(Assignment(pod=PodUid(f"u{i}"), node=NodeName(name)) for i, name in enumerate(nodes)),
        milli_gpu=8000 * len(nodes),
        after=(POD,),
    )


def test_admit() -> None:
    placement = Placement(
        assignments=(Assignment(pod=PodUid("u1"), node=NodeName("n1"), devices=(0, 3), slices=(SLICE,)),),
        proof=Proof(status="feasible", cost=12, bound=10),
        spread=(DomainUse(level="rack", used=2, fewest=1),),
        ring=Ring(hops=4, fewest=2),
    )
    message = decision_message(Admit(workload=GANG, placement=placement))
    assert (message.workload, message.is_gang, message.WhichOneof("outcome")) == ("team/train", True, "admit")
    assert message.admit == pb.Admit(
        assignments=[pb.Assignment(pod_uid="u1", node="n1", devices=[0, 3], slices=[MESSAGE])],
        proof=pb.Proof(status="feasible", cost=12, bound=10),
        spread=[pb.DomainUse(level="rack", used=2, fewest=1)],
        ring=pb.Ring(hops=4, fewest=2),
    )


def test_wait_with_a_known_start() -> None:
    message = decision_message(
        msgspec.structs.replace(wait(GANG), reservation=reservation("n1", "n0", "n1", sure=False))
    )
    assert message.wait.reservation == pb.Reservation(
        made_s=100, start_s=160, latest_s=190, nodes=["n0", "n1"], milli_gpu=24_000, after=["team/nb"]
    )
    assert not decision_message(wait(GANG)).wait.HasField("reservation")


def test_offer() -> None:
    message = decision_message(Offer(workload=POD, pod=PodUid("u1"), nodes=((NodeName("n1"), 7),)))
    assert (message.workload, message.is_gang) == ("team/nb", False)
    assert message.offer == pb.Offer(pod_uid="u1", nodes=[pb.NodeScore(node="n1", score=7)])


def test_wait() -> None:
    message = decision_message(
        Wait(
            workload=GANG,
            reason=Reason.QUOTA_EXHAUSTED,
            message="waits for quota",
            detail="needs 8 GPUs",
            blocking=(Blocker(kind="quota", subject=QueueName("a"), needed=8, available=3, unit="GPU"),),
            problems=(Problem(where="annotation x", value="y", allowed="z"),),
            unblock="5 GPUs of queue a",
            reservation=reservation("n1", sure=True),
        )
    )
    assert message.wait == pb.Wait(
        reason="QuotaExhausted",
        message="waits for quota",
        detail="needs 8 GPUs",
        unblock="5 GPUs of queue a",
        blocking=[pb.Blocker(kind="quota", subject="a", needed=8, available=3, unit="GPU")],
        problems=[pb.Problem(where="annotation x", value="y", allowed="z")],
        reservation=pb.Reservation(
            made_s=100, start_s=160, latest_s=190, sure=True, nodes=["n1"], milli_gpu=8000, after=["team/nb"]
        ),
    )


def test_roll_back() -> None:
    message = decision_message(RollBack(workload=GANG, evict=(PodUid("u1"), PodUid("u2")), why="no room"))
    assert message.roll_back == pb.RollBack(evict_pod_uids=["u1", "u2"], why="no room")


def test_reclaim() -> None:
    victim = Victim(workload=POD, queue=QueueName("a"), pods=(PodUid("u9"),), cost_gpu_seconds=400, why="reclaim")
    placement = Placement(assignments=(Assignment(pod=PodUid("u1"), node=NodeName("n1")),))
    claim = Reclaim(workload=GANG, queue=QueueName("b"), placement=placement, victims=(victim,), proof=Proof(cost=400))
    message = decision_message(claim)
    assert [a.node for a in message.reclaim.placement.assignments] == ["n1"]
    assert list(message.reclaim.victims) == [
        pb.Victim(workload="team/nb", queue="a", pod_uids=["u9"], cost_gpu_seconds=400, why="reclaim")
    ]
    assert (message.reclaim.proof.status, message.reclaim.proof.cost) == ("optimal", 400)


def test_only_decisions_of_the_named_namespaces_are_sent() -> None:
    plan = Plan(generation=4, decisions=(wait(GANG), wait(gang_key("team2", "x")), wait(pod_key("other", "y"))))
    (message,) = delivery_messages(Delivery(plan=plan, missed=2), {"team", "other"})
    assert [d.workload for d in message.decisions] == ["team/train", "other/y"]
    assert (message.generation, message.missed) == (4, 2)


def test_a_large_plan_is_cut_into_messages_that_clients_take() -> None:
    long = "x" * (MESSAGE_BYTES // 3)
    plan = Plan(generation=4, decisions=tuple(wait(gang_key("team", f"g{i}"), long) for i in range(7)))
    messages = list(delivery_messages(Delivery(plan=plan, missed=1), ()))
    assert [d.workload for m in messages for d in m.decisions] == [f"team/g{i}" for i in range(7)]
    assert max(m.ByteSize() for m in messages) <= MESSAGE_BYTES + 100
    assert [m.missed for m in messages] == [1, 0, 0, 0]
    assert {m.generation for m in messages} == {4}
