import pytest

from scheduler.exporter.reading import DeviceState, Fabric, FabricState, Unread, Why
from tests.exporter.nvml.conftest import Open

TRAY = "6ac45a3c-7c5b-4d8e-9b1a-0f2d3c4b5a69"


def fabric(opened: Open, name: str = "gb200_tray", *, versions: set[int] | None = None, **told: int) -> object:
    backend, lib = opened(name, ready=False)
    lib.fabric_versions = {2, 3} if versions is None else versions
    for member, value in told.items():
        setattr(lib, member, value)
    backend.open()
    state = backend.state(lib.node.uuids[0])
    assert isinstance(state, DeviceState)
    return state.fabric


@pytest.mark.parametrize("versions", [{2, 3}, {2}, set[int]()])
def test_the_newest_form_that_the_driver_has(opened: Open, versions: set[int]) -> None:
    assert fabric(opened, versions=versions) == Fabric(
        state=FabricState.COMPLETED, cluster_uuid=TRAY, clique=2, healthy=True
    )


def test_a_completed_fabric_of_one_machine_has_a_uuid_of_zeros(opened: Open) -> None:
    told = fabric(opened, "hgx_h100")
    assert isinstance(told, Fabric)
    assert (told.cluster_uuid, told.clique, told.healthy) == ("00000000-0000-0000-0000-000000000000", 0, True)


def test_a_uuid_with_zero_bytes_is_read_whole(opened: Open) -> None:
    backend, lib = opened("gb200_tray")
    name = "6ac400" + TRAY[6:24] + "000000004b69"
    raw = lib.fabric(0)
    lib.fabric = lambda gpu: bytes.fromhex(name.replace("-", "")) + raw[16:]  # type: ignore[method-assign]
    state = backend.state(lib.node.uuids[0])
    assert isinstance(state, DeviceState)
    assert isinstance(state.fabric, Fabric)
    assert state.fabric.cluster_uuid == name


@pytest.mark.parametrize(
    ("mask", "healthy"),
    [
        pytest.param(0x0, True, id="an old driver tells nothing"),
        pytest.param(0x51AA, True, id="all is well"),
        pytest.param(0x51A9, False, id="bandwidth is degraded"),
        pytest.param(0x51A6, False, id="a route recovers"),
        pytest.param(0x519A, False, id="a route is unhealthy"),
        pytest.param(0x516A, False, id="a timeout is recovered from"),
        pytest.param(0x54AA, False, id="no partition is configured"),
        pytest.param(0x61AA, False, id="it belongs to no partition"),
        pytest.param(0x91AA, True, id="the manager is away, which stops no traffic"),
    ],
)
def test_the_health_mask(opened: Open, mask: int, healthy: bool) -> None:
    told = fabric(opened, health_mask=mask)
    assert isinstance(told, Fabric)
    assert told.healthy is healthy


@pytest.mark.parametrize(("summary", "healthy"), [(0, True), (1, True), (2, False), (3, False)])
def test_the_health_summary(opened: Open, summary: int, healthy: bool) -> None:
    told = fabric(opened, health_summary=summary)
    assert isinstance(told, Fabric)
    assert told.healthy is healthy


def test_a_state_without_a_meaning_is_a_failure(opened: Open) -> None:
    backend, lib = opened("gb200_tray")
    raw = lib.fabric(0)
    lib.fabric = lambda gpu: raw[:24] + bytes([9, 0, 0, 0])  # type: ignore[method-assign]
    state = backend.state(lib.node.uuids[0])
    assert isinstance(state, DeviceState)
    assert state.fabric == Unread(
        why=Why.FAILED, call="nvmlDeviceGetGpuFabricInfoV", said="fabric state 9 is not known"
    )
