import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from scheduler.exporter.agent import Agent
from scheduler.exporter.node import Held, HeldDevice, NodeKnown, Sharing
from scheduler.exporter.publish import next_standing
from scheduler.exporter.reading import (
    Fabric,
    FabricState,
    MigInstance,
    MigMode,
    MigProfile,
    PcieLevel,
    Unread,
    Why,
)
from scheduler.exporter.report import model_name, report
from scheduler.exporter.simulated.backend import FixtureBackend
from scheduler.exporter.simulated.machines import machine_names
from scheduler.kube.translate_node import read_report
from scheduler.kube.wire_report import Report
from scheduler.scoring.devices.machines import machine_graph
from tests.exporter.made import CLIQUE, NOT_SUPPORTED, device, direct, node, pairs, switched

ZERO = "00000000-0000-0000-0000-000000000000"
SEVEN = {19: (range(7), 1, 7, 1), 9: ((0, 4), 4, 2, 3), 0: ((0,), 8, 1, 7)}


def profile(number: int) -> MigProfile:
    starts, size, most, slices = SEVEN[number]
    return MigProfile(
        id=number,
        name=f"{slices}g.{10 * size}gb",
        most=most,
        slices=slices,
        memory_mib=9856 * size,
        sm=14 * slices,
        decoders=0,
        encoders=0,
        jpeg=0,
        ofa=0,
        copy_engines=slices,
        size=size,
        starts=tuple(starts),
    )


def instance(number: int, start: int, name: str) -> MigInstance:
    one = profile(number)
    assert isinstance(one.size, int)
    return MigInstance(
        gpu_instance=start + 1, profile_id=number, profile=one.name, start=start, size=one.size, uuid=name
    )


def divided(index: int, *instances: MigInstance) -> Any:  # noqa: ANN401  as `device` has it
    return device(
        index,
        mig_mode=MigMode(current=True, pending=True),
        instances=instances,
        mig_profiles=tuple(map(profile, SEVEN)),
    )


def links(made: Report) -> dict[tuple[int, int, str], Any]:
    return {(one.a, one.b, one.type): one for one in made.links}


def test_a_device_is_told_as_it_was_read() -> None:
    (one,) = report(node(device(0))).devices
    assert (one.index, one.uuid, one.model, one.memory_mib) == (0, "GPU-0", "NVIDIA-H100-80GB-HBM3", 81559)
    assert (one.pci_bus_id, one.numa_node, one.minor_number) == ("0000:10:00.0", 0, 0)
    assert (one.architecture, one.compute_capability, one.mig_mode) == ("hopper", "9.0", "Disabled")
    assert one.health.state == "Healthy"
    assert one.unread is UNSET


def test_models_are_written_as_in_labels() -> None:
    assert model_name("Tesla V100-SXM2-32GB") == "Tesla-V100-SXM2-32GB"
    assert model_name("") == "unknown"


@pytest.mark.parametrize(
    ("name", "field"),
    {
        "memory_mib": "memoryMiB",
        "numa_node": "numaNode",
        "minor": "minorNumber",
        "architecture": "architecture",
        "compute_capability": "computeCapability",
        "pci_bus_id": "pciBusId",
        "mig_mode": "migMode",
        "nvlinks": "nvlinks",
        "fabric": "fabric",
        "ecc": "ecc",
        "remapped": "remappedRows",
        "recovery_action": "recoveryAction",
    }.items(),
)
def test_every_field_may_be_missing_and_is_said_to_be(name: str, field: str) -> None:
    missing: dict[str, Any] = {name: Unread(why=Why.NO_PERMISSION, call="nvmlCall")}
    made = report(node(device(0), device(1, **missing), pairs=pairs(2)))
    one = made.devices[1]
    assert [(each.field, each.reason) for each in one.unread or ()] == [
        (field, "the driver does not permit it (nvmlCall)")
    ]
    assert [each.health.state for each in made.devices] == ["Healthy", "Healthy"]


def test_that_a_gpu_cannot_be_divided_is_nothing_unread() -> None:
    one = device(0, mig_mode=NOT_SUPPORTED, instances=NOT_SUPPORTED, mig_profiles=NOT_SUPPORTED)
    (told,) = report(node(one)).devices
    assert told.mig_mode == "NotSupported"
    assert told.unread is UNSET


def test_a_lost_gpu_keeps_its_place_and_has_no_links() -> None:
    lost = Unread(why=Why.LOST)
    up = switched(True, True)
    made = report(node(device(0, nvlinks=up), device(1, facts=lost, state=lost), device(2, nvlinks=up), pairs=pairs(3)))
    assert [one.uuid for one in made.devices] == ["GPU-0", "GPU-1", "GPU-2"]
    assert [one.health.state for one in made.devices] == ["Healthy", "Unhealthy", "Healthy"]
    assert (made.device_count, made.healthy_device_count) == (3, 2)
    assert {key[:2] for key in links(made) if key[2] == "NVLink"} == {(0, 2)}


