"""Parts of GPUs and MIG slices as pods ask for them, nodes advertise them and reports tell of them."""

import json
from typing import Any

import pytest

from scheduler.kube.translate_node import read_node, read_report
from scheduler.kube.translate_pod import PodReader
from scheduler.model.node import MigInstance
from scheduler.model.workload import Pod, Problem
from scheduler.state.events import DevicesSeen, PodSeen

A100 = "NVIDIA-A100-SXM4-80GB"
Json = dict[str, Any]


def pod(resource: str, share: str | None) -> Pod:
    container = {"name": "main", "resources": {"limits": {resource: "1"}, "requests": {resource: "1"}}}
    annotations = {} if share is None else {"bayplan.dev/gpu-share": share}
    meta = {"name": "p", "namespace": "a", "uid": "u", "annotations": annotations}
    document = {"metadata": meta, "spec": {"schedulerName": "bayplan", "containers": [container]}, "status": {}}
    _, event = PodReader("bayplan").read(json.dumps(document).encode())
    assert isinstance(event, PodSeen)
    return event.pod


@pytest.mark.parametrize(("share", "milli"), [(None, 1000), ("0.25", 250), ("0.5", 500), ("0.125", 125), ("0.001", 1)])
def test_a_pod_says_how_large_a_part_it_needs(share: str | None, milli: int) -> None:
    made = pod("nvidia.com/gpu.shared", share)
    assert (made.shape.share_milli, made.shape.milli_gpu, made.problems) == (milli, milli, ())
    assert made.managed


@pytest.mark.parametrize("share", ["1", "1.0", "0", "0.000", "0.0001", "half", "25%", "", " 0.5", "-0.5", "0.٢"])
def test_a_part_that_is_none_is_quoted(share: str) -> None:
    made = pod("nvidia.com/gpu.shared", share)
    allowed = "a part of a GPU above 0 and below 1, with at most three decimals, as in 0.25"
    assert made.problems == (Problem(where="annotation bayplan.dev/gpu-share", value=share, allowed=allowed),)


@pytest.mark.parametrize("resource", ["nvidia.com/gpu", "nvidia.com/mig-1g.10gb", "cpu"])
def test_a_part_of_what_is_not_shared_is_refused(resource: str) -> None:
    (problem,) = pod(resource, "0.5").problems
    assert str(problem) == (
        "annotation bayplan.dev/gpu-share is '0.5'; allowed: only beside a request for nvidia.com/gpu.shared"
    )


@pytest.mark.parametrize(
    ("label", "replicas"), [(None, 1), ("4", 4), ("0", 1), ("many", 1), ("-2", 1), ("9" * 60, 1001), ("²", 1)]
)
def test_a_node_says_into_how_many_parts_it_divides_its_gpus(label: str | None, replicas: int) -> None:
    labels = {} if label is None else {"nvidia.com/gpu.replicas": label}
    _, seen = read_node(json.dumps({"metadata": {"name": "n", "labels": labels}}).encode())
    assert seen.node.replicas == replicas


def device(index: int, *instances: Json, model: str = A100, free: list[Json] | None = None) -> Json:
    mode = "Enabled" if instances else "Disabled"
    own = {"index": index, "uuid": f"GPU-{index}", "model": model, "migMode": mode, "health": {"state": "Healthy"}}
    return {**own, "migInstances": list(instances), "freePlacements": free or []}


def instance(profile: str, number: int, start: int, size: int, uuid: str = "") -> Json:
    return {"profile": profile, "profileId": number, "start": start, "size": size, "uuid": uuid}


def report(*devices: Json, on_demand: bool = True, holdings: dict[str, list[str]] | None = None) -> DevicesSeen:
    held = [{"podNamespace": "a", "podName": name, "deviceUuids": uuids} for name, uuids in (holdings or {}).items()]
    status = {"allocator": "DRA", "migOnDemand": on_demand, "devices": list(devices), "holdings": held}
    _, seen = read_report(json.dumps({"metadata": {"name": "n"}, "status": status}).encode())
    return seen


def made(device: int, profile: str, start: int) -> MigInstance:
    return MigInstance(device=device, profile=profile, start=start, in_use=False)


def test_instances_and_who_holds_them() -> None:
    first = device(0, instance("3g.40gb", 9, 4, 4, "MIG-a"), instance("1g.10gb", 19, 0, 1, "MIG-b"))
    seen = report(first, device(1), holdings={"p": ["MIG-a"], "q": ["GPU-1"]})
    assert seen.mig_on_demand
    assert seen.mig_instances == (made(0, "1g.10gb", 0), made(0, "3g.40gb", 4))
    assert seen.slices_held == (("a/p", (made(0, "3g.40gb", 4),)),)
    assert seen.held == (("a/q", (1,)),)
    assert not any(d.mig_enabled for d in seen.devices)
    assert seen.assumed == ()


def test_a_profile_is_known_by_its_number_whatever_a_driver_calls_it() -> None:
    seen = report(device(0, instance("1g.24gb", 19, 2, 1), model="NVIDIA-GB200"))
    assert seen.mig_instances == (made(0, "1g.23gb", 2),)


