from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pynvml  # pyright: ignore[reportMissingTypeStubs]
import pytest

from scheduler.exporter.nvml.backend import PynvmlBackend
from scheduler.exporter.simulated.faults import parse_fault
from scheduler.exporter.simulated.machines import machine
from scheduler.exporter.simulated.node import Placed, SimulatedNode, bus_id
from tests.exporter.nvml.fakelib import FakeLib

Open = Callable[..., tuple[PynvmlBackend, FakeLib]]
NODE = "n1"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Open]:
    """Opens the real backend over a played library of a machine, whose /sys tells the NUMA nodes."""
    module: Any = pynvml
    backends: list[PynvmlBackend] = []

    def opens(
        name: str = "hgx_h100", *faults: str, instances: tuple[Placed, ...] = (), ready: bool = True
    ) -> tuple[PynvmlBackend, FakeLib]:
        made = machine(name)
        for gpu, numa in enumerate(made.numa):
            folder = tmp_path / name / "bus/pci/devices" / bus_id(gpu)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "numa_node").write_text(f"{numa}\n", encoding="ascii")
        lib = FakeLib(SimulatedNode(made, NODE, instances=instances, faults=map(parse_fault, faults)))
        monkeypatch.setattr(module, "nvmlLib", lib)
        monkeypatch.setattr(module, "_nvmlGetFunctionPointer_cache", {})
        backend = PynvmlBackend(sysfs=tmp_path / name)
        backends.append(backend)
        if ready:
            backend.open()
        return backend, lib

    yield opens
    for backend in backends:
        backend.close()