def test_a_switch_connects_all_whose_links_reach_it_by_the_smaller_number() -> None:
    whole, less, none = switched(True, True, True), switched(True, False, True), switched(False, False, False)
    made = report(node(device(0, nvlinks=whole), device(1, nvlinks=less), device(2, nvlinks=none), pairs=pairs(3)))
    found = links(made)
    assert made.nvswitch
    assert (found[0, 1, "NVLink"].count, found[0, 1, "NVLink"].gigabytes_per_second) == (2, 2 * 26562 // 1000)
    assert (0, 2, "NVLink") not in found
    assert found[0, 2, "PCIe"].pcie_level == "NODE"
    assert [one.nvlinks for one in made.devices] == [3, 3, 3]
    assert [one.active_nvlinks for one in made.devices] == [3, 2, 0]
    assert [one.health.state for one in made.devices] == ["Healthy", "Suspect", "Suspect"]


def test_direct_links_connect_their_ends_and_nobody_else() -> None:
    made = report(
        node(
            device(0, nvlinks=direct(1, 1, -1)),
            device(1, nvlinks=direct(0, 0, 2)),
            device(2, nvlinks=direct(1, -1, -1)),
            pairs=pairs(3),
        )
    )
    found = links(made)
    assert not made.nvswitch
    assert {key[:2]: one.count for key, one in found.items() if key[2] == "NVLink"} == {(0, 1): 2, (1, 2): 1}
    assert found[0, 1, "NVLink"].gigabytes_per_second == 50
    # Links that lead nowhere, as where there is no bridge, are no fault.
    assert [one.nvlinks for one in made.devices] == [2, 3, 1]
    assert {one.health.state for one in made.devices} == {"Healthy"}


def test_a_direct_link_that_was_up_is_missed() -> None:
    ends = direct(1, 1, down=(1,))
    made = report(
        node(device(0, nvlinks=ends, links_up=frozenset({0, 1})), device(1, nvlinks=direct(0)), pairs=pairs(2))
    )
    assert made.devices[0].health.reasons == ("1 of its 2 NVLinks is down: 1",)


def test_unknown_speeds_and_pairs_are_left_out_and_said_to_be() -> None:
    why = Unread(why=Why.OLD_DRIVER)
    gpus = [device(i, nvlinks=switched(True, mbps=why)) for i in range(2)]
    made = report(node(*gpus, pairs=pairs(2, why, p2p=why, p2p_nvlink=why)))
    (link,) = made.links
    assert (link.type, link.count, link.gigabytes_per_second, link.p2p) == ("NVLink", 1, UNSET, UNSET)
    assert [one.field for one in made.unread] == ["links.pcieLevel", "links.p2p"]
    for one in made.devices:
        assert [(each.field, each.reason) for each in one.unread or ()] == [
            ("links.gigabytesPerSecond", Why.OLD_DRIVER.value)
        ]


def test_the_version_of_nvlinks_is_that_of_the_oldest_that_is_up() -> None:
    old, unknown = (
        msgspec.structs.replace(switched(True)[0], generation=told) for told in ("3.1", Unread(why=Why.FAILED))
    )
    down = msgspec.structs.replace(switched(False)[0], generation="1.0")
    made = report(node(device(0, nvlinks=(*switched(True), old, down)), device(1, nvlinks=(unknown,)), device(2)))
    assert [one.nvlink_version for one in made.devices] == ["3.1", UNSET, UNSET]
    assert [each.field for each in made.devices[1].unread or ()] == ["nvlinkVersion"]


def test_two_gpus_on_one_board_are_as_near_as_can_be_said() -> None:
    (link,) = report(node(device(0), device(1), pairs=pairs(2, PcieLevel.INTERNAL))).links
    assert link.pcie_level == "PIX"


@pytest.mark.parametrize(
    ("told", "clique", "state"),
    [
        pytest.param([CLIQUE, CLIQUE], "2", "Completed", id="all in one"),
        pytest.param([CLIQUE, msgspec.structs.replace(CLIQUE, clique=3)], None, "Completed", id="two cliques"),
        pytest.param([CLIQUE, msgspec.structs.replace(CLIQUE, healthy=False)], None, "Completed", id="one faulty"),
        pytest.param([msgspec.structs.replace(CLIQUE, cluster_uuid=ZERO)] * 2, None, "Completed", id="HGX"),
        pytest.param(
            [CLIQUE, Fabric(state=FabricState.IN_PROGRESS, cluster_uuid="a", clique=2, healthy=True)],
            None,
            "InProgress",
            id="one on its way",
        ),
        pytest.param([CLIQUE, NOT_SUPPORTED], None, "Completed", id="one does not tell"),
    ],
)
def test_a_clique_is_told_where_all_are_whole_members_of_one(told: list[Any], clique: str | None, state: str) -> None:
    made = report(node(*(device(i, fabric=one) for i, one in enumerate(told)))).fabric
    assert made is not None
    assert (made.clique_id, made.state) == (clique, state)


def test_slices_are_told_with_what_fits_beside_them() -> None:
    (one,) = report(node(divided(0, instance(9, 0, "MIG-a"), instance(19, 6, "MIG-b")))).devices
    assert one.mig_mode == "Enabled"
    assert [(each.profile, each.start, each.uuid) for each in one.mig_instances or ()] == [
        ("3g.40gb", 0, "MIG-a"),
        ("1g.10gb", 6, "MIG-b"),
    ]
    assert [(each.profile_id, each.start) for each in one.free_placements or ()] == [(19, 4), (19, 5)]
    assert [(each.profile_id, each.starts, each.max) for each in one.mig_profiles or ()][1] == (9, (0, 4), 2)


def test_an_engine_that_is_taken_leaves_no_room_for_who_needs_it() -> None:
    media = msgspec.structs.replace(profile(19), id=20, name="1g.10gb+me", most=2, decoders=1)
    whole = msgspec.structs.replace(profile(0), decoders=1)
    made = msgspec.structs.replace(instance(19, 0, "MIG-a"), profile_id=20)
    one = device(
        0, mig_mode=MigMode(current=True, pending=True), instances=(made,), mig_profiles=(media, profile(19), whole)
    )
    (told,) = report(node(one)).devices
    assert {each.profile_id for each in told.free_placements or ()} == {19}


def test_a_mode_that_waits_for_a_reset_is_told() -> None:
    (one,) = report(node(device(0, mig_mode=MigMode(current=False, pending=True)))).devices
    assert (one.mig_mode, one.pending_mig_mode) == ("Disabled", "Enabled")


def test_profiles_stand_once_for_each_model_that_offers_them() -> None:
    other = msgspec.structs.replace(profile(19), most=3)
    given = [(profile(19),), (profile(19),), (other,), (profile(19),)]
    gpus = [device(i, mig_profiles=own, model="B" if i == 3 else "A") for i, own in enumerate(given)]
    assert [one.mig_profiles is not UNSET for one in report(node(*gpus)).devices] == [True, False, True, True]


def test_profiles_whose_places_the_driver_does_not_tell_are_left_out() -> None:
    hidden = msgspec.structs.replace(profile(19), starts=Unread(why=Why.NO_PERMISSION))
    (one,) = report(node(device(0, mig_profiles=(hidden, profile(0))))).devices
    assert [each.profile_id for each in one.mig_profiles or ()] == [0]
    assert [each.field for each in one.unread or ()] == ["migProfiles"]


def held(resource: str, *ids: str, claimed: tuple[HeldDevice, ...] = (), pod: str = "a") -> Held:
    return Held(namespace="red", pod=pod, container="main", resource=resource, ids=ids, claimed=claimed)


@pytest.mark.parametrize(
    ("told", "uuids"),
    [
        (("GPU-1",), ("GPU-1",)),
        (("GPU-1::0", "GPU-1::3"), ("GPU-1::0", "GPU-1::3")),
        (("nvidia1",), ("GPU-1",)),
        (("nvidia0/gi7",), ("MIG-b",)),
        (("nvidia0/gi7/vgpu2",), ("MIG-b::2",)),
        (("nvidia1/vgpu4",), ("GPU-1::4",)),
        (("nvidia9", "nvidia0/gi5"), ("nvidia0/gi5", "nvidia9")),
    ],
)
def test_ids_of_device_plugins_become_uuids(told: tuple[str, ...], uuids: tuple[str, ...]) -> None:
    gpus = (divided(0, instance(9, 0, "MIG-a"), instance(19, 6, "MIG-b")), device(1))
    (one,) = report(node(*gpus, held=(held("nvidia.com/gpu", *told),))).holdings
    assert one.device_uuids == uuids


def test_devices_of_claims_are_told_and_found_by_their_names() -> None:
    claimed = tuple(
        HeldDevice(claim="c", driver="gpu.nvidia.com", pool="n", device=name)
        for name in ("gpu-1", "gpu-0-mig-1g.10gb-19-6", "gpu-9")
    )
    other = HeldDevice(claim="d", driver="nic.example.com", pool="n", device="gpu-0", share_id="s")
    gpus = (divided(0, instance(19, 6, "MIG-b")), device(1))
    own, foreign = report(
        node(*gpus, held=(held("gpu.nvidia.com", claimed=claimed), held("nic.example.com", claimed=(other,))))
    ).holdings
    assert own.device_uuids == ("GPU-1", "MIG-b")
    assert len(own.claimed_devices or ()) == 3
    assert foreign.device_uuids == ()
    assert [one.share_id for one in foreign.claimed_devices or ()] == ["s"]


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        (None, [UNSET, UNSET]),
        (frozenset[str](), [UNSET, UNSET]),
        (frozenset({"nic0"}), [UNSET, UNSET]),
        (frozenset({"GPU-1::0"}), [False, True]),
        (frozenset({"MIG-b", "nvidia1"}), [True, True]),
    ],
)
def test_a_gpu_that_the_plugin_does_not_offer_is_told(ids: frozenset[str] | None, told: list[object]) -> None:
    gpus = (divided(0, instance(19, 6, "MIG-b")), device(1))
    assert [one.offered for one in report(node(*gpus, offered=ids)).devices] == told


