"""What the definitions take, what they refuse and in which words, on a real API server."""

from collections.abc import Iterator

import pytest

from scheduler.localcluster.api import Api, Json
from scheduler.localcluster.errors import ApiError
from tests.manifests.people import Reader

pytestmark = pytest.mark.cluster

GROUP = "/apis/bayplan.dev/v1alpha1"
PLURALS = {"Queue": "queues", "GPUNode": "gpunodes", "Topology": "topologies"}


def make(admin: Api, kind: str, name: str, **parts: object) -> Json:
    body = {"apiVersion": "bayplan.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, **parts}
    return admin.create(f"{GROUP}/{PLURALS[kind]}?fieldValidation=Strict&dryRun=All", body)


FLAVOR = {"name": "NVIDIA-H100-80GB-HBM3"}


@pytest.mark.parametrize(
    ("name", "spec", "words"),
    [
        pytest.param(
            "red", {"parent": "red"}, "queue red cannot be its own parent; name another queue", id="own parent"
        ),
        pytest.param("r" * 64, {}, "so at most 63 characters are allowed", id="name no label can hold"),
        pytest.param("red", {"nominal": -1}, "should be greater than or equal to 0", id="negative"),
        pytest.param("red", {"nominal": 0.5}, 'must be of type integer: "number"', id="part of a GPU"),
        pytest.param("red", {"nominal": "8"}, 'must be of type integer: "string"', id="text"),
        pytest.param("red", {"borrowingLimit": -1}, "should be greater than or equal to 0", id="negative limit"),
        pytest.param("red", {"nominal": 2**62}, "should be less than or equal to 1000000", id="huge"),
        pytest.param("red", {"userLimit": -1}, "spec.userLimit", id="negative limit of users"),
        pytest.param("red", {"cpu": {"nominal": -1}}, "spec.cpu.nominal", id="negative CPU"),
        pytest.param("red", {"memory": {"lendingLimit": 2**40}}, "spec.memory.lendingLimit", id="huge memory"),
        pytest.param("red", {"evictionGraceSeconds": 86401}, "spec.evictionGraceSeconds", id="a day of grace"),
        pytest.param(
            "red", {"flavors": [{"name": "cpu"}]}, "cpu is no kind of GPU; use spec.cpu", id="CPU as a flavor"
        ),
        pytest.param(
            "red",
            {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
            "operator In needs at least one value",
            id="a selector of nothing",
        ),
        pytest.param("red", {"flavors": [FLAVOR, FLAVOR]}, "Duplicate value", id="a flavor twice"),
        pytest.param(
            "red", {"flavors": [{"nominal": 1}]}, "spec.flavors[0].name: Required value", id="a flavor of no name"
        ),
        pytest.param("red", {"flavors": [{"name": "a b"}]}, "spec.flavors[0].name", id="a flavor no label can hold"),
        pytest.param("red", {"namespaces": ["Team"]}, "spec.namespaces[0]", id="no namespace's name"),
        pytest.param("red", {"namespaces": ["a", "a"]}, "Duplicate value", id="a namespace twice"),
        pytest.param("red", {"weight": 0}, "should be greater than or equal to 1", id="no weight"),
        pytest.param("red", {"order": "Random"}, 'supported values: "Fair", "StrictFIFO"', id="order"),
        pytest.param("red", {"policy": "Random"}, 'spec.policy: Unsupported value: "Random"', id="policy"),
        pytest.param("red", {"quota": 8}, "unknown field", id="unknown field"),
    ],
)
def test_queues_that_are_refused(admin: Api, name: str, spec: Json, words: str) -> None:
    with pytest.raises(ApiError) as refusal:
        make(admin, "Queue", name, spec=spec)
    assert words in str(refusal.value)


def test_a_queue_gets_its_defaults_and_no_limits(admin: Api) -> None:
    made = make(admin, "Queue", "red", spec={"flavors": [FLAVOR]}, status={"usedMilliGpu": 5})
    assert made["spec"] == {"flavors": [FLAVOR], "weight": 1, "priority": 0, "minRuntimeSeconds": 0, "order": "Fair"}
    assert "status" not in made


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        pytest.param([], "should have at least 1 items", id="none"),
        pytest.param([("rack", "a"), ("rack", "b")], "Duplicate value", id="a name twice"),
        pytest.param([("block", "a"), ("rack", "a")], "one label stands there twice", id="a label twice"),
        pytest.param([("node", "a")], "its nodeLabel can only be kubernetes.io/hostname", id="node is taken"),
        pytest.param([("node", "kubernetes.io/hostname"), ("rack", "a")], "it can only stand last", id="node first"),
        pytest.param([("Rack", "a")], "spec.levels[0].name", id="capitals"),
        pytest.param([("rack", "a b")], "spec.levels[0].nodeLabel", id="no label key"),
    ],
)
def test_topologies_that_are_refused(admin: Api, levels: list[tuple[str, str]], words: str) -> None:
    with pytest.raises(ApiError) as refusal:
        make(admin, "Topology", "net", spec={"levels": [{"name": n, "nodeLabel": label} for n, label in levels]})
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    "label", ["topology.kubernetes.io/zone", "nvidia.com/gpu.clique", "rack", "topology.k8s.aws/network-node-layer-1"]
)
def test_a_topology_takes_the_labels_in_use(admin: Api, label: str) -> None:
    levels = [{"name": "outer", "nodeLabel": label}, {"name": "node", "nodeLabel": "kubernetes.io/hostname"}]
    assert make(admin, "Topology", "net", spec={"levels": levels})["spec"]["levels"] == levels


