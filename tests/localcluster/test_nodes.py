import json
from typing import Any

import pytest

from scheduler.exporter.exporter import Exporter, Options
from scheduler.exporter.publish import encode
from scheduler.kube.translate_device import read_slice
from scheduler.kube.translate_node import read_report
from scheduler.localcluster import fleet as fleets
from scheduler.localcluster.device_slices import resource_slices
from scheduler.localcluster.fleet import Fleet, Group, NodeTaint
from scheduler.localcluster.machines import machines
from scheduler.localcluster.nodes import nodes
from scheduler.localcluster.reports import backends
from scheduler.scoring.devices.machines import machine_graph

NOW = "2026-01-01T00:00:00Z"


def only(group: Group) -> dict[str, Any]:
    (node,) = nodes(Fleet(groups=[group]), now=NOW)
    return node


async def reports(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """What the exporter of each node reports, as JSON, by node."""
    found: dict[str, dict[str, Any]] = {}
    for name, backend in backends(fleet):
        report = await Exporter(backend, Options(simulated=True)).once()
        found[name] = json.loads(encode(report))
    return found


async def reported(group: Group) -> dict[str, Any]:
    ((_, status),) = (await reports(Fleet(groups=[group]))).items()
    return status


def test_a_node_offers_what_its_machine_has() -> None:
    node = only(Group(name="h", count=1, machine="hgx_h100", rack="r1", block="b1", zone="z1"))
    assert node["metadata"]["name"] == "h-0"
    assert node["status"]["allocatable"] == {
        "cpu": "192",
        "memory": f"{2048 * 1024 - 1024}Mi",
        "ephemeral-storage": "1024Gi",
        "pods": "110",
        "nvidia.com/gpu": "8",
    }
    labels = node["metadata"]["labels"]
    assert labels["nvidia.com/gpu.product"] == "NVIDIA-H100-80GB-HBM3"
    assert (labels["nvidia.com/gpu.count"], labels["nvidia.com/gpu.memory"]) == ("8", "81559")
    assert labels["fabric.topograph.run/tier-0"] == "r1"
    assert labels["fabric.topograph.run/tier-1"] == "b1"
    assert labels["topology.kubernetes.io/zone"] == "z1"
    assert labels["nvidia.com/mig.strategy"] == "single"


def test_slices_are_offered_instead_of_the_gpus_that_were_divided() -> None:
    node = only(Group(name="a", count=1, machine="dgx_a100", mig={"1g.10gb": 14, "7g.80gb": 1}))
    allocatable = node["status"]["allocatable"]
    assert allocatable["nvidia.com/gpu"] == "5"
    assert allocatable["nvidia.com/mig-1g.10gb"] == "14"
    assert allocatable["nvidia.com/mig-7g.80gb"] == "1"
    labels = node["metadata"]["labels"]
    assert labels["nvidia.com/mig.strategy"] == "mixed"
    assert labels["nvidia.com/mig-1g.10gb.product"] == "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb"


def test_own_sizes_labels_and_taints_win() -> None:
    node = only(
        Group(
            name="a",
            count=1,
            machine="dgx_a100",
            cpu=8,
            memory_gib=16,
            labels={"nvidia.com/gpu.product": "X"},
            taints=[NodeTaint(key="gpu", value="yes")],
        )
    )
    assert node["status"]["capacity"]["cpu"] == "8"
    assert node["status"]["capacity"]["memory"] == "16384Mi"
    assert node["metadata"]["labels"]["nvidia.com/gpu.product"] == "X"
    assert node["spec"]["taints"] == [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]


def test_nodes_without_a_machine_have_no_gpus_and_no_report() -> None:
    group = Group(name="cpu", count=2, cpu=4, memory_gib=8)
    assert not any(
        key.startswith("nvidia.com/")
        for key in only(Group(name="c", count=1, cpu=4, memory_gib=8))["metadata"]["labels"]
    )
    assert list(backends(Fleet(groups=[group]))) == []


async def test_trays_of_a_group_stand_in_one_clique_of_their_own_or_that_of_their_label() -> None:
    told = {"nvidia.com/gpu.clique": "6ac45a3c-7c5b-4d8e-9b1a-0f2d3c4b5a60.7"}
    named = {"nvidia.com/gpu.clique": "rack-1"}
    trays = [
        Group(name=name, count=2, machine="gb200_tray", labels=labels)
        for name, labels in (("a", {}), ("b", {}), ("c", told), ("d", named))
    ]
    fabrics: dict[str, Any] = {
        name: status.get("fabric") for name, status in (await reports(Fleet(groups=trays))).items()
    }
    assert fabrics["a-0"] == fabrics["a-1"]
    assert fabrics["b-0"] == fabrics["b-1"]
    assert fabrics["a-0"]["clusterUuid"] != fabrics["b-0"]["clusterUuid"]
    assert f"{fabrics['c-0']['clusterUuid']}.{fabrics['c-0']['cliqueId']}" == told["nvidia.com/gpu.clique"]
    assert fabrics["d-0"] is None
    alone = await reported(Group(name="h", count=1, machine="hgx_h100"))
    assert alone["fabric"]["clusterUuid"] is None


async def test_a_report_tells_devices_and_links() -> None:
    status = await reported(Group(name="h", count=1, machine="hgx_h100"))
    assert status["deviceCount"] == status["healthyDeviceCount"] == len(status["devices"]) == 8
    assert len({device["uuid"] for device in status["devices"]}) == 8
    assert {device["migMode"] for device in status["devices"]} == {"Disabled"}
    nvlinks = [link for link in status["links"] if link["type"] == "NVLink"]
    assert len(nvlinks) == 28
    assert {link["count"] for link in nvlinks} == {18}
    assert {link["gigabytesPerSecond"] for link in nvlinks} == {478}
    assert status["nvswitch"] is True


async def test_a_report_tells_slices_and_where_more_could_be_made() -> None:
    status = await reported(Group(name="a", count=1, machine="dgx_a100", mig={"3g.40gb": 1}))
    whole, divided = status["devices"][0], status["devices"][7]
    assert (whole["migMode"], divided["migMode"]) == ("Disabled", "Enabled")
    assert "migInstances" not in whole
    assert [(i["profile"], i["start"], i["size"]) for i in divided["migInstances"]] == [("3g.40gb", 0, 4)]
    free = {(p["profile"], p["start"]) for p in divided["freePlacements"]}
    assert free == {
        *((name, start) for name in ("1g.10gb", "1g.10gb+me") for start in (4, 5, 6)),
        ("1g.20gb", 4),
        ("1g.20gb", 6),
        ("2g.20gb", 4),
        ("3g.40gb", 4),
    }


async def test_the_same_fleet_has_the_same_uuids_and_other_nodes_have_others() -> None:
    fleet = fleets.default()
    first, second = [await reports(fleet) for _ in range(2)]
    assert first == second
    uuids = [device["uuid"] for report in first.values() for device in report["devices"]]
    assert len(uuids) == len(set(uuids)) == 160


@pytest.mark.parametrize("name", machines())
async def test_the_service_reads_the_links_of_the_machine_type(name: str) -> None:
    """Bandwidths are reported in whole GB/s."""
    status = await reported(Group(name="x", count=1, machine=name))
    seen = read_report(json.dumps({"metadata": {"name": "x-0"}, "status": status}).encode())[1]
    graph = machine_graph(name)
    assert graph is not None
    assert seen.links is not None
    assert seen.assumed == ()
    assert seen.links.nvlinks == graph.nvlinks
    assert seen.links.pcie == graph.pcie
    assert (seen.links.numa, seen.links.switched) == (graph.numa, graph.switched)
    pairs = [(a, b) for a in range(graph.size) for b in range(a)]
    assert all(0 <= graph.mbps[a][b] - seen.links.mbps[a][b] < 1000 for a, b in pairs)


async def test_gpus_that_are_claimed_stand_in_slices_and_not_among_the_nodes_resources() -> None:
    group = Group(name="d", count=1, machine="hgx_h100", dra=True)
    node = only(group)
    assert "nvidia.com/gpu" not in node["status"]["allocatable"]
    assert node["metadata"]["labels"]["nvidia.com/gpu.product"] == "NVIDIA-H100-80GB-HBM3"
    (made,) = resource_slices(Fleet(groups=[group, Group(name="h", count=1, machine="hgx_h100")]))
    assert (made["spec"]["nodeName"], len(made["spec"]["devices"])) == ("d-0", 8)
    told = {d["uuid"]: d["pciBusId"] for d in (await reported(group))["devices"]}
    offered = [d["attributes"] for d in made["spec"]["devices"]]
    assert {a["uuid"]["string"]: a["resource.kubernetes.io/pciBusID"]["string"] for a in offered} == told


async def test_slices_that_are_claimed_stand_in_place_of_the_gpus_that_were_divided() -> None:
    group = Group(name="d", count=1, machine="hgx_h100", dra=True, mig={"3g.40gb": 1, "1g.10gb": 2})
    allocatable = only(group)["status"]["allocatable"]
    assert [name for name in allocatable if name.startswith("nvidia.com/")] == []
    (made,) = resource_slices(Fleet(groups=[group]))
    seen = read_slice(json.dumps({**made, "metadata": {**made["metadata"], "uid": "u"}}).encode())[1]
    whole, slices = [d for d in seen.devices if d.kind == "gpu"], [d for d in seen.devices if d.made]
    assert (len(whole), len(slices), len({d.name for d in seen.devices})) == (7, 3, 10)
    told = (await reported(group))["devices"][7]
    assert {one.parent for one in slices} == {told["uuid"]}
    assert {one.address for one in slices} == {told["pciBusId"]}
    assert sorted((one.uuid, one.profile, one.start, one.size) for one in slices) == sorted(
        (each["uuid"], each["profile"], each["start"], each["size"]) for each in told["migInstances"]
    )
