"""The checker refuses plans that were spoilt in any of many ways; the plans are those of random clusters."""

from collections.abc import Callable, Iterator, Sequence

import pytest
from msgspec.structs import replace

from benchmarks.determinism import planned
from scheduler.model.names import NodeName, PodUid
from scheduler.model.plan import Admit, Assignment, Decision, Plan
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Workload
from scheduler.scoring.rules.check import broken_rules

SEEDS = range(120)

Spoil = Callable[[Snapshot, Workload, Admit], Iterator[Sequence[Assignment]]]
"""Assignments of an admitted workload that no plan may have."""


def left_out(_: Snapshot, workload: Workload, admit: Admit) -> Iterator[Sequence[Assignment]]:
    fewer = admit.placement.assignments[1:]
    if len(fewer) + len(workload.placed) < workload.min_member:
        yield fewer


def twice(_: Snapshot, __: Workload, admit: Admit) -> Iterator[Sequence[Assignment]]:
    yield (*admit.placement.assignments, admit.placement.assignments[0])


def unknown_pod(_: Snapshot, __: Workload, admit: Admit) -> Iterator[Sequence[Assignment]]:
    first, *rest = admit.placement.assignments
    yield (replace(first, pod=PodUid("nobody")), *rest)


def unknown_node(_: Snapshot, __: Workload, admit: Admit) -> Iterator[Sequence[Assignment]]:
    first, *rest = admit.placement.assignments
    yield (replace(first, node=NodeName("nowhere")), *rest)


def node_that_is_down(snapshot: Snapshot, _: Workload, admit: Admit) -> Iterator[Sequence[Assignment]]:
    first, *rest = admit.placement.assignments
    for name, node in snapshot.nodes.items():
        if not node.ready:
            yield (replace(first, node=name, devices=(), slices=()), *rest)


def refused_node(_: Snapshot, workload: Workload, admit: Admit) -> Iterator[Sequence[Assignment]]:
    first, *rest = admit.placement.assignments
    for name in workload.avoid:
        yield (replace(first, node=name, devices=(), slices=()), *rest)


def other_domain(snapshot: Snapshot, workload: Workload, admit: Admit) -> Iterator[Sequence[Assignment]]:
    labels = {level.name: level.label for level in snapshot.topology}
    label = labels.get(workload.topology_required or "")
    first, *rest = admit.placement.assignments
    if label is None or not (rest or workload.placed):
        return
    here = snapshot.nodes[first.node].labels.get(label)
    for name, node in snapshot.nodes.items():
        if node.labels.get(label) != here:
            yield (replace(first, node=name, devices=(), slices=()), *rest)


def one_device_less(_: Snapshot, __: Workload, admit: Admit) -> Iterator[Sequence[Assignment]]:
    for at, each in enumerate(admit.placement.assignments):
        if len(each.devices) > 1:
            yield changed(admit, at, each.devices[1:])


def same_device_twice(_: Snapshot, __: Workload, admit: Admit) -> Iterator[Sequence[Assignment]]:
    for at, each in enumerate(admit.placement.assignments):
        if len(each.devices) > 1:
            yield changed(admit, at, (each.devices[0], *each.devices[:-1]))


def bad_device(snapshot: Snapshot, workload: Workload, admit: Admit) -> Iterator[Sequence[Assignment]]:
    """One that is taken, broken or not there."""
    whole = {pod.uid for pod in workload.members if pod.shape.requests.gpus}
    for at, each in enumerate(admit.placement.assignments):
        node = snapshot.nodes[each.node]
        taken = snapshot.devices_used.get(each.node, frozenset())
        broken = {device.index for device in node.devices if not device.healthy}
        if each.devices and each.pod in whole:
            for index in sorted({*taken, *broken, len(node.devices)} - set(each.devices)):
                yield changed(admit, at, (*each.devices[:-1], index))


def shared_device(_: Snapshot, workload: Workload, admit: Admit) -> Iterator[Sequence[Assignment]]:
    """Two pods with whole GPUs on one node, and one of these GPUs for both."""
    whole = {pod.uid for pod in workload.members if pod.shape.requests.gpus}
    some = [(at, each) for at, each in enumerate(admit.placement.assignments) if each.devices and each.pod in whole]
    for at, one in some:
        for other in (each for _, each in some):
            if one.pod != other.pod and one.node == other.node:
                yield changed(admit, at, (*one.devices[:-1], other.devices[0]))


def slice_elsewhere(_: Snapshot, __: Workload, admit: Admit) -> Iterator[Sequence[Assignment]]:
    """A MIG instance where none can begin."""
    for at, each in enumerate(admit.placement.assignments):
        if each.slices:
            moved = replace(each, slices=(replace(each.slices[0], start=8), *each.slices[1:]))
            yield (*admit.placement.assignments[:at], moved, *admit.placement.assignments[at + 1 :])


def slice_left_out(_: Snapshot, __: Workload, admit: Admit) -> Iterator[Sequence[Assignment]]:
    for at, each in enumerate(admit.placement.assignments):
        if each.slices:
            fewer = replace(each, slices=each.slices[1:])
            yield (*admit.placement.assignments[:at], fewer, *admit.placement.assignments[at + 1 :])


def changed(admit: Admit, at: int, devices: tuple[int, ...]) -> Sequence[Assignment]:
    each = admit.placement.assignments[at]
    return (*admit.placement.assignments[:at], replace(each, devices=devices), *admit.placement.assignments[at + 1 :])


@pytest.fixture(scope="module")
def plans() -> list[tuple[Snapshot, Plan]]:
    """All plans keep all rules before they are spoilt."""
    made = [planned(seed) for seed in SEEDS]
    assert [broken_rules(*each) for each in made] == [[]] * len(made)
    return made


@pytest.mark.long
@pytest.mark.parametrize(
    "spoil",
    [
        left_out,
        twice,
        unknown_pod,
        unknown_node,
        node_that_is_down,
        refused_node,
        other_domain,
        one_device_less,
        same_device_twice,
        bad_device,
        shared_device,
        slice_elsewhere,
        slice_left_out,
    ],
)
def test_spoilt_assignments_are_refused(spoil: Spoil, plans: list[tuple[Snapshot, Plan]]) -> None:
    tried = 0
    for snapshot, plan in plans:
        for at, decision in enumerate(plan.decisions):
            if isinstance(decision, Admit):
                for assignments in spoil(snapshot, snapshot.workloads[decision.workload], decision):
                    placement = replace(decision.placement, assignments=tuple(assignments))
                    tried += 1
                    assert broken_rules(snapshot, with_decision(plan, at, replace(decision, placement=placement)))
    assert tried > 3


def test_a_second_decision_is_refused(plans: list[tuple[Snapshot, Plan]]) -> None:
    for snapshot, plan in plans:
        for decision in plan.decisions:
            assert broken_rules(snapshot, replace(plan, decisions=(*plan.decisions, decision)))


def test_a_plan_of_another_snapshot_is_refused(plans: list[tuple[Snapshot, Plan]]) -> None:
    for snapshot, plan in plans:
        assert broken_rules(replace(snapshot, generation=9), plan)


def with_decision(plan: Plan, at: int, decision: Decision) -> Plan:
    return replace(plan, decisions=(*plan.decisions[:at], decision, *plan.decisions[at + 1 :]))