def device(index: int, **more: object) -> Json:
    return {
        "index": index,
        "uuid": f"GPU-{index}",
        "model": "NVIDIA-H100-80GB-HBM3",
        "health": {"state": "Healthy"},
        **more,
    }


def instance(start: int, size: int) -> Json:
    return {"profile": "1g.10gb", "profileId": 19, "start": start, "size": size}


@pytest.fixture(scope="module")
def node(admin: Api) -> Iterator[str]:
    path = f"{GROUP}/gpunodes"
    admin.create(path, {"apiVersion": "bayplan.dev/v1alpha1", "kind": "GPUNode", "metadata": {"name": "gpu-1"}})
    yield f"{path}/gpu-1"
    admin.delete(f"{path}/gpu-1")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        pytest.param(
            {"devices": [device(0), device(1, uuid="GPU-0")]}, "a uuid must stand there once", id="a uuid twice"
        ),
        pytest.param({"devices": [device(0), device(0, uuid="GPU-1")]}, "Duplicate value", id="an index twice"),
        pytest.param(
            {"devices": [device(0, health={"state": "Fine"})]},
            '"Healthy", "Unhealthy", "Suspect", "Unknown"',
            id="health",
        ),
        pytest.param(
            {"devices": [{"index": 0, "uuid": "a", "model": "b"}]}, "health: Required value", id="health unsaid"
        ),
        pytest.param(
            {"devices": [device(0, migInstances=[instance(0, 1)])]},
            "only where migMode is Enabled",
            id="slices of a whole GPU",
        ),
        pytest.param(
            {"devices": [device(0, migMode="Enabled", migInstances=[instance(0, 4), instance(3, 1)])]},
            "must not share memory units",
            id="slices that overlap",
        ),
        pytest.param(
            {"devices": [device(0)], "deviceCount": 2}, "deviceCount must be the number of devices", id="count"
        ),
        pytest.param(
            {"devices": [device(0)], "healthyDeviceCount": 0}, "whose health.state is Healthy", id="healthy count"
        ),
        pytest.param(
            {"devices": [device(0), device(1)], "links": [{"a": 1, "b": 0, "type": "PCIe", "pcieLevel": "SYS"}]},
            "with a less than b",
            id="a link backwards",
        ),
        pytest.param(
            {"devices": [device(0), device(1)], "links": [{"a": 0, "b": 1, "type": "NVLink"}]},
            "needs count",
            id="NVLinks uncounted",
        ),
        pytest.param(
            {"devices": [device(0), device(1)], "links": [{"a": 0, "b": 1, "type": "PCIe"}]},
            "needs pcieLevel",
            id="PCIe of no level",
        ),
    ],
)
def test_reports_that_are_refused(admin: Api, node: str, status: Json, words: str) -> None:
    with pytest.raises(ApiError) as refusal:
        admin.merge(f"{node}/status?fieldValidation=Strict&dryRun=All", {"status": status})
    assert words in str(refusal.value)


