# ruff: noqa: ANN401 - C functions, whose arguments ctypes leaves without types
# pyright: reportUnknownLambdaType=false
import ctypes.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scheduler.exporter.backend import DriverError, NvmlBackend
from scheduler.exporter.nvml.backend import PynvmlBackend
from scheduler.exporter.reading import DeviceFacts, DeviceState, DriverFacts, Unread, Why
from scheduler.exporter.simulated.faults import parse_fault
from scheduler.exporter.simulated.node import bus_id
from tests.exporter.made import slots
from tests.exporter.nvml.conftest import Open
from tests.exporter.nvml.memory import write


@pytest.mark.skipif(ctypes.util.find_library("nvidia-ml") is not None, reason="this machine has an NVIDIA driver")
def test_a_machine_without_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    backend: NvmlBackend = PynvmlBackend()
    with pytest.raises(DriverError) as refused:
        backend.open()
    assert str(refused.value) == "the library of the NVIDIA driver, libnvidia-ml.so.1, is not there"
    backend.close()
    with pytest.raises(DriverError, match="the driver is not open"):
        slots(backend)


def test_versions(opened: Open) -> None:
    backend, _ = opened(ready=False)
    assert backend.open() == DriverFacts(version="580.95.05", cuda="13.0", nvml="13.580.95.05")


def test_opening_again_leaves_one_open(opened: Open) -> None:
    backend, lib = opened()
    backend.open()
    assert lib.opened == 1
    backend.close()
    backend.close()
    assert lib.opened == 0


def test_a_driver_that_restarts(opened: Open) -> None:
    backend, lib = opened()
    gone = parse_fault("driver")
    lib.node.add(gone)
    with pytest.raises(DriverError, match="the NVIDIA driver is not loaded"):
        backend.state(lib.node.uuids[0])
    with pytest.raises(DriverError):
        backend.open()
    lib.node.faults.discard(gone)
    backend.open()
    assert isinstance(backend.state(lib.node.uuids[0]), DeviceState)


def test_a_gpu_that_falls_off_the_bus_while_others_are_read(opened: Open) -> None:
    backend, lib = opened()
    own = lib.node.uuids
    slots(backend)
    lib.node.add(parse_fault("lost:3"))
    for told in (backend.facts(own[3]), backend.state(own[3]), backend.pair(own[3], own[4]).level):
        assert isinstance(told, Unread)
        assert told.why is Why.LOST
    assert isinstance(backend.state(own[4]), DeviceState)
    assert [slot.uuid for slot in slots(backend) if slot.index != 3] == [uuid for uuid in own if uuid != own[3]]


def test_a_gpu_that_is_lost_while_it_is_read(opened: Open) -> None:
    backend, lib = opened()
    lib.fail_on["nvmlDeviceGetComputeMode", 3] = 15
    told = backend.state(lib.node.uuids[3])
    assert told == Unread(why=Why.LOST, call="nvmlDeviceGetComputeMode")


def test_a_uuid_that_the_driver_does_not_know(opened: Open) -> None:
    backend, _ = opened()
    assert backend.facts("GPU-0") == Unread(why=Why.LOST, call="nvmlDeviceGetHandleByUUID")


def test_a_handle_that_became_another_gpus_is_asked_for_anew(opened: Open) -> None:
    backend, lib = opened()
    one, other = lib.node.uuids[:2]
    slots(backend)
    lib.node.uuids[0], lib.node.uuids[1] = other, one
    facts = backend.facts(one)
    assert isinstance(facts, DeviceFacts)
    assert (facts.uuid, facts.pci_bus_id) == (one, bus_id(1))


def test_text_that_is_no_text(opened: Open, monkeypatch: Any) -> None:
    backend, lib = opened()

    def name(handle: Any, text: Any, size: Any) -> None:
        text.value = b"NVIDIA \xff"

    monkeypatch.setattr(lib, "do_nvmlDeviceGetName", name)
    facts = backend.facts(lib.node.uuids[0])
    assert isinstance(facts, DeviceFacts)
    assert isinstance(facts.model, Unread)
    assert facts.model.why is Why.FAILED
    assert "decode" in facts.model.said
    assert facts.minor == 0


def test_the_numa_node_of_a_machine_whose_kernel_does_not_know_it(opened: Open, tmp_path: Path) -> None:
    backend, lib = opened("dgx_a100")
    for gpu in range(8):
        file = tmp_path / "dgx_a100/bus/pci/devices" / bus_id(gpu) / "numa_node"
        file.write_text("-1\n", encoding="ascii") if gpu % 2 else file.unlink()
    told = [facts.numa_node for uuid in lib.node.uuids if isinstance(facts := backend.facts(uuid), DeviceFacts)]
    assert told == [3, 3, 1, 1, 7, 7, 5, 5]
    assert lib.seen["nvmlDeviceGetMemoryAffinity"] == 8


def test_memory_near_to_several_numa_nodes_is_near_to_none(opened: Open, tmp_path: Path, monkeypatch: Any) -> None:
    backend, lib = opened()
    (tmp_path / "hgx_h100/bus/pci/devices" / bus_id(0) / "numa_node").unlink()

    def affinity(handle: Any, words: int, bits: Any, scope: Any) -> None:
        bits._obj[0], bits._obj[1] = 0b10, 0b1  # noqa: SLF001

    monkeypatch.setattr(lib, "do_nvmlDeviceGetMemoryAffinity", affinity)
    facts = backend.facts(lib.node.uuids[0])
    assert isinstance(facts, DeviceFacts)
    assert facts.numa_node == Unread(why=Why.FAILED, call="nvmlDeviceGetMemoryAffinity", said="near to 2 NUMA nodes")


@pytest.mark.parametrize(
    ("address", "want"), [(b"00000000:18:00.0", "0000:18:00.0"), (b"0001ABCD:0A:1F.0", "1abcd:0a:1f.0")]
)
def test_pci_addresses(opened: Open, monkeypatch: Any, address: bytes, want: str) -> None:
    backend, lib = opened()

    def info(handle: Any, told: Any) -> None:
        told._obj.busId = address  # noqa: SLF001

    monkeypatch.setattr(lib, "do_nvmlDeviceGetPciInfo_v3", info)
    facts = backend.facts(lib.node.uuids[0])
    assert isinstance(facts, DeviceFacts)
    assert facts.pci_bus_id == want


def test_the_driver_gives_memory_of_the_first_version_where_it_has_no_other(opened: Open) -> None:
    backend, lib = opened(ready=False)
    lib.missing.add("nvmlDeviceGetMemoryInfo_v2")
    backend.open()
    facts = backend.facts(lib.node.uuids[0])
    assert isinstance(facts, DeviceFacts)
    assert facts.memory_mib == 81559


def test_a_uuid_may_be_as_long_as_the_buffer_of_the_call(opened: Open, monkeypatch: Any) -> None:
    backend, lib = opened()
    long = "GPU-" + "f" * 91
    monkeypatch.setattr(lib, "do_nvmlDeviceGetUUID", lambda handle, text, size: write(text, long, size))
    assert {slot.uuid for slot in slots(backend)} == {long}


def test_reading_gpus_imports_nothing_heavy_and_pynvml_only_when_opened() -> None:
    code = (
        "import sys; from scheduler.exporter.nvml.backend import PynvmlBackend; made = PynvmlBackend();"
        "heavy = {'numpy', 'ortools', 'yaml', 'asyncio', 'pynvml', 'scheduler.scoring', 'scheduler.state'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
