import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.exporter.backend import DriverError, NvmlBackend
from scheduler.exporter.reading import (
    DeviceFacts,
    DeviceState,
    Fabric,
    FabricState,
    MigInstance,
    MigMode,
    Pair,
    PcieLevel,
    RemappedRows,
    Unread,
    Why,
)
from scheduler.exporter.simulated.backend import FixtureBackend
from scheduler.exporter.simulated.faults import FIELDS, Fault, Kind, parse_fault
from scheduler.exporter.simulated.machines import machine, machine_names
from scheduler.exporter.simulated.node import Placed
from scheduler.scoring.devices.machines import machine_types
from tests.exporter.made import deaf, slots

LONG_S = 60


def opened(name: str = "hgx_h100", *faults: str, instances: tuple[Placed, ...] = ()) -> FixtureBackend:
    backend = FixtureBackend(name, node="n1", instances=instances, faults=[parse_fault(text) for text in faults])
    backend.open()
    return backend


def uuids(name: str) -> list[str]:
    return [uuid for slot in slots(opened(name)) if isinstance(uuid := slot.uuid, str)]


HGX = uuids("hgx_h100")


def facts(backend: FixtureBackend, uuid: str) -> DeviceFacts:
    told = backend.facts(uuid)
    assert isinstance(told, DeviceFacts)
    return told


def state(backend: FixtureBackend, uuid: str) -> DeviceState:
    told = backend.state(uuid)
    assert isinstance(told, DeviceState)
    return told


def up(backend: FixtureBackend, uuid: str) -> list[int]:
    links = state(backend, uuid).nvlinks
    assert isinstance(links, tuple)
    return [link.link for link in links if link.active]


def test_it_keeps_the_protocol() -> None:
    backend: NvmlBackend = FixtureBackend("hgx_h100")
    assert backend.open().version == "580.95.05"


@pytest.mark.parametrize("name", machine_names())
def test_a_machine_reads_as_its_data_says(name: str) -> None:
    backend, known = opened(name), machine_types()[name]
    own = uuids(name)
    assert [slot.index for slot in slots(backend)] == list(range(known.gpus))
    assert [facts(backend, uuid).numa_node for uuid in own] == list(known.cpu_numa)
    addresses = [facts(backend, uuid).pci_bus_id for uuid in own]
    for a, one in enumerate(own):
        links = state(backend, one).nvlinks
        assert isinstance(links, tuple)
        for b, other in enumerate(own):
            if a == b:
                continue
            pair = backend.pair(one, other)
            assert pair.level == PcieLevel(known.pcie[a][b])
            assert pair.p2p_nvlink == (known.nvlinks[a][b] > 0)
            direct = sum(link.active and link.peer_bus_id == addresses[b] for link in links)
            assert direct == (0 if known.nvswitch else known.nvlinks[a][b])


def test_a_switch_machine_tells_the_switch_and_no_peer() -> None:
    links = state(opened(), HGX[0]).nvlinks
    assert isinstance(links, tuple)
    assert {(link.far_end, link.peer_bus_id) for link in links} == {(links[0].far_end, "")}
    assert [links[0].generation, links[0].mbps, len(links)] == ["4.0", 26562, 18]


def test_fabrics() -> None:
    tray = state(opened("gb200_tray"), uuids("gb200_tray")[0]).fabric
    assert isinstance(tray, Fabric)
    assert (tray.state, tray.clique, tray.healthy) == (FabricState.COMPLETED, 2, True)
    off = [state(opened("b200_one_gpu_off_fabric"), uuid).fabric for uuid in uuids("b200_one_gpu_off_fabric")]
    assert [isinstance(one, Fabric) and one.healthy for one in off] == [True, True, False, True, True, True, True, True]
    assert state(opened("l40s_x4"), uuids("l40s_x4")[0]).fabric == Unread(
        why=Why.NOT_SUPPORTED, call="nvmlDeviceGetGpuFabricInfoV"
    )


def test_a_lost_gpu_is_counted_and_told_as_lost() -> None:
    backend = opened("hgx_h100", "lost:2")
    assert [slot.index for slot in slots(backend) if isinstance(slot.uuid, Unread)] == [2]
    for told in (backend.facts(HGX[2]), backend.state(HGX[2]), backend.pair(HGX[2], HGX[0]).level):
        assert isinstance(told, Unread)
        assert told.why is Why.LOST
    assert deaf(backend, HGX) == [HGX[2]]


def test_an_absent_gpu_is_not_counted() -> None:
    backend = opened("hgx_h100", "absent:2")
    assert [slot.uuid for slot in slots(backend)] == [*HGX[:2], *HGX[3:]]
    assert [slot.index for slot in slots(backend)] == list(range(7))
    assert facts(backend, HGX[7]).index == 6


def test_links_of_one_gpu_down() -> None:
    assert up(opened("hgx_h100", "nvlink:3"), HGX[3]) == []
    assert len(up(opened("hgx_h100", "nvlink:3"), HGX[4])) == 18
    assert up(opened("hgx_h100", "nvlink:3.5"), HGX[3]) == [link for link in range(18) if link != 5]
    assert opened("hgx_h100", "nvlink:3").pair(HGX[3], HGX[4]).p2p_nvlink is False