def test_a_full_report_is_taken_and_shown(admin: Api, node: str, reader: Reader) -> None:
    devices = [
        device(i, memoryMiB=81559, pciBusId=f"0000:{i:02x}:00.0", numaNode=i // 4, migMode="Disabled") for i in range(7)
    ]
    divided = device(7, migMode="Enabled", migInstances=[instance(0, 1), instance(6, 1)])
    divided["health"] = {"state": "Suspect", "reasons": ["row remapping is pending"]}
    divided["freePlacements"] = [instance(4, 1)]
    places = {"starts": [0, 4], "size": 4, "max": 2}
    engines = {"multiprocessors": 60, "memoryMiB": 40448, "decoders": 3, "jpeg": 3, "ofa": 0, "copyEngines": 3}
    divided["migProfiles"] = [{"profile": "3g.40gb", "profileId": 9, **places, "computeSlices": 3, **engines}]
    links = [
        {"a": a, "b": b, "type": "NVLink", "count": 18, "gigabytesPerSecond": 478} for b in range(8) for a in range(b)
    ]
    holding = {
        "podNamespace": "red",
        "podName": "a",
        "podUid": "1",
        "container": "main",
        "resource": "nvidia.com/gpu",
        "deviceUuids": ["GPU-0"],
    }
    status = {
        "deviceCount": 8,
        "healthyDeviceCount": 7,
        "devices": [*devices, divided],
        "links": links,
        "nvswitch": True,
        "fabric": {"clusterUuid": "5f0c6a52", "cliqueId": "2", "state": "Completed"},
        "holdings": [holding],
        "driverVersion": "580.95.05",
        "observedTime": "2026-01-01T00:00:00Z",
        "generation": 3,
    }
    taken = admin.merge(f"{node}/status?fieldValidation=Strict", {"status": status})
    assert taken["status"] == status
    assert taken["metadata"]["generation"] == 1
    (row,) = reader.rows(f"{GROUP}/gpunodes")
    assert {k: row[k] for k in ("Model", "GPUs", "Healthy", "Clique", "Machine")} == {
        "Model": "NVIDIA-H100-80GB-HBM3",
        "GPUs": 8,
        "Healthy": 7,
        "Clique": "2",
        "Machine": None,
    }


def told(kind: str, reason: str, message: str) -> Json:
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def test_the_status_of_a_queue_is_shown(admin: Api, reader: Reader) -> None:
    path = f"{GROUP}/queues"
    body = {
        "apiVersion": "bayplan.dev/v1alpha1",
        "kind": "Queue",
        "metadata": {"name": "shown"},
        "spec": {"nominal": 8, "parent": "org"},
    }
    admin.create(path, body)
    try:
        status = {
            "usedMilliGpu": 9500,
            "borrowedMilliGpu": 1500,
            "lentMilliGpu": 0,
            "fairShareMilliGpu": 8000,
            "pendingWorkloads": 2,
            "runningWorkloads": 3,
            "observedGeneration": 1,
            "conditions": [told("Accepted", "InForce", "in force"), told("Serving", "Waiting", "2 wait")],
        }
        assert admin.merge(f"{path}/shown/status", {"status": status})["status"] == status
        rows = {row["Name"]: row for row in reader.rows(path)}
        columns = ("Parent", "Nominal", "Used-mGPU", "Borrowed-mGPU", "Pending", "Running", "Order")
        assert [rows["shown"][c] for c in columns] == ["org", 8, 9500, 1500, 2, 3, "Fair"]
        columns = ("Lent-mGPU", "Fair-share-mGPU", "State", "Why", "Accepted")
        assert [rows["shown"][c] for c in columns] == [0, 8000, "Waiting", "2 wait", "True"]
    finally:
        admin.merge(f"{path}/shown/status", {"status": {"runningWorkloads": 0}})
        admin.delete(f"{path}/shown")


def test_the_objects_are_found_under_their_short_names_and_category(admin: Api) -> None:
    served = {r["name"]: r for r in admin.get(GROUP)["resources"]}
    assert {name: r["shortNames"] for name, r in served.items() if "/" not in name} == {
        "queues": ["bpq"],
        "gpunodes": ["gpun"],
        "topologies": ["bpt"],
    }
    assert all(r["categories"] == ["bayplan"] for name, r in served.items() if "/" not in name)
    assert {name for name in served if "/" in name} == {"queues/status", "gpunodes/status", "topologies/status"}