def test_sharing_is_told_from_labels_and_decides_who_chooses() -> None:
    shared = report(node(device(0), sharing=Sharing(strategy="MPS", replicas=4, mig_strategy="Mixed")))
    assert shared.sharing is not None
    assert (shared.sharing.strategy, shared.sharing.replicas) == ("MPS", 4)
    assert (shared.mig_strategy, shared.allocation_policy) == ("Mixed", None)
    assert report(node(device(0))).allocation_policy == "BestEffort"
    assert report(node(divided(0, instance(19, 6, "MIG-b")))).allocation_policy is None


@pytest.mark.parametrize(
    ("ids", "exclusive", "told"),
    [
        (None, False, None),
        ({"GPU-0", "GPU-1"}, False, None),
        ({"nic0::0", "nic0::1"}, False, None),
        ({"GPU-0::0", "GPU-0::1", "GPU-0::2", "GPU-1"}, False, ("TimeSlicing", 3)),
        ({"GPU-0::0", "GPU-0::1"}, True, ("MPS", 2)),
        ({"nvidia1/vgpu0", "nvidia1/vgpu1"}, False, ("TimeSlicing", 2)),
    ],
)
def test_where_labels_tell_no_sharing_the_plugin_tells_it_by_what_it_offers(
    ids: set[str] | None, exclusive: bool, told: tuple[str, int] | None
) -> None:
    gpus = [device(i, exclusive_process=exclusive) for i in range(2)]
    made = report(node(*gpus, offered=None if ids is None else frozenset(ids)))
    assert (made.sharing and (made.sharing.strategy, made.sharing.replicas)) == told
    labelled = report(node(*gpus, offered=frozenset({"GPU-0::0"}), sharing=Sharing(strategy="MPS", replicas=4)))
    assert labelled.sharing is not None
    assert (labelled.sharing.strategy, labelled.sharing.replicas) == ("MPS", 4)


