import pytest

from scheduler.exporter.simulated.machines import machine
from scheduler.exporter.simulated.node import LayoutError, Placed, SimulatedNode, bus_id


def node(name: str = "hgx_h100") -> SimulatedNode:
    return SimulatedNode(machine(name), "n1")


def placed(*wanted: tuple[str, int], gpu: int = 0) -> list[Placed]:
    return [Placed(gpu=gpu, profile=profile, start=start) for profile, start in wanted]


def test_uuids_stay_with_a_node_and_differ_between_nodes() -> None:
    assert node().uuids == node().uuids
    assert not set(node().uuids) & set(SimulatedNode(machine("hgx_h100"), "n2").uuids)


def test_pci_addresses_are_as_sysfs_has_them() -> None:
    assert [bus_id(gpu) for gpu in (0, 7)] == ["0000:18:00.0", "0000:8f:00.0"]


def test_instances_that_stay_keep_their_numbers_and_names() -> None:
    one = node()
    one.divide(0, placed(("1g.10gb", 6), ("3g.40gb", 0)))
    before = {i.start: i for i in one.divided[0]}
    one.divide(0, placed(("1g.10gb", 6), ("2g.20gb", 0), ("1g.10gb", 2)))
    after = {i.start: i for i in one.divided[0]}
    assert after[6] == before[6]
    assert len({i.id for i in after.values()}) == 3
    assert [i.start for i in one.divided[0]] == [0, 2, 6]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ([("9g.1gb", 0)], "GPU 0 of hgx_h100 has no profile 9g.1gb; allowed: 1g.10gb, "),
        ([("3g.40gb", 2)], "has no 3g.40gb from unit 2; allowed: 0, 4"),
        ([("3g.40gb", 0), ("1g.10gb", 3)], "1g.10gb from unit 3 of GPU 0 overlaps another instance"),
        ([("1g.10gb+me", 0), ("1g.10gb+me", 1)], "takes at most 1 of 1g.10gb+me"),
    ],
)
def test_what_the_driver_would_refuse_is_refused(wanted: list[tuple[str, int]], said: str) -> None:
    with pytest.raises(LayoutError) as refused:
        node().divide(0, placed(*wanted))
    assert said in str(refused.value)


def test_gpus_without_profiles_cannot_be_divided() -> None:
    with pytest.raises(LayoutError, match="GPU 0 of l40s_x4 cannot be divided"):
        node("l40s_x4").divide(0, [])
    with pytest.raises(LayoutError, match="l40s_x4 has the GPUs 0 to 3, not 4"):
        node("l40s_x4").divide(4, [])


def test_an_order_must_be_a_permutation() -> None:
    with pytest.raises(LayoutError, match=r"the order \[0, 0, 1, 2\] is no permutation of 0 to 3"):
        node("l40s_x4").reindex([0, 0, 1, 2])
