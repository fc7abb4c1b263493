"""Devices and links that are assumed of nodes from which no exporter reports."""

import json
from collections.abc import Mapping

import pytest

from scheduler.kube.translate import kinds
from scheduler.kube.translate_node import read_node
from scheduler.model.node import Node
from scheduler.scoring.devices.machines import machine_graph
from scheduler.state.events import NodeSeen

PRODUCT = "nvidia.com/gpu.product"
H100 = {
    PRODUCT: "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.count": "8",
    "nvidia.com/gpu.memory": "81559",
    "nvidia.com/gpu.replicas": "1",
}


def raw(labels: Mapping[str, str], **allocatable: str) -> bytes:
    amounts = {key.replace("mig_", "nvidia.com/mig-").replace("_", "."): n for key, n in allocatable.items()}
    if "gpu" in amounts:
        amounts["nvidia.com/gpu"] = amounts.pop("gpu")
    return json.dumps(
        {"metadata": {"name": "n", "labels": dict(labels)}, "status": {"allocatable": {"pods": "110", **amounts}}}
    ).encode()


def read(labels: Mapping[str, str], **allocatable: str) -> Node:
    return read_node(raw(labels, **allocatable))[1].node


def test_a_known_machine_has_the_devices_and_links_of_its_kind() -> None:
    node = read(H100, gpu="8")
    assert (node.machine, node.links, node.links_assumed) == ("hgx_h100", machine_graph("hgx_h100"), True)
    assert [(d.index, d.model, d.memory_mib, d.healthy) for d in node.devices] == [
        (i, "NVIDIA-H100-80GB-HBM3", 81559, True) for i in range(8)
    ]


def test_equal_nodes_share_their_devices_and_links() -> None:
    one, other = read(H100, gpu="8"), read({**H100, "x": "y"}, gpu="8")
    assert one.devices is other.devices
    assert one.links is other.links


@pytest.mark.parametrize(
    ("labels", "gpus"),
    [
        pytest.param({}, "8", id="no product"),
        pytest.param(H100, "0", id="no GPU may be used"),
        pytest.param({**H100, PRODUCT: "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb"}, "8", id="slices that count as GPUs"),
        pytest.param({**H100, PRODUCT: "NVIDIA-H100-80GB-HBM3-SHARED"}, "8", id="replicas that count as GPUs"),
        pytest.param({**H100, "nvidia.com/gpu.replicas": "4"}, "8", id="shared GPUs"),
        pytest.param({**H100, "nvidia.com/gpu.count": "4"}, "8", id="GPUs of several models"),
        pytest.param({**H100, "nvidia.com/gpu.count": "many"}, "7", id="a count that is none"),
        pytest.param({**H100, PRODUCT: "NVIDIA-RTX-A6000"}, "8", id="a product of which nothing is known"),
        pytest.param(H100, "100000", id="more than any node has"),
    ],
)
def test_nothing_is_assumed_where_it_cannot_be_told(labels: Mapping[str, str], gpus: str) -> None:
    node = read(labels, gpu=gpus)
    assert (node.machine, node.devices, node.links, node.links_assumed) == ("", (), None, False)


def test_a_node_part_of_which_is_cut_into_slices_is_left_alone() -> None:
    assert not read(H100, gpu="7", mig_1g_10gb="7").links_assumed


def test_the_name_of_the_machine_counts_where_the_product_says_too_little() -> None:
    labels = {**H100, PRODUCT: "NVIDIA-A100-SXM4-40GB"}
    assert read(labels, gpu="8").machine == "dgx_a100"
    assert read({**labels, "node.kubernetes.io/instance-type": "p4d.24xlarge"}, gpu="8").machine == "aws_p4d"
    assert read({**labels, "nvidia.com/gpu.machine": "p4de.24xlarge"}, gpu="8").machine == "aws_p4d"


@pytest.mark.parametrize("assume", [True, False])
def test_it_can_be_turned_off(*, assume: bool) -> None:
    (nodes,) = (kind for kind in kinds("bayplan", assume_links=assume) if kind.name == "nodes")
    event = nodes.read(raw(H100, gpu="8")).event
    assert isinstance(event, NodeSeen)
    assert event.node.links_assumed == bool(event.node.devices) == assume
