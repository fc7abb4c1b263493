"""What queues use at the moment of a snapshot."""

import msgspec

from scheduler.model.names import NodeName, PodUid
from scheduler.model.plan import Assignment
from scheduler.model.snapshot import InFlight
from scheduler.model.workload import Workload
from scheduler.quota.tree import Bill
from scheduler.quota.usage import KnownBills, opening_ledger
from tests.planning.build import A, equal, gang, node, pods, queue, shape, snapshot

NODES = [node("h0", product="H100"), node("l0", product="L40S")]
LIMITED = [queue("a", flavors={"H100": 8})]


def used(workloads: list[Workload], flights: list[InFlight] | None = None, known: KnownBills | None = None) -> Bill:
    snap = snapshot(NODES, workloads, queues=LIMITED, in_flight=flights or [])
    return opening_ledger(snap, known).used_by(A)


def flight(workload: Workload, *nodes: str) -> InFlight:
    going = tuple(
        Assignment(pod=pod.uid, node=NodeName(name)) for pod, name in zip(workload.members, nodes, strict=True)
    )
    return InFlight(workload=workload.key, queue=A, assignments=going, milli_gpu=1000 * len(nodes))


def test_members_are_charged_where_they_stand() -> None:
    assert used([gang("g", pods("g", [shape(2)] * 3, on=["h0", "l0"]))]) == Bill(4000, (("H100", 2000),))


def test_members_that_leave_and_unknown_queues_do_not_count() -> None:
    leaving = gang("g", pods("g", [shape(2)], on=["h0"], deleting=True))
    stranger = gang("s", pods("s", [shape(2)], on=["h0"]), queue=queue("other").name)
    nobody = gang("n", pods("n", [shape(2)], on=["h0"]), queue=None)
    assert used([leaving, stranger, nobody]) == Bill()


def test_a_plan_in_flight_counts_where_it_goes_and_a_bound_member_once() -> None:
    waits = equal("g", 2, 1)
    assert used([waits], [flight(waits, "h0", "l0")]) == Bill(2000, (("H100", 1000),))
    first = msgspec.structs.replace(waits.members[0], node=NodeName("h0"))
    half = msgspec.structs.replace(waits, members=(first, waits.members[1]))
    assert used([half], [flight(waits, "h0", "l0")]) == Bill(2000, (("H100", 1000),))


def test_a_plan_whose_workload_is_gone_counts_in_total() -> None:
    gone = InFlight(workload=equal("g", 1).key, queue=A, assignments=(), milli_gpu=3000)
    assert used([], [gone]) == Bill(3000)


def test_what_is_known_is_used_only_while_nothing_changed() -> None:
    known: KnownBills = {}
    waits = equal("g", 1, 1)
    assert used([waits], known=known) == Bill()
    assert used([waits], [flight(waits, "l0")], known) == Bill(1000)
    assert used([waits], [flight(waits, "h0")], known) == Bill(1000, (("H100", 1000),))
    stands = msgspec.structs.replace(
        waits, members=(msgspec.structs.replace(waits.members[0], uid=PodUid("new"), node=NodeName("h0")),)
    )
    assert used([stands], known=known) == Bill(1000, (("H100", 1000),))
    assert used([], known=known) == Bill()
    assert known == {}
    assert used([stands], known=known) == Bill(1000, (("H100", 1000),))
    unlimited = snapshot(NODES, [stands], queues=[queue("a")])
    assert opening_ledger(unlimited, known).used_by(A) == Bill(1000)