def test_a_direct_link_that_is_down_is_down_at_both_ends() -> None:
    own = uuids("dgx1_v100")
    lane = machine("dgx1_v100").lanes[3][0]
    assert lane.peer is not None
    backend = opened("dgx1_v100", "nvlink:3.0")
    assert up(backend, own[3]) == [1, 2, 3, 4, 5]
    assert up(backend, own[lane.peer]) == [link for link in range(6) if link != lane.peer_link]


@pytest.mark.parametrize("fault", ["lost:3", "absent:3"])
def test_links_to_a_gpu_that_is_away_are_down(fault: str) -> None:
    own, lanes = uuids("dgx1_v100"), machine("dgx1_v100").lanes
    backend = opened("dgx1_v100", fault)
    for gpu in (0, 1, 2, 4, 5, 6, 7):
        assert up(backend, own[gpu]) == [link for link, lane in enumerate(lanes[gpu]) if lane.peer != 3]


def test_faults_of_memory_and_recovery() -> None:
    backend = opened("hgx_h100", "ecc:1=3", "rows:2", "pending-rows:3", "recovery:4", "recovery:5=4")
    told = [state(backend, uuid) for uuid in HGX]
    assert [s.ecc.uncorrected for s in told if not isinstance(s.ecc, Unread)] == [0, 3, 0, 0, 0, 0, 0, 0]
    assert told[2].remapped == RemappedRows(correctable=0, uncorrectable=1, pending=False, failure=True)
    assert told[3].remapped == RemappedRows(correctable=0, uncorrectable=1, pending=True, failure=False)
    assert [s.recovery_action for s in told] == [0, 0, 0, 0, 1, 4, 0, 0]


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_the_driver_does_not_tell(field: str) -> None:
    name, backend = field.replace("-", "_"), opened("hgx_h100", f"field:{field}:1")

    def told(uuid: str) -> object:
        for record in (backend.facts(uuid), backend.state(uuid), backend.pair(uuid, HGX[7])):
            if hasattr(record, name):
                return getattr(record, name)
        pytest.fail(f"{name} is in no record")

    missing = told(HGX[1])
    assert isinstance(missing, Unread)
    assert missing.why is Why.NOT_SUPPORTED
    assert not isinstance(told(HGX[0]), Unread)


def test_an_xid_is_told_once_to_who_watches_the_gpu() -> None:
    backend = opened("hgx_h100", "xid:4=79")
    assert backend.wait(0) is None
    assert deaf(backend, HGX) == []
    told = backend.wait(0)
    assert told is not None
    assert (told.uuid, told.number, told.gpu_instance) == (HGX[4], 79, None)
    assert backend.wait(0) is None
    backend.apply(parse_fault("xid:5=48"))
    backend.apply(parse_fault("xid:5=48"))
    assert [told.number if (told := backend.wait(0)) else None for _ in range(3)] == [48, 48, None]


def test_a_gpu_that_cannot_be_watched() -> None:
    backend = opened("hgx_h100", "unwatched:1", "xid:1=79")
    assert deaf(backend, HGX) == [HGX[1]]
    assert backend.wait(0) is None


def test_a_driver_that_went_away_must_be_opened_again() -> None:
    backend = opened()
    backend.apply(parse_fault("driver"))
    for call in (
        backend.count,
        lambda: backend.slot(0),
        lambda: backend.facts(HGX[0]),
        lambda: backend.wait(0),
        backend.open,
    ):
        with pytest.raises(DriverError):
            call()
    backend.heal()
    with pytest.raises(DriverError, match="not open"):
        slots(backend)
    backend.close()
    backend.open()
    assert len(slots(backend)) == 8


def test_instances() -> None:
    backend = opened(instances=(Placed(gpu=7, profile="1g.10gb", start=6), Placed(gpu=7, profile="3g.40gb", start=0)))
    told = state(backend, HGX[7])
    assert told.mig_mode == MigMode(current=True, pending=True)
    assert isinstance(told.instances, tuple)
    assert [(i.profile, i.profile_id, i.start, i.size) for i in told.instances] == [
        ("3g.40gb", 9, 0, 4),
        ("1g.10gb", 19, 6, 1),
    ]
    assert state(backend, HGX[6]).mig_mode == MigMode(current=False, pending=False)
    backend.divide(7, [])
    assert state(backend, HGX[7]).instances == ()
    backend.divide(7, None)
    assert state(backend, HGX[7]) == state(opened(), HGX[7])
    backend.apply(parse_fault("mig:7"))
    assert state(backend, HGX[7]).mig_mode == MigMode(current=False, pending=True)


