"""ResourceSlices and what is read of them."""

import json
from typing import Any

import pytest

from scheduler.kube.translate_device import pci_address, read_class, read_slice
from scheduler.model.claims import Capacity, Offered
from scheduler.model.names import NodeName
from scheduler.state.events import DeviceClassSeen, SliceSeen


def gpu(minor: int, **fields: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    return {
        "name": f"gpu-{minor}",
        "attributes": {
            "type": {"string": "gpu"},
            "uuid": {"string": f"GPU-{minor}"},
            "productName": {"string": "NVIDIA H100 80GB HBM3"},
            "driverVersion": {"version": "580.65.6"},
            "resource.kubernetes.io/pciBusID": {"string": f"0000:{minor:02X}:00.0"},
        },
        "capacity": {"memory": {"value": "81559Mi"}},
        **fields,
    }


def document(*devices: dict[str, Any], **spec: Any) -> bytes:  # noqa: ANN401  JSON
    pool = {"name": "n1", "generation": 3, "resourceSliceCount": 2}
    whole = {"driver": "gpu.nvidia.com", "pool": pool, "nodeName": "n1", "devices": [*devices], **spec}
    meta = {"name": "n1-gpu.nvidia.com-x7", "uid": "u", "resourceVersion": "9"}
    return json.dumps({"metadata": meta, "spec": whole}).encode()


def seen(*devices: dict[str, Any], **spec: Any) -> SliceSeen:  # noqa: ANN401  JSON
    return read_slice(document(*devices, **spec))[1]


def test_a_slice_offers_the_gpus_of_a_node() -> None:
    meta, event = read_slice(document(gpu(0x1A)))
    assert (meta.name, meta.uid) == ("n1-gpu.nvidia.com-x7", "u")
    assert event == SliceSeen(
        uid="u",
        name="n1-gpu.nvidia.com-x7",
        driver="gpu.nvidia.com",
        pool="n1",
        generation=3,
        slices=2,
        node=NodeName("n1"),
        devices=(
            Offered(
                name="gpu-26",
                uuid="GPU-26",
                model="NVIDIA H100 80GB HBM3",
                memory_mib=81559,
                address="0000:1a:00.0",
            ),
        ),
    )


@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute", "None"])
def test_devices_with_a_taint_that_keeps_pods_off_are_not_usable(effect: str) -> None:
    (device,) = seen(gpu(0, taints=[{"key": "gpu.nvidia.com/xid", "effect": effect}])).devices
    assert device.usable == (effect == "None")


def test_mig_slices_name_their_gpu() -> None:
    static = {"type": {"string": "mig"}, "uuid": {"string": "MIG-1"}, "parentUUID": {"string": "GPU-3"}}
    devices = [
        {"name": "gpu-3-mig-19-6", "attributes": static},
        {"name": "gpu-4-mig-1g10gb-19-6", "attributes": {"gpu.nvidia.com/type": {"string": "mig"}}},
        {"name": "odd", "attributes": {"type": {"string": "mig"}}},
    ]
    assert [(d.kind, d.parent, d.uuid) for d in seen(*devices).devices] == [
        ("mig", "GPU-3", "MIG-1"),
        ("mig", "gpu-4", ""),
        ("mig", "", ""),
    ]


def test_slices_that_are_made_as_they_are_claimed_tell_where_they_are() -> None:
    def counted(minor: int) -> dict[str, Any]:
        taken = {"memory-slice-5": 1, "memory-slice-4": 1, "copy-engines": 2, "ofa-engines": 1, "memory": "20Gi"}
        return {
            "name": f"gpu-{minor}-mig-2g.20gb-14-4",
            "attributes": {"type": {"string": "mig"}, "profile": {"string": "2g.20gb"}},
            "consumesCounters": [
                {"counterSet": f"gpu-{minor}-counter-set", "counters": {k: {"value": str(v)} for k, v in taken.items()}}
            ],
        }

    (one,), (again,) = seen(counted(3)).devices, seen(counted(3), nodeName="n2").devices
    assert (one.parent, one.profile, one.start, one.size, one.engines) == ("gpu-3", "2g.20gb", 4, 2, (0, 0, 1, 2))
    assert one is again


def test_slices_that_were_made_beforehand_tell_where_they_are() -> None:
    texts = {"type": "mig", "uuid": "MIG-1", "parentUUID": "GPU-3", "profile": "3g.40gb", "productName": "NVIDIA A100"}
    device: dict[str, Any] = {
        "name": "gpu-3-mig-9-4-4",
        "attributes": {**{k: {"string": v} for k, v in texts.items()}, "index": {"int": 1}},
        "capacity": {name: {"value": "1"} for name in ("memory", *(f"memorySlice{i}" for i in (7, 4, 6, 5)))},
    }
    address = {"resource.kubernetes.io/pciBusID": {"string": "0000:0A:00.0"}}
    taints = [{"key": "gpu.nvidia.com/xid", "effect": "NoExecute"}]
    one, bare, counted = seen(
        {**device, "attributes": {**device["attributes"], **address}, "taints": taints},
        {**device, "capacity": {}, "allowMultipleAllocations": True},
        {**device, "consumesCounters": [{"counterSet": "x", "counters": {"slices": {"value": "1"}}}]},
    ).devices
    assert (one.made, one.parent, one.uuid, one.model, one.address) == (
        True,
        "GPU-3",
        "MIG-1",
        "NVIDIA A100",
        "0000:0a:00.0",
    )
    assert (one.profile, one.start, one.size, one.usable) == ("3g.40gb", 4, 4, False)
    assert (bare.made, bare.start, bare.size, bare.shared, bare.usable) == (True, -1, 0, True, True)
    assert (counted.made, counted.start) == (False, -1)


def test_several_claims_may_share_a_device() -> None:
    assert [d.shared for d in seen(gpu(0, allowMultipleAllocations=True), gpu(1)).devices] == [True, False]


def test_what_claims_share_of_a_device_and_how() -> None:
    capacity = {
        "memory": {
            "value": "80Gi",
            "requestPolicy": {"default": "10Gi", "validRange": {"min": "5Gi", "max": "40Gi", "step": "5Gi"}},
        },
        "cores": {"value": "100.9", "requestPolicy": {"default": "10", "validValues": ["10", "24.5", "50"]}},
        "any": {"value": "7"},
    }
    shared, again, alone = seen(
        gpu(0, allowMultipleAllocations=True, capacity=capacity),
        gpu(1, allowMultipleAllocations=True, capacity=capacity),
        gpu(2, capacity=capacity),
    ).devices
    gib = 1 << 30
    assert shared.capacities == (
        Capacity(name="any", total=7),
        Capacity(name="cores", total=100, default=10, values=(10, 25, 50)),
        Capacity(name="memory", total=80 * gib, default=10 * gib, least=5 * gib, most=40 * gib, step=5 * gib),
    )
    assert shared.capacities is again.capacities
    assert alone.capacities == ()


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"driver": "compute-domain.nvidia.com"}, id="another driver"),
        pytest.param({"nodeName": None}, id="a node that is null"),
        pytest.param({"nodeName": "", "allNodes": True}, id="devices of all nodes"),
        pytest.param({"devices": None}, id="no devices"),
        pytest.param({"devices": [{"name": "vfio-0", "attributes": {"type": {"string": "vfio"}}}]}, id="another type"),
        pytest.param({"devices": [{"name": "bare"}]}, id="a device that says nothing"),
        pytest.param({"devices": [{"name": "n", "attributes": {"type": {"int": 7}}}]}, id="a type that is a number"),
    ],
)
def test_what_is_not_a_gpu_of_a_node_is_no_offer(spec: dict[str, Any]) -> None:
    whole = {**json.loads(document(gpu(0)))["spec"], **spec}
    text = json.dumps(
        {"metadata": {"name": "s", "uid": "u"}, "spec": {k: v for k, v in whole.items() if v is not None}}
    )
    assert read_slice(text.encode())[1].devices == ()


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b'{"metadata": 3}',
        b'{"metadata": {}, "spec": {"pool": {"generation": "one"}}}',
        document(gpu(0, capacity={"memory": {"value": "much"}})),
    ],
)
def test_what_is_no_slice_cannot_be_read(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_slice(text)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("00000000:1B:00.0", "0000:1b:00.0"),
        ("0000:ff:1f.7", "0000:ff:1f.7"),
        ("0001:00:00.0", "0001:00:00.0"),
        ("", ""),
        ("1b:00.0", ""),
        ("0000:1b:00.9", ""),
        ("0000:1b:00.0 ", ""),
    ],
)
def test_pci_addresses_are_written_in_one_way(text: str, want: str) -> None:
    assert pci_address(text) == want


@pytest.mark.parametrize(
    ("spec", "resource"), [({"extendedResourceName": "nvidia.com/gpu"}, "nvidia.com/gpu"), ({}, "")]
)
def test_a_class_tells_as_which_resource_its_devices_are_given_out(spec: dict[str, Any], resource: str) -> None:
    text = json.dumps({"metadata": {"name": "gpu.nvidia.com", "uid": "u"}, "spec": spec}).encode()
    assert read_class(text)[1] == DeviceClassSeen(uid="u", name="gpu.nvidia.com", resource=resource)
