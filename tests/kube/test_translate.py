import json

import pytest

from scheduler.kube.translate import Kind, kinds
from scheduler.model.names import NodeName, PodUid, QueueName
from scheduler.model.node import Device, Node, Taint, TopologyLevel
from scheduler.model.policy import Policy
from scheduler.model.queue import Queue, Quota
from scheduler.model.resources import Resources
from scheduler.model.workload import GangClaim
from scheduler.state.events import (
    DevicesGone,
    DevicesSeen,
    Event,
    JobGone,
    JobSeen,
    NodeGone,
    NodeSeen,
    PodGone,
    QueueGone,
    QueueSeen,
    TopologyGone,
    TopologySeen,
)

KINDS: dict[str, Kind] = {k.name: k for k in kinds("bayplan")}


def read(kind: str, **document: object) -> Event:
    return KINDS[kind].read(json.dumps(document).encode()).event


def test_a_node() -> None:
    seen = read(
        "nodes",
        metadata={"name": "n1", "uid": "u", "labels": {"nvidia.com/gpu.product": "H100", "rack": "r1"}},
        spec={"unschedulable": True, "taints": [{"key": "k", "value": "v", "effect": "NoExecute", "timeAdded": "x"}]},
        status={
            "allocatable": {"cpu": "64", "memory": "1Ti", "pods": "110", "nvidia.com/gpu": "8", "hugepages-2Mi": "0"},
            "capacity": {"cpu": "128"},
            "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
        },
    )
    assert seen == NodeSeen(
        node=Node(
            name=NodeName("n1"),
            uid="u",
            labels={"nvidia.com/gpu.product": "H100", "rack": "r1"},
            taints=(Taint(key="k", value="v", effect="NoExecute"),),
            unschedulable=True,
            ready=True,
            allocatable=Resources(milli_cpu=64_000, memory_bytes=2**40, pods=110, extended=(("nvidia.com/gpu", 8),)),
            product="H100",
        )
    )


@pytest.mark.parametrize(
    "conditions", [[], [{"type": "Ready", "status": "False"}], [{"type": "Ready", "status": "Unknown"}]]
)
def test_a_node_that_does_not_say_it_is_ready_is_not(conditions: list[dict[str, str]]) -> None:
    seen = read("nodes", metadata={"name": "n1"}, status={"conditions": conditions})
    assert isinstance(seen, NodeSeen)
    assert not seen.node.ready


def device(index: int, state: str = "Healthy", mig: str = "Disabled", *reasons: str) -> dict[str, object]:
    return {
        "index": index,
        "uuid": f"GPU-{index}",
        "model": "H100",
        "memoryMiB": 81559,
        "migMode": mig,
        "health": {"state": state, "reasons": reasons},
    }


def holding(pod: str, *uuids: str) -> dict[str, object]:
    return {"podNamespace": "a", "podName": pod, "container": "c", "resource": "nvidia.com/gpu", "deviceUuids": uuids}


def test_a_report_on_devices() -> None:
    seen = read(
        "gpunodes",
        metadata={"name": "n1"},
        status={
            "machine": "hgx-h100",
            "devices": [device(1, "Suspect"), device(0), device(2, "Unhealthy"), device(3, "Unknown", "Enabled")],
            "holdings": [
                holding("p", "GPU-1"),
                holding("p", "GPU-0", "GPU-1"),
                holding("shared", "GPU-2::5"),
                holding("slice", "MIG-7"),
            ],
        },
    )
    assert isinstance(seen, DevicesSeen)
    assert (seen.node, seen.machine) == ("n1", "hgx-h100")
    assert [(d.index, d.healthy, d.suspect, d.mig_enabled) for d in seen.devices] == [
        (0, True, False, False),
        (1, True, True, False),
        (2, False, False, False),
        (3, False, False, True),
    ]
    assert seen.devices[0] == Device(index=0, uuid="GPU-0", model="H100", memory_mib=81559)
    assert seen.held == (("a/p", (0, 1)), ("a/shared", (2,)))


def test_of_what_speaks_against_a_gpu_the_first_sentences_are_kept() -> None:
    told = ["x" * 300, "two", "three", "four"]
    devices = [device(0, "Suspect", "Disabled", *told), device(1, "Unknown", "Disabled", "no answer"), device(2)]
    seen = read("gpunodes", metadata={"name": "n1"}, status={"devices": [*devices, device(3, "Healthy", "N", "old")]})
    assert isinstance(seen, DevicesSeen)
    assert [(d.healthy, d.suspect, d.reasons) for d in seen.devices] == [
        (True, True, ("x" * 200, "two", "three")),
        (False, False, ("no answer",)),
        (True, False, ()),
        (True, False, ()),
    ]


def test_a_report_without_status_has_no_devices() -> None:
    assert read("gpunodes", metadata={"name": "n1"}) == DevicesSeen(node=NodeName("n1"), machine="", devices=())


@pytest.mark.parametrize(
    ("spec", "completions"),
    [
        ({"completionMode": "Indexed", "completions": 4, "parallelism": 4}, 4),
        ({"completionMode": "Indexed", "completions": 4, "parallelism": 2}, None),
        ({"completionMode": "Indexed", "completions": 1, "parallelism": 1}, None),
        ({"completions": 4, "parallelism": 4}, None),
        ({"parallelism": 4}, None),
    ],
)
def test_which_jobs_know_the_size_of_their_gang(spec: dict[str, object], completions: int | None) -> None:
    seen = read("jobs", metadata={"name": "j", "namespace": "a", "uid": "u"}, spec=spec)
    assert seen == JobSeen(uid="u", namespace="a", name="j", completions=completions)


