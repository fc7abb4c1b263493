"""Machine types by product and number of GPUs: which are assumed, and where nothing is."""

import pytest

from scheduler.scoring.devices.machines import machine_graph, machine_types
from scheduler.scoring.devices.profiles import assumed_links, profiles

H100, A100 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-A100-SXM4-80GB"


@pytest.mark.parametrize(
    ("product", "gpus", "names", "machine"),
    [
        (H100, 8, (), "hgx_h100"),
        ("NVIDIA-H200", 8, (), "hgx_h100"),
        ("NVIDIA-H200-NVL", 8, (), None),
        ("NVIDIA-H100-PCIe", 8, (), None),
        ("NVIDIA-H100-NVL", 4, (), None),
        (A100, 8, ("NVIDIA-DGX-A100",), "dgx_a100"),
        (A100, 8, (), "dgx_a100"),
        (A100, 8, ("p4d.24xlarge",), "aws_p4d"),
        ("NVIDIA-A100-SXM4-40GB", 8, ("other", "p4de.24xlarge"), "aws_p4d"),
        (A100, 4, (), "a100_sxm4_x4_direct"),
        ("NVIDIA-A100-80GB-PCIe", 4, (), None),
        ("NVIDIA-A100-80GB-PCIe", 4, ("Standard_NC96ads_A100_v4",), "a100_pcie_x4_bridged"),
        ("Tesla-V100-SXM2-32GB", 8, (), "dgx1_v100"),
        ("NVIDIA-B200", 8, ("p6-b200.48xlarge",), "aws_p6_b200"),
        ("NVIDIA-GB200", 4, (), "gb200_tray"),
        ("NVIDIA-GB200", 8, (), None),
        ("NVIDIA-L40S", 8, (), "l40s_x8"),
        ("NVIDIA-L40S", 4, (), "l40s_x4"),
        ("NVIDIA-L40S", 2, (), None),
        ("NVIDIA-L40", 8, (), None),
        ("NVIDIA-GeForce-RTX-4090", 8, (), "rtx4090_x8_all_sys"),
        ("", 8, (), None),
    ],
)
def test_what_a_node_is_taken_for(product: str, gpus: int, names: tuple[str, ...], machine: str | None) -> None:
    found = assumed_links(product, gpus, gpus, frozenset(names))
    assert (found and found[0]) == machine
    if found is not None:
        assert found[1] == machine_graph(found[0])
        assert found[1].size == gpus


def test_where_gpus_are_missing_links_are_told_only_of_machines_all_of_whose_gpus_are_alike() -> None:
    found = assumed_links(H100, 6, 8)
    assert found is not None
    assert (found[0], found[1].size) == ("hgx_h100", 6)
    assert assumed_links("Tesla-V100-SXM2-32GB", 7, 8) is None
    assert assumed_links("NVIDIA-L40S", 7, 8) is None


def test_a_node_with_gpus_of_several_models_is_taken_for_nothing() -> None:
    # GPU feature discovery counts the model that it names, and the kubelet counts all.
    assert assumed_links(H100, 8, 4) is None


def test_a_node_that_does_not_say_how_many_it_should_have_has_as_many_as_it_offers() -> None:
    assert assumed_links(H100, 8, 0) is not None
    assert assumed_links(H100, 7, 0) is None


def test_every_profile_is_of_a_machine_of_its_size() -> None:
    for profile in profiles():
        assert machine_types()[profile.machine].gpus == profile.gpus