@given(st.permutations(range(6)))
def test_the_order_in_which_the_driver_counts_changes_nothing(order: list[int]) -> None:
    gpus = [device(i, nvlinks=direct(i ^ 1, i ^ 1)) for i in range(6)]
    assert report(node(*(gpus[i] for i in order), pairs=pairs(6))) == report(node(*gpus, pairs=pairs(6)))


async def looked(machine: str) -> NodeKnown:
    agent = Agent(FixtureBackend(machine, node="n"))
    try:
        return msgspec.structs.replace(await agent.look(), simulated=True)
    finally:
        await agent.close()


@pytest.mark.parametrize("name", machine_names())
async def test_the_service_reads_the_links_of_every_machine(name: str) -> None:
    """What the driver of a machine tells comes out as the machine's links; bandwidths are whole GB/s."""
    made = report(await looked(name))
    standing = next_standing(made, None, now_s=0, boot_id=None)
    raw = msgspec.json.encode({"metadata": {"name": "n"}, "status": standing})
    seen = read_report(raw)[1]
    graph = machine_graph(name)
    assert graph is not None
    assert seen.links is not None
    assert seen.assumed == ()
    assert (seen.links.nvlinks, seen.links.pcie) == (graph.nvlinks, graph.pcie)
    assert (seen.links.numa, seen.links.switched) == (graph.numa, graph.switched)
    gaps = [graph.mbps[a][b] - seen.links.mbps[a][b] for a, b in itertools.combinations(range(graph.size), 2)]
    assert all(0 <= gap < 1000 for gap in gaps)


async def test_a_report_is_read_back_as_it_was_written() -> None:
    made = report(await looked("dgx_a100"))
    standing = next_standing(made, None, now_s=0, boot_id="b")
    assert msgspec.json.decode(msgspec.json.encode(standing), type=type(standing)) == standing


def test_pairs_may_come_in_any_order() -> None:
    gpus = [device(i) for i in range(4)]
    assert report(node(*gpus, pairs=dict(reversed(pairs(4).items())))) == report(node(*gpus, pairs=pairs(4)))