def test_where_slices_are_made_beforehand_it_is_told_which_are_in_use() -> None:
    two = device(0, instance("3g.40gb", 9, 4, 4, "MIG-a"), instance("3g.40gb", 9, 0, 4, "MIG-b"))
    seen = report(two, on_demand=False, holdings={"p": ["MIG-a"]})
    used = MigInstance(device=0, profile="3g.40gb", start=4, in_use=True)
    assert (seen.mig_on_demand, seen.mig_instances) == (False, (made(0, "3g.40gb", 0), used))
    assert seen.slices_held == (("a/p", (used,)),)
    assert [d.mig_enabled for d in seen.devices] == [True]


GB200 = "NVIDIA-GB200"


def profiles(**changes: Json) -> list[Json]:
    """Those of a GB200 by an early driver, which names them otherwise; `changes` by number: `_19={...}`."""
    rows: list[Json] = [
        {"profile": "1g.24gb", "profileId": 19, "starts": list(range(7)), "size": 1, "max": 7, "computeSlices": 1},
        {"profile": "2g.48gb", "profileId": 14, "starts": [0, 2, 4], "size": 2, "max": 3, "computeSlices": 2},
        {"profile": "7g.189gb", "profileId": 0, "starts": [0], "size": 8, "max": 1, "computeSlices": 7},
    ]
    return [
        {**row, "multiprocessors": 1, "memoryMiB": 1024, "copyEngines": 1, **changes.get(f"_{row['profileId']}", {})}
        for row in rows
    ]


def gb200(index: int, *instances: Json, **changes: Json) -> Json:
    return {**device(index, *instances, model=GB200), "migProfiles": profiles(**changes)}


def test_the_driver_says_how_its_gpus_are_divided() -> None:
    seen = report(gb200(0, instance("1g.24gb", 19, 2, 1)), gb200(1))
    (model,) = seen.mig_models
    assert [(p.name, p.id, p.starts, p.size, p.most, p.compute) for p in model.profiles] == [
        ("7g.189gb", 0, (0,), 8, 1, 7),
        ("2g.48gb", 14, (0, 2, 4), 2, 3, 2),
        ("1g.24gb", 19, tuple(range(7)), 1, 7, 1),
    ]
    assert (model.units, model.placements, model.products) == (8, "reported", (GB200,))
    assert seen.mig_instances == (made(0, "1g.24gb", 2),)
    assert seen.assumed == ()


def test_equal_geometries_of_many_nodes_are_one_record() -> None:
    first, second = report(gb200(0), gb200(1)), report(gb200(0))
    assert first.mig_models is second.mig_models


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        pytest.param(
            [gb200(0, _14={"starts": [0, 4]})],
            "NVIDIA-GB200: the driver tells other places for 2g.48gb than are known; the driver's count",
            id="other places than in the table",
        ),
        pytest.param(
            [gb200(0, _14={"starts": []})],
            "NVIDIA-GB200: the driver's MIG profile '2g.48gb' (number 14) has no name or no places; no slices are made "
            "of it",
            id="no places",
        ),
        pytest.param(
            [gb200(0), gb200(1, _14={"max": 2})],
            "GPU 1 has other MIG profiles than the first NVIDIA-GB200; those of the first are assumed",
            id="GPUs of a node that differ",
        ),
    ],
)
def test_what_is_odd_about_a_geometry_is_said_once(devices: list[Json], said: str) -> None:
    assert report(*devices).assumed == (said,)


def test_a_profile_without_a_name_has_that_of_the_table() -> None:
    (model,) = report(gb200(0, _19={"profile": ""})).mig_models
    assert model.profiles[-1].name == "1g.23gb"
    assert report(device(0, model=GB200)).mig_models == ()


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        pytest.param(
            device(0, model="NVIDIA-L40S"),
            "GPU 0: no MIG profiles of 'NVIDIA-L40S' are known; no slices are made on it",
            id="a model that cannot be divided",
        ),
        pytest.param(
            device(0, instance("9g.90gb", 99, 0, 1)),
            "GPU 0: MIG profile '9g.90gb' (number 99) is not one of 7g.80gb, 4g.40gb, 3g.40gb, 2g.20gb, 1g.20gb, "
            "1g.10gb, 1g.10gb+me; the whole GPU is taken to be in use",
            id="a profile that nobody knows",
        ),
        pytest.param(
            device(0, instance("1g.10gb", 19, 0, 1), free=[instance("3g.40gb", 9, 0, 4)]),
            "GPU 0 reports free places for 3g.40gb at 0, and its instances leave 4; the latter is assumed",
            id="free places that cannot be",
        ),
        pytest.param(
            device(0, instance("4g.40gb", 5, 0, 4), free=[instance("7g.80gb", 0, 0, 8)]),
            "GPU 0 reports free places for 7g.80gb at 0, and its instances leave none; the latter is assumed",
            id="a whole GPU that is not free",
        ),
    ],
)
def test_what_is_odd_about_a_report_is_said(odd: Json, said: str) -> None:
    assert report(odd).assumed == (said,)


def test_free_places_as_they_have_to_be_are_taken_without_a_word() -> None:
    free = [instance("3g.40gb", 9, 4, 4), *(instance("1g.10gb", 19, start, 1) for start in range(1, 7))]
    assert report(device(0, instance("1g.10gb", 19, 0, 1), free=free)).assumed == ()
