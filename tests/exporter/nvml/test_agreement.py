"""The real backend over a played library reads what the simulated one tells of the same machine."""

from itertools import combinations

import pytest

from scheduler.exporter.reading import Slot, Unread, Why
from scheduler.exporter.simulated.backend import FixtureBackend
from scheduler.exporter.simulated.faults import parse_fault
from scheduler.exporter.simulated.machines import machine, machine_names
from scheduler.exporter.simulated.node import Placed
from tests.exporter.made import deaf, slots
from tests.exporter.nvml.conftest import NODE, Open

DIVIDABLE = [name for name in machine_names() if machine(name).gpus[0].profiles]

FAULTS = [
    "lost:2",
    "absent:1",
    "ecc:1=5",
    "rows:0",
    "pending-rows:3",
    "recovery:1",
    "recovery:2=4",
    "fabric:1",
    "mig:0",
    "unwatched:2",
    "field:model",
    "field:serial:1",
    "field:pci-bus-id:3",
    "field:minor",
    "field:architecture:0",
    "field:compute-capability",
    "field:mig-mode:1",
    "field:fabric:2",
    "field:remapped:1",
    "field:recovery-action",
    "field:ecc:0",
    "field:utilisation:0",
    "field:exclusive-process",
    "field:level:1",
    "field:p2p",
    "field:p2p-nvlink:2",
]


def agree(
    open_real: Open, name: str, *faults: str, instances: tuple[Placed, ...] = (), order: list[int] | None = None
) -> None:
    real, lib = open_real(name, *faults, instances=instances)
    told = FixtureBackend(name, node=NODE, instances=instances, faults=map(parse_fault, faults))
    if order is not None:
        told.reindex(order)
        lib.node.reindex(order)
    assert real.open() == told.open()
    assert slots(real) == slots(told)
    own = lib.node.uuids
    for uuid in own:
        one, other = real.facts(uuid), told.facts(uuid)
        if isinstance(one, Unread):
            assert isinstance(other, Unread)
            assert (one.why, other.why) == (Why.LOST, Why.LOST)
        else:
            assert one == other
        if not isinstance(one, Unread):
            assert real.state(uuid) == told.state(uuid)
    for a, b in combinations(own, 2):
        assert real.pair(a, b) == told.pair(a, b)
    assert deaf(real, own) == deaf(told, own)


@pytest.mark.parametrize("name", machine_names())
def test_on_every_machine(opened: Open, name: str) -> None:
    agree(opened, name)


@pytest.mark.parametrize("name", machine_names())
@pytest.mark.parametrize("fault", FAULTS)
def test_with_something_broken(opened: Open, name: str, fault: str) -> None:
    agree(opened, name, fault)


@pytest.mark.parametrize("fault", ["nvlink:3", "nvlink:0.1"])
@pytest.mark.parametrize("name", [name for name in machine_names() if all(machine(name).lanes)])
def test_with_nvlinks_down(opened: Open, name: str, fault: str) -> None:
    agree(opened, name, fault)


@pytest.mark.parametrize("name", DIVIDABLE)
def test_with_divided_gpus(opened: Open, name: str) -> None:
    small, half = machine(name).gpus[0].profiles[0], next(p for p in machine(name).gpus[0].profiles if p.id == 9)
    layout = (
        *(Placed(gpu=0, profile=small.name, start=start) for start in (0, 3, 6)),
        Placed(gpu=1, profile=half.name, start=4),
        Placed(gpu=1, profile=half.name, start=0),
    )
    agree(opened, name, instances=layout)
    agree(opened, name, "mig:1", instances=layout)
    agree(opened, name, instances=tuple(Placed(gpu=1, profile=small.name, start=start) for start in range(7)))


@pytest.mark.parametrize("name", machine_names())
def test_with_another_order_of_indexes(opened: Open, name: str) -> None:
    size = len(machine(name).gpus)
    agree(opened, name, order=list(reversed(range(size))))
    agree(opened, name, "absent:1", "lost:2", order=[(gpu + 1) % size for gpu in range(size)])


def test_indexes_change_and_nothing_else(opened: Open) -> None:
    real, lib = opened("dgx1_v100")
    before = [real.state(uuid) for uuid in lib.node.uuids]
    assert slots(real)[0] == Slot(index=0, uuid=lib.node.uuids[0])
    lib.node.reindex([7, 6, 5, 4, 3, 2, 1, 0])
    assert slots(real)[7] == Slot(index=7, uuid=lib.node.uuids[0])
    assert [real.state(uuid) for uuid in lib.node.uuids] == before