def test_another_order_changes_indexes_and_nothing_else() -> None:
    backend, plain = opened(), opened()
    backend.reindex([3, 2, 1, 0, 7, 6, 5, 4])
    assert [slot.uuid for slot in slots(backend)] == [HGX[gpu] for gpu in (3, 2, 1, 0, 7, 6, 5, 4)]
    assert [facts(backend, uuid).index for uuid in HGX] == [3, 2, 1, 0, 7, 6, 5, 4]
    assert [state(backend, uuid) for uuid in HGX] == [state(plain, uuid) for uuid in HGX]


@contextmanager
def in_a_thread(backend: FixtureBackend, call: Callable[[], object]) -> Generator[tuple[threading.Event, list[object]]]:
    done, answers = threading.Event(), list[object]()

    def body() -> None:
        answers.append(call())
        done.set()

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield done, answers
    finally:
        backend.heal()
        thread.join(LONG_S)


def test_a_gpu_that_hangs_holds_its_calls_until_it_is_healed() -> None:
    backend = opened("hgx_h100", "hang:2")
    with in_a_thread(backend, lambda: backend.state(HGX[2])) as (done, answers):
        assert state(backend, HGX[3]).uuid == HGX[3]
        assert (backend.count(), backend.slot(3).uuid) == (8, HGX[3])
        assert not done.is_set()
        backend.heal(parse_fault("hang:2"))
        assert done.wait(LONG_S)
        assert answers == [opened().state(HGX[2])]


def test_a_driver_that_hangs_holds_every_call() -> None:
    backend = opened()
    backend.apply(parse_fault("hang"))
    with in_a_thread(backend, backend.count) as (done, _):
        assert not done.is_set()
        backend.heal()
        assert done.wait(LONG_S)


def test_waiting_ends_when_an_error_comes() -> None:
    backend = opened()
    deaf(backend, HGX)
    with in_a_thread(backend, lambda: backend.wait(1000 * LONG_S)) as (done, answers):
        backend.apply(parse_fault("xid:0=95"))
        assert done.wait(LONG_S)
    assert [getattr(answer, "number", None) for answer in answers] == [95]


BROKEN = st.sets(
    st.one_of(
        st.builds(
            Fault,
            kind=st.sampled_from(
                [
                    Kind.LOST,
                    Kind.ABSENT,
                    Kind.NVLINK,
                    Kind.ECC,
                    Kind.ROWS,
                    Kind.PENDING_ROWS,
                    Kind.RECOVERY,
                    Kind.FABRIC,
                    Kind.MIG,
                    Kind.UNWATCHED,
                ]
            ),
            gpu=st.integers(0, 3),
        ),
        st.builds(Fault, kind=st.just(Kind.XID), gpu=st.integers(0, 3), number=st.just(79)),
        st.builds(Fault, kind=st.just(Kind.FIELD), gpu=st.integers(0, 3), field=st.sampled_from(FIELDS)),
        st.just(Fault(kind=Kind.DRIVER)),
    ),
    max_size=8,
)


@given(name=st.sampled_from(machine_names()), faults=BROKEN)
def test_whatever_breaks_the_whole_gpus_read_as_ever(name: str, faults: set[Fault]) -> None:
    backend, plain, own = opened(name), opened(name), uuids(name)
    try:
        for fault in faults:
            if fault.kind is not Kind.NVLINK or machine(name).lanes[fault.gpu or 0]:
                backend.apply(fault)
        deaf(backend, own)
        backend.wait(0)
        counted = {slot.uuid for slot in slots(backend)}
        read = {(a, b): backend.pair(own[a], own[b]) for a in range(len(own)) for b in range(len(own)) if a != b}
        for uuid in own:
            backend.facts(uuid)
            backend.state(uuid)
    except DriverError:
        assert Fault(kind=Kind.DRIVER) in faults
        return
    broken = {fault.gpu for fault in faults}
    for gpu, uuid in enumerate(own):
        if gpu in broken:
            continue
        seen, usual = backend.state(uuid), plain.state(uuid)
        assert isinstance(seen, DeviceState)
        assert isinstance(usual, DeviceState)
        assert isinstance(seen.nvlinks, tuple)
        assert isinstance(usual.nvlinks, tuple)
        assert uuid in counted
        assert msgspec.structs.replace(facts(backend, uuid), index=0) == msgspec.structs.replace(
            facts(plain, uuid), index=0
        )
        ends = {link.link: link.peer_bus_id for link in usual.nvlinks}
        hurt = {facts(plain, own[other]).pci_bus_id for other in broken if other is not None}
        assert [link for link in seen.nvlinks if ends[link.link] not in hurt] == [
            link for link in usual.nvlinks if ends[link.link] not in hurt
        ]
    for (a, b), pair in read.items():
        assert isinstance(pair, Pair)
        if not {a, b} & broken:
            assert pair == plain.pair(own[a], own[b])


def test_instances_are_records_of_their_own() -> None:
    told = state(opened(instances=(Placed(gpu=0, profile="7g.80gb", start=0),)), HGX[0]).instances
    assert isinstance(told, tuple)
    assert isinstance(told[0], MigInstance)
    assert told[0].gpu_instance == 1
