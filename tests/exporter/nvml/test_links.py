# ruff: noqa: ANN401, SLF001 - C functions, whose arguments ctypes leaves without types
# pyright: reportPrivateUsage=false, reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false
from collections.abc import Sequence
from typing import Any

import pynvml  # pyright: ignore[reportMissingTypeStubs]
import pytest

from scheduler.exporter.nvml import links
from scheduler.exporter.reading import DeviceState, FarEnd, NvLink, PcieLevel, Unread, Why
from tests.exporter.made import slots
from tests.exporter.nvml.conftest import Open
from tests.exporter.nvml.fakelib import FakeLib
from tests.exporter.nvml.memory import Code, fill, put


def nvlinks(backend: Any, lib: FakeLib, gpu: int = 0) -> Sequence[NvLink]:
    slots(backend)
    state = backend.state(lib.node.uuids[gpu])
    assert isinstance(state, DeviceState)
    assert isinstance(state.nvlinks, tuple)
    return state.nvlinks


def test_the_constant_of_pynvml_for_reading_peers_is_no_number() -> None:
    """The reason for numbers of our own; when this fails, the wheel was mended."""
    module: Any = pynvml
    assert (module.NVML_P2P_CAPS_INDEX_READ,) == ((0,),)
    assert (links._P2P_READ, links._P2P_NVLINK) == (0, module.NVML_P2P_CAPS_INDEX_NVLINK)


def test_links_are_counted_until_the_driver_says_there_are_no_more(opened: Open) -> None:
    backend, lib = opened()
    assert len(nvlinks(backend, lib)) == 18
    lib.seen.clear()
    nvlinks(backend, lib)
    assert lib.seen["nvmlDeviceGetNvLinkState"] == 19


def test_more_links_than_any_wheel_knows_are_read_and_there_is_an_end(opened: Open, monkeypatch: Any) -> None:
    backend, lib = opened()
    monkeypatch.setattr(lib, "do_nvmlDeviceGetNvLinkState", lambda handle, link, active: put(active, 1))
    assert len(nvlinks(backend, lib)) == 64


def test_a_link_that_is_not_there_is_skipped(opened: Open, monkeypatch: Any) -> None:
    backend, lib = opened("a100_pcie_x4_bridged")

    def state(handle: Any, link: int, active: Any) -> None:
        if link >= 12:
            raise Code(2)
        if link < 4:
            raise Code(3)
        put(active, 1)

    monkeypatch.setattr(lib, "do_nvmlDeviceGetNvLinkState", state)
    assert [link.link for link in nvlinks(backend, lib)] == list(range(4, 12))


def test_versions_are_numbers_of_a_list(opened: Open, monkeypatch: Any) -> None:
    backend, lib = opened()
    monkeypatch.setattr(lib, "do_nvmlDeviceGetNvLinkVersion", lambda handle, link, version: put(version, link))
    assert [link.generation for link in nvlinks(backend, lib)][1:9] == [
        *("1.0", "2.0", "2.2", "3.0", "3.1", "4.0", "5.0", "6.0")
    ]
    assert nvlinks(backend, lib)[9].generation == Unread(
        why=Why.FAILED, call="nvmlDeviceGetNvLinkVersion", said="NVLink version 9 is not known"
    )


@pytest.mark.parametrize(
    ("address", "kind", "want"),
    [
        pytest.param("00000000:29:00.0", 0, (FarEnd.GPU, "0000:29:00.0"), id="a GPU of the machine"),
        pytest.param("00000000:29:00.0", 255, (FarEnd.GPU, "0000:29:00.0"), id="of which the type is not told"),
        pytest.param("0000000A:01:00.0", 0, (FarEnd.GPU, "000a:01:00.0"), id="a GPU that is not given to the machine"),
        pytest.param("00000000:05:00.0", 2, (FarEnd.SWITCH, ""), id="a switch"),
        pytest.param("FFFFFFFF:FF:FF.0", 2, (FarEnd.SWITCH, ""), id="a switch that is hidden"),
        pytest.param("00000008:00:00.0", 2, (FarEnd.SWITCH, ""), id="a switch as a virtual machine sees it"),
        pytest.param("", 2, (FarEnd.SWITCH, ""), id="a switch without an address"),
        pytest.param("00000004:00:00.0", 1, (FarEnd.OTHER, ""), id="a processor"),
    ],
)
def test_far_ends(opened: Open, monkeypatch: Any, address: str, kind: int, want: tuple[FarEnd, str]) -> None:
    backend, lib = opened()
    told = {
        "do_nvmlDeviceGetNvLinkRemotePciInfo_v2": lambda handle, link, info: fill(info, busId=address.encode()),
        "do_nvmlDeviceGetNvLinkRemoteDeviceType": lambda handle, link, number: put(number, kind),
    }
    for name, body in told.items():
        monkeypatch.setattr(lib, name, body)
    link = nvlinks(backend, lib)[0]
    assert (link.far_end, link.peer_bus_id) == want


