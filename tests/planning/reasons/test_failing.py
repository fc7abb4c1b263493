"""Work on what fails is named: which pod, which GPU of which node, and why."""

from msgspec.structs import replace

from scheduler.model.node import Node
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod
from scheduler.planning.reasons.failing import SHOWN, Cause, failing, failing_lines
from tests.planning.build import gang, node, pods, shape, snapshot


def cluster(*nodes: Node, members: tuple[Pod, ...]) -> tuple[Snapshot, list[tuple[str, Cause, str]]]:
    work = gang("g", members)
    snap = snapshot(nodes, [work])
    return snap, [(f.node, f.cause, f.why) for f in failing(snap, work)]


def holding(*held: tuple[str, tuple[int, ...]]) -> tuple[Pod, ...]:
    """Members with 2 GPUs each: where each stands and what it holds."""
    members = pods("w", [shape(2)] * len(held), on=[at for at, _ in held])
    return tuple(replace(pod, devices=devices) for pod, (_, devices) in zip(members, held, strict=True))


def told(name: str, index: int, **health: bool) -> Node:
    """A node one of whose GPUs is not as it should be."""
    plain = node(name, 4)
    devices = tuple(
        replace(d, uuid=f"GPU-{name}-{d.index}", reasons=("Xid 79: fallen off the bus.", "no answer"), **health)
        if d.index == index
        else d
        for d in plain.devices
    )
    return replace(plain, devices=devices)


def test_a_gang_with_a_member_on_a_broken_gpu_fails_and_says_where_and_why() -> None:
    members = holding(("n1", (0, 1)), ("n2", (2, 3)), ("n2", (0, 1)))
    _, found = cluster(node("n1", 4), told("n2", 3, healthy=False), members=members)
    why = "w-1: GPU 3 (GPU-n2-3) of n2 is not healthy (Xid 79: fallen off the bus, no answer)"
    assert found == [("n2", Cause.UNHEALTHY, why)]


def test_gpus_of_which_the_same_is_said_are_told_together() -> None:
    sick = node("n1", 4)
    reasons = ((), ("too hot",), ("no answer",), ("no answer",))
    devices = (replace(d, healthy=False, reasons=why) for d, why in zip(sick.devices, reasons, strict=True))
    whole = tuple(replace(pod, devices=(1, 2, 3)) for pod in pods("w", [shape(3)], on=["n1"]))
    _, found = cluster(replace(sick, devices=tuple(devices)), members=whole)
    assert [why for _, _, why in found] == [
        "w-0: GPU 1 of n1 is not healthy (too hot); GPUs 2 and 3 of n1 are not healthy (no answer)"
    ]


def test_a_suspect_gpu_is_a_note_as_work_can_go_on() -> None:
    snap, found = cluster(told("n1", 0, suspect=True), members=holding(("n1", (0, 1))))
    assert [cause for _, cause, _ in found] == [Cause.SUSPECT]
    (one,) = failing(snap, next(iter(snap.workloads.values())))
    assert not one.grave
    assert failing_lines([one])[0].startswith("Note: w-0: GPU 0 (GPU-n1-0) of n1 shows signs of a fault (Xid 79")


def test_a_node_that_is_not_ready_fails_all_that_stands_there() -> None:
    _, found = cluster(node("n1", 4, ready=False), node("n2", 4), members=holding(("n1", (0, 1)), ("n2", ())))
    assert found == [("n1", Cause.NODE_NOT_READY, "w-0 stands on n1, which is not ready")]


def test_which_gpus_a_pod_holds_is_not_guessed_unless_it_has_them_all() -> None:
    _, found = cluster(told("n1", 0, healthy=False), members=holding(("n1", ())))
    assert found == []
    whole = pods("w", [shape(4)], on=["n1"])
    _, found = cluster(told("n1", 0, healthy=False), members=whole)
    assert [cause for _, cause, _ in found] == [Cause.UNHEALTHY]


def test_the_first_members_are_named_and_the_others_counted() -> None:
    snap, _ = cluster(node("n1", 64, ready=False), members=holding(*[("n1", ())] * (SHOWN + 3)))
    lines = failing_lines(failing(snap, next(iter(snap.workloads.values()))))
    assert len(lines) == SHOWN + 1
    assert lines[0] == "Failing: w-0 stands on n1, which is not ready."
    assert lines[-1] == "3 more pods stand on what fails."