@pytest.mark.parametrize(("deadline", "known"), [(600, 600), (315_360_001, None), (0, None), (None, None)])
def test_after_how_long_jobs_are_ended(deadline: int | None, known: int | None) -> None:
    seen = read("jobs", metadata={"name": "j", "namespace": "a", "uid": "u"}, spec={"activeDeadlineSeconds": deadline})
    assert seen == JobSeen(uid="u", namespace="a", name="j", deadline_s=known)


def test_a_marked_job() -> None:
    labels = {"bayplan.dev/gang": "g", "bayplan.dev/queue": "red"}
    annotations = {"bayplan.dev/gang-size": "many"}
    seen = read(
        "jobs",
        metadata={"name": "j", "namespace": "a", "uid": "u", "labels": labels, "annotations": annotations},
        status={"succeeded": 2},
    )
    assert isinstance(seen, JobSeen)
    assert (seen.gang, seen.queue, seen.succeeded) == (GangClaim(name="g"), "red", 2)
    assert [p.value for p in seen.problems] == ["many"]


def test_a_queue() -> None:
    flavors = [{"name": "H100", "nominal": 4}, {"name": "1g.10gb", "borrowingLimit": 1}]
    seen = read(
        "queues",
        metadata={"name": "red", "generation": 3},
        spec={
            "parent": "org",
            "namespaces": ["b", "a"],
            "nominal": 8,
            "borrowingLimit": 2,
            "lendingLimit": 0,
            "flavors": flavors,
            "weight": 3,
            "priority": -1,
            "minRuntimeSeconds": 600,
            "order": "StrictFIFO",
            "policy": "LeastFragmentation",
        },
    )
    assert seen == QueueSeen(
        queue=Queue(
            name=QueueName("red"),
            parent=QueueName("org"),
            namespaces=("a", "b"),
            total=Quota(nominal_milli_gpu=8000, borrowing_limit_milli_gpu=2000, lending_limit_milli_gpu=0),
            flavors=(
                ("1g.10gb", Quota(given=False, borrowing_limit_milli_gpu=1000)),
                ("H100", Quota(nominal_milli_gpu=4000)),
            ),
            weight=3,
            priority=-1,
            min_runtime_s=600,
            order="StrictFIFO",
            policy=Policy.LEAST_FRAGMENTATION,
            generation=3,
        )
    )
    assert read("queues", metadata={"name": "q"}, spec={}) == QueueSeen(
        queue=Queue(name=QueueName("q"), total=Quota(given=False))
    )


def test_a_topology_leaves_the_node_level_out() -> None:
    levels = [{"name": "rack", "nodeLabel": "r"}, {"name": "node", "nodeLabel": "kubernetes.io/hostname"}]
    assert read("topologies", metadata={"name": "t"}, spec={"levels": levels}) == TopologySeen(
        name="t", levels=(TopologyLevel(name="rack", label="r"),)
    )


@pytest.mark.parametrize(
    ("kind", "path", "gone"),
    [
        ("pods", "/api/v1/pods", PodGone(uid=PodUid("u"))),
        ("nodes", "/api/v1/nodes", NodeGone(name=NodeName("x"))),
        ("jobs", "/apis/batch/v1/jobs", JobGone(uid="u")),
        ("queues", "/apis/bayplan.dev/v1alpha1/queues", QueueGone(name=QueueName("x"))),
        ("gpunodes", "/apis/bayplan.dev/v1alpha1/gpunodes", DevicesGone(node=NodeName("x"))),
        ("topologies", "/apis/bayplan.dev/v1alpha1/topologies", TopologyGone(name="x")),
    ],
)
def test_how_each_kind_is_found_and_forgotten(kind: str, path: str, gone: Event) -> None:
    namespace = {"namespace": "a"} if kind in ("pods", "jobs") else {}
    meta = {"name": "x", "uid": "u", "resourceVersion": "9", **namespace}
    document = json.dumps({"metadata": meta, "spec": {"anything": [1]}}).encode()
    key, identity, version = KINDS[kind].identify(document)
    assert (KINDS[kind].path, KINDS[kind].gone(identity), version) == (path, gone, "9")
    assert key == ("a/x" if namespace else "x")
    sighting = KINDS[kind].read(json.dumps({"metadata": meta}).encode())
    assert (sighting.key, sighting.identity) == (key, identity)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [b"", b"[]", b'{"metadata": null}', b'{"metadata": {"name": 5}}', b"{"])
def test_what_is_no_object_is_refused(kind: str, text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        KINDS[kind].read(text)


@pytest.mark.parametrize(
    ("kind", "document", "said"),
    [
        (
            "nodes",
            {"metadata": {"name": "n"}, "spec": {"taints": [{"key": "k", "effect": "Odd"}]}},
            "effect of the taint 'k' is 'Odd'",
        ),
        ("nodes", {"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "many"}}}, "'many' is no quantity"),
    ],
)
def test_a_value_that_is_none_is_quoted(kind: str, document: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(kind, **document)
