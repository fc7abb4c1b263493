import pytest

from scheduler.demo.story import Work
from tests.demo.cases import FABRIC, work


@pytest.mark.parametrize(
    ("asked", "nodes", "text"),
    [
        (work(), ("a-0", "a-1"), "1 rack, 2 nodes, NVSwitch inside each"),
        (work(), ("a-0", "b-0"), "2 racks, 2 nodes, PCIe inside each"),
        (work(pods=1), ("a-0",), "1 rack, 1 node, NVSwitch inside"),
        (work(pods=1, per_pod=1), ("a-0",), "1 rack, 1 node"),
        (work(device="nvidia.com/mig-1g.10gb"), ("a-0",), "1 rack, 1 node, slices"),
        (work(), ("elsewhere",), "1 node, PCIe inside"),
        (work(), (), ""),
    ],
)
def test_how_nodes_are_connected(asked: Work, nodes: tuple[str, ...], text: str) -> None:
    assert FABRIC.connectedness(asked, nodes) == text
