"""Queues over the wire: what goes in comes out."""

import msgspec
import pytest

from scheduler.model.names import QueueName
from scheduler.planning.overview.records import Amounts, Partner, QueueDetail, QueueStand, ResourceAmounts, Work
from scheduler.rpc import bayplan_pb2 as pb
from scheduler.rpc.convert_queues import UnreadableError, queues_answer, queues_response

TOTAL = Amounts(
    nominal_milli_gpu=1 << 40,
    used_milli_gpu=1,
    borrowed_milli_gpu=2,
    lent_milli_gpu=3,
    pending_milli_gpu=4,
    fair_share_milli_gpu=5,
    borrowing_limit_milli_gpu=0,
    lending_limit_milli_gpu=7,
)
STAND = QueueStand(
    name=QueueName("a"),
    parent=QueueName("org"),
    total=TOTAL,
    flavors=(Amounts(flavor="H100", used_milli_gpu=9),),
    resources=(ResourceAmounts(resource="cpu", unit="milli-CPU", nominal=1, borrowing_limit=0),),
    user_limit_milli_gpu=0,
    pending_workloads=2,
    running_workloads=3,
    weight=4,
    priority=-5,
    order="StrictFIFO",
    policy="LeastAllocated",
    min_runtime_s=6,
    namespaces=("n",),
    problems=("spec.parent is wrong",),
)
WORK = Work(
    name="n/w",
    kind="pod",
    queue=QueueName("a"),
    state="waiting",
    owner="job",
    user="ann",
    priority=-1,
    preemptible=False,
    milli_gpu=1,
    pending_milli_gpu=2,
    borrowed_milli_gpu=3,
    pods=4,
    placed=5,
    size=6,
    since_s=1 << 33,
    reason="QuotaExhausted",
    message="m",
    detail="d",
    unblock="u",
    estimated_start_s=0,
)
DETAIL = QueueDetail(
    stand=STAND,
    below=(QueueName("b"),),
    work=(WORK,),
    lends_to=(Partner(queue=QueueName("c"), milli_gpu=1),),
    borrows_from=(Partner(queue=QueueName("d"), milli_gpu=2),),
)


@pytest.mark.parametrize("record", [TOTAL, STAND, WORK, DETAIL], ids=lambda record: type(record).__name__)
def test_the_examples_leave_no_field_at_its_default(record: msgspec.Struct) -> None:
    defaults = {field.name: field.default for field in msgspec.structs.fields(record)}
    same = [name for name, default in defaults.items() if getattr(record, name) == default]
    assert same == (["flavor"] if record is TOTAL else [])


@pytest.mark.parametrize("detail", [None, DETAIL])
def test_an_answer(detail: QueueDetail | None) -> None:
    stands = (STAND, QueueStand(name=QueueName("top"), total=Amounts()))
    response = pb.QueuesResponse.FromString(queues_response(stands, detail).SerializeToString())
    assert queues_answer(response) == (stands, detail)


def test_no_limit_is_not_a_limit_of_none() -> None:
    response = queues_response((QueueStand(name=QueueName("top"), total=Amounts()),), None)
    assert not response.queues[0].total.HasField("borrowing_limit_milli_gpu")
    assert not response.queues[0].HasField("parent")


def test_words_of_a_newer_service_are_named() -> None:
    response = queues_response((STAND,), None)
    response.queues[0].order = "Lottery"
    with pytest.raises(UnreadableError, match="Lottery"):
        queues_answer(response)
