"""Which GPUs of a node the state takes for healthy, held, expected to be held, and linked."""

import msgspec
import pytest

from scheduler.model.names import WorkloadKey
from scheduler.model.node import Allocator, Device
from scheduler.model.snapshot import Ailing, Unsure
from scheduler.scoring.devices.links import all_equal
from scheduler.state.audit import inconsistencies
from scheduler.state.events import (
    DevicesGone,
    DevicesSeen,
    NodeSeen,
    PodSeen,
)
from tests.state.build import (
    N1,
    Thing,
    allocatable,
    node,
    pod,
    queue,
    report,
    reserved,
    shape,
    state_of,
)


@pytest.mark.parametrize(
    ("gpus", "sick", "left"),
    [
        pytest.param(8, (), 8, id="all healthy"),
        pytest.param(8, (1, 2), 6, id="two sick ones are taken off"),
        pytest.param(7, (1,), 7, id="the device plugin took the sick one off already"),
        pytest.param(7, (1, 2), 6, id="it took off one of two"),
        pytest.param(1, (0,), 1, id="far fewer are advertised than there are"),
        pytest.param(32, (0,), 31, id="shared GPUs are advertised several times"),
    ],
)
def test_unhealthy_gpus_are_not_planned_on(gpus: int, sick: tuple[int, ...], left: int) -> None:
    state = state_of(node(gpus=gpus), report(sick=sick))
    assert allocatable(state.snapshot(), "n1") == left
    state.apply(DevicesGone(node=N1))
    assert allocatable(state.snapshot(), "n1") == gpus


@pytest.mark.parametrize(
    ("events", "taken"),
    [
        pytest.param([report(p=(5,))], {5}, id="what the exporter saw"),
        pytest.param([report()], {0}, id="the lowest free one where it saw nothing yet"),
        pytest.param([report(sick=(0,))], {1}, id="a healthy one"),
        pytest.param([report(p=(5,)), pod("q", gpus=2, node=N1)], {0, 1, 5}, id="both"),
        pytest.param(
            [report(p=(1,)), pod("q"), reserved("pod:a/q", ("q", "n1", (1,)))], {0, 1}, id="planned one is held"
        ),
        pytest.param(
            [report(p=(1,)), pod("q"), reserved("pod:a/q", ("q", "n1", (7,)))], {1, 7}, id="planned one is free"
        ),
        pytest.param([report(gone=(4,))], {0}, id="a pod that is gone holds nothing"),
        pytest.param([], None, id="no report"),
    ],
)
def test_devices_taken(events: list[Thing], taken: set[int] | None) -> None:
    state = state_of(node(), pod("p", node=N1), *events)
    assert state.snapshot().devices_used.get(N1) == taken


def test_members_carry_the_devices_that_they_hold() -> None:
    state = state_of(node(), queue(), pod("p", node=N1), report(p=(3,)))
    assert state.snapshot().workloads[WorkloadKey("pod:a/p")].members[0].devices == (3,)
    state.apply(report(p=(4,)))
    assert state.snapshot().workloads[WorkloadKey("pod:a/p")].members[0].devices == (4,)


def test_which_gpus_are_no_more_than_expected_is_told_where_the_plugin_chooses_and_links_are_known() -> None:
    replace = msgspec.structs.replace
    known = replace(report(x=(3,)), links=all_equal(8))
    pods = [pod("x", gpus=1, node=N1), pod("y", gpus=2, node=N1), pod("z", gpus=2)]
    state = state_of(node(), known, *pods, reserved("gang:a/g", ("z", "n1", (4, 5))))
    snapshot = state.snapshot()
    assert snapshot.devices_used[N1] == {0, 1, 3, 4, 5}
    assert snapshot.devices_unsure == {N1: Unsure(devices=frozenset({0, 1, 4, 5}), sizes=(2, 2))}
    state.apply(replace(known, held=(("a/x", (3,)), ("a/y", (6, 7)))))
    assert state.snapshot().devices_unsure == {N1: Unsure(devices=frozenset({4, 5}), sizes=(2,))}
    for other in (replace(known, allocator=Allocator.DRA), report(x=(3,))):
        state.apply(other)
        assert state.snapshot().devices_unsure == {}
    assert inconsistencies(state) == []


