"""Capacity per node as pods come and go within a plan, and the devices that they get."""

from hypothesis import given
from hypothesis import strategies as st

from scheduler.model.resources import GPU, Resources, extended
from scheduler.model.workload import HostPort
from scheduler.scoring.fleet import Fleet
from scheduler.scoring.room import Room
from tests.planning.build import draw, node, shape, snapshot


def room_of(drawing: str) -> Room:
    snap = draw(drawing)
    return Room(snap, Fleet(snap))


def test_only_what_is_asked_for_counts() -> None:
    full = Resources(milli_cpu=64_000, memory_bytes=512 << 30)
    snap = snapshot([node("n0")], used={"n0": full})
    room = Room(snap, Fleet(snap))
    assert room.view(shape(1, milli_cpu=0)).fits.tolist() == [8]
    assert room.view(shape(1, milli_cpu=1)).fits.tolist() == [0]


def test_every_pod_takes_a_pod_slot() -> None:
    small = node("n0", allocatable=Resources(milli_cpu=1000, pods=3, extended=extended({GPU: 8})))
    snap = snapshot([small], used={"n0": Resources(pods=1)})
    assert Room(snap, Fleet(snap)).view(shape(1, milli_cpu=0)).fits.tolist() == [2]


def test_a_resource_that_no_node_has_fits_nowhere() -> None:
    assert room_of("n0: ....").view(shape(mig="1g.10gb")).fits.tolist() == [0]


def test_an_overcommitted_node_takes_nothing() -> None:
    snap = snapshot([node("n0", 2)], held={"n0": [0, 1, 2, 3]})
    assert Room(snap, Fleet(snap)).view(shape(1)).fits.tolist() == [0]


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([1, 2, 3])), max_size=8))
def test_what_is_taken_is_seen_by_every_view(takes: list[tuple[int, int]]) -> None:
    room = room_of("n0: ........\nn1: ...#....\nn2: ........")
    free = [8, 7, 8]
    shapes = {gpus: shape(gpus) for gpus in (1, 2, 3)}
    for row, gpus in takes:
        if int(room.view(shapes[gpus]).fits[row]) > 0:
            room.take(row, shapes[gpus])
            free[row] -= gpus
    for gpus, each in shapes.items():
        assert room.view(each).fits.tolist() == [n // gpus for n in free]


def test_a_host_port_is_taken_once_per_node() -> None:
    room = room_of("n0: ....\nn1: ....")
    each = shape(1, host_ports=(HostPort(port=80),))
    assert room.view(each).fits.tolist() == [1, 1]
    room.take(0, each)
    assert room.view(each).fits.tolist() == [0, 1]
    assert room.view(shape(1, host_ports=(HostPort(port=81),))).fits.tolist() == [1, 1]


def test_pods_of_one_plan_get_different_devices() -> None:
    room = room_of("n0: #...#...")
    assert [room.hand_out(0, [(shape(2), 1)]) for _ in range(3)] == [[[(1, 2)]], [[(3, 5)]], [[(6, 7)]]]
    assert room.snapshot.devices_used == {"n0": frozenset({0, 4})}