def test_a_speed_that_only_all_links_share(opened: Open, monkeypatch: Any) -> None:
    backend, lib = opened()

    def values(handle: Any, count: Any, values: Any) -> None:
        for value in values._obj:
            value.nvmlReturn = 0 if value.fieldId == 90 else 3
            value.valueType = 1
            value.value.uiVal = 25000

    monkeypatch.setattr(lib, "do_nvmlDeviceGetFieldValues", values)
    assert {link.mbps for link in nvlinks(backend, lib)} == {25000}


def test_each_field_has_its_own_return_code(opened: Open, monkeypatch: Any) -> None:
    backend, lib = opened()

    def values(handle: Any, count: Any, values: Any) -> None:
        for value in values._obj:
            value.nvmlReturn = {3: 4, 4: 999}.get(value.scopeId, 0) if value.fieldId == 164 else 3
            value.valueType = {5: 0, 6: 5}.get(value.scopeId, 3)
            value.value.ullVal = 0 if value.scopeId == 7 else 26562

    monkeypatch.setattr(lib, "do_nvmlDeviceGetFieldValues", values)
    told = [link.mbps for link in nvlinks(backend, lib)][:8]
    not_told = Unread(why=Why.NOT_SUPPORTED, call="nvmlDeviceGetFieldValues")
    assert told == [
        26562,
        26562,
        26562,
        not_told,
        not_told,
        not_told,
        26562,
        Unread(why=Why.NO_DATA, call=not_told.call),
    ]


@pytest.mark.parametrize(
    ("kind", "member", "number"),
    [(1, "uiVal", 1 << 31), (2, "ulVal", 1 << 40), (3, "ullVal", 1 << 63), (4, "sllVal", -(1 << 40)), (5, "siVal", -7)],
)
def test_numbers_of_every_width(opened: Open, monkeypatch: Any, kind: int, member: str, number: int) -> None:
    backend, lib = opened()

    def values(handle: Any, count: Any, values: Any) -> None:
        for value in values._obj:
            value.nvmlReturn, value.valueType = 0, kind
            setattr(value.value, member, number)

    monkeypatch.setattr(lib, "do_nvmlDeviceGetFieldValues", values)
    assert {link.mbps for link in nvlinks(backend, lib)} == {number}


@pytest.mark.parametrize(("status", "want"), [(0, True), (1, False), (3, False), (5, False), (7, False)])
def test_p2p_status(opened: Open, monkeypatch: Any, status: int, want: bool) -> None:
    backend, lib = opened()
    monkeypatch.setattr(lib, "do_nvmlDeviceGetP2PStatus", lambda a, b, index, told: put(told, status))
    assert backend.pair(*lib.node.uuids[:2]).p2p is want


def test_numbers_without_a_meaning_are_failures(opened: Open, monkeypatch: Any) -> None:
    backend, lib = opened()
    monkeypatch.setattr(lib, "do_nvmlDeviceGetP2PStatus", lambda a, b, index, told: put(told, 6))
    monkeypatch.setattr(lib, "do_nvmlDeviceGetTopologyCommonAncestor", lambda a, b, told: put(told, 60))
    pair = backend.pair(*lib.node.uuids[:2])
    assert [told.said for told in (pair.level, pair.p2p) if isinstance(told, Unread)] == [
        "PCIe level 60 is not known",
        "P2P status is not known",
    ]


@pytest.mark.parametrize(
    ("number", "want"), [(0, "INTERNAL"), (10, "PIX"), (20, "PXB"), (30, "PHB"), (40, "NODE"), (50, "SYS")]
)
def test_levels(opened: Open, monkeypatch: Any, number: int, want: str) -> None:
    backend, lib = opened()
    monkeypatch.setattr(lib, "do_nvmlDeviceGetTopologyCommonAncestor", lambda a, b, told: put(told, number))
    assert backend.pair(*lib.node.uuids[:2]).level is PcieLevel[want]