@pytest.mark.parametrize("changed", [{"links": all_equal(8)}, {"allocator": Allocator.DRA}])
def test_how_gpus_are_linked_and_who_chooses_them_is_a_matter_of_the_machine(changed: dict[str, object]) -> None:
    state = state_of(node(), report())
    before = state.snapshot().static_generation
    state.apply(msgspec.structs.replace(report(), **changed))
    assert state.snapshot().static_generation == before + 1
    seen = state.snapshot().nodes[N1]
    assert all(getattr(seen, name) == value for name, value in changed.items())
    state.apply(msgspec.structs.replace(report(sick=[1]), **changed))
    assert state.snapshot().static_generation == before + 1


def test_containers_that_ask_one_after_the_other_count_each_by_itself_as_long_as_nobody_told() -> None:
    known = msgspec.structs.replace(report(), links=all_equal(8))
    two = shape(3, gpu_steps=(2, 1))
    state = state_of(node(), known, pod("x", shape=two, node=N1), pod("z", shape=two))
    state.apply(reserved("pod:a/z", ("z", "n1", (4, 5, 6))))
    assert state.snapshot().devices_unsure[N1].sizes == (2, 2, 1, 1)
    state.apply(msgspec.structs.replace(known, held=(("a/x", (0, 1)),)))
    assert state.snapshot().devices_unsure[N1].sizes == (2, 1, 1)
    state.apply(PodSeen(pod=pod("c", shape=shape(2, by_claim=True), node=N1)))
    assert state.snapshot().devices_unsure[N1].sizes == (2, 1, 1)


def test_nodes_with_gpus_that_are_not_as_they_should_be_are_told_apart() -> None:
    def seen(*, sick: tuple[int, ...] = (), odd: tuple[int, ...] = ()) -> DevicesSeen:
        told = report(sick=sick)
        devices = tuple(msgspec.structs.replace(d, suspect=d.index in odd) for d in told.devices)
        return msgspec.structs.replace(told, devices=devices)

    state = state_of(node(), seen())
    assert state.snapshot().ailing == {}
    state.apply(seen(sick=(1,), odd=(1, 2)))
    before = state.snapshot()
    assert before.ailing == {N1: Ailing(unhealthy=frozenset({1}), suspect=frozenset({2}))}
    assert allocatable(before, "n1") == 7
    assert inconsistencies(state) == []
    state.apply(seen(odd=(2,)))
    assert state.snapshot().ailing == {N1: Ailing(suspect=frozenset({2}))}
    assert before.ailing[N1].unhealthy == {1}
    state.apply(DevicesGone(node=N1))
    assert state.snapshot().ailing == {}
    assert inconsistencies(state) == []


def test_what_is_assumed_counts_until_there_is_a_report_and_again_when_that_is_gone() -> None:
    devices = tuple(Device(index=i) for i in range(8))
    assumed = node("n1", devices=devices, links=all_equal(8), machine="m", links_assumed=True)
    state = state_of(assumed, pod("p", node=N1))
    before = state.snapshot()
    assert before.nodes[N1] == assumed
    assert before.devices_used == {N1: {0}}
    assert before.devices_unsure == {N1: Unsure(devices=frozenset({0}), sizes=(1,))}
    state.apply(report(p=(3,)))
    told = state.snapshot()
    assert (told.nodes[N1].links, told.nodes[N1].links_assumed) == (None, False)
    assert told.devices_used == {N1: {3}}
    assert told.static_generation > before.static_generation
    assert inconsistencies(state) == []
    state.apply(DevicesGone(node=N1))
    after = state.snapshot()
    assert after.nodes[N1] == assumed
    assert after.static_generation > told.static_generation
    state.apply(NodeSeen(node=node("n1")))
    assert state.snapshot().static_generation > after.static_generation
    assert inconsistencies(state) == []
