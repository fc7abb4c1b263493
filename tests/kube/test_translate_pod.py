import pytest

from scheduler.kube.translate_pod import PodReader
from scheduler.model.policy import Policy
from scheduler.model.resources import Resources
from scheduler.model.workload import GangClaim, HostPort, Linked, Requirement, Toleration
from scheduler.state.events import PodGone, PodSeen, RunSeen
from tests.kube.pods import GPU_CONTAINER, READER, Document, raw, read

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def test_a_whole_pod() -> None:
    pod = read(
        meta={
            "creationTimestamp": "2026-01-01T00:00:10Z",
            "labels": {
                "bayplan.dev/gang": "g",
                "bayplan.dev/queue": "red",
                "batch.kubernetes.io/job-completion-index": "3",
            },
            "annotations": {
                "bayplan.dev/gang-size": "4",
                "bayplan.dev/gang-min": "3",
                "bayplan.dev/preemptible": "false",
                "bayplan.dev/topology-required": "rack",
                "bayplan.dev/topology-preferred": "example.com/block",
                "bayplan.dev/linked": "required",
                "bayplan.dev/gpu-model": "H200, H100",
                "bayplan.dev/placement-policy": "LeastAllocated",
                "bayplan.dev/duration": "1h30m",
            },
            "ownerReferences": [
                {"kind": "Other", "uid": "o", "name": "o"},
                {"kind": "Job", "uid": "j", "name": "train", "controller": True},
            ],
        },
        status={
            "conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"},
                {"type": "bayplan.dev/Planned", "status": "False", "reason": "QuotaExhausted", "message": "m"},
            ],
            "nominatedNodeName": "n1",
        },
        priority=7,
        schedulingGates=[{"name": "bayplan.dev/plan"}, {"name": "other"}],
        nodeSelector={"b": "2", "a": "1"},
        tolerations=[{"key": "k", "operator": "Exists", "effect": "NoSchedule"}, {"key": "l", "value": "v"}],
        affinity={
            "nodeAffinity": {
                REQUIRED: {
                    "nodeSelectorTerms": [
                        {
                            "matchExpressions": [{"key": "z", "operator": "NotIn", "values": ["x", "y"]}],
                            "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}],
                        },
                        {},
                    ]
                }
            }
        },
    )
    assert (pod.uid, pod.namespace, pod.name, pod.priority) == ("u", "a", "p", 7)
    assert (pod.ours, pod.managed, pod.gated, pod.foreign_gates, pod.unschedulable) == (True, True, True, True, True)
    assert (pod.gang, pod.index, pod.queue) == (GangClaim(name="g", size=4, least=3), 3, "red")
    assert not pod.preemptible
    assert (pod.owner_uid, pod.owner_name, pod.created_s) == ("j", "train", 1_767_225_610)
    assert (pod.topology_required, pod.topology_preferred, pod.duration_s) == ("rack", "example.com/block", 5400)
    assert pod.policy is Policy.LEAST_ALLOCATED
    assert (pod.node, pod.nominated_node, pod.told) == (None, "n1", ("QuotaExhausted", "m"))
    assert pod.problems == ()
    shape = pod.shape
    assert shape.requests == Resources(milli_cpu=2000, memory_bytes=2**30, pods=1, extended=(("nvidia.com/gpu", 1),))
    assert shape.node_selector == (("a", "1"), ("b", "2"))
    assert shape.tolerations == (
        Toleration(key="k", operator="Exists", effect="NoSchedule"),
        Toleration(key="l", operator="Equal", value="v"),
    )
    assert shape.affinity == (
        (
            Requirement(key="z", operator="NotIn", values=("x", "y")),
            Requirement(key="metadata.name", operator="In", values=("n1",), on_name=True),
        ),
    )
    assert (shape.models, shape.linked) == (("H100", "H200"), Linked.REQUIRED)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_ended_is_gone(phase: str) -> None:
    assert READER.read(raw(status={"phase": phase}, nodeName="n1"))[1] == PodGone(uid=read().uid)


def test_a_terminating_pod_still_counts() -> None:
    pod = read(meta={"deletionTimestamp": "2026-01-01T00:00:00Z"}, nodeName="n1")
    assert (pod.deleting, pod.node) == (True, "n1")


def test_when_a_pod_was_bound() -> None:
    bound = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:10Z"}
    assert read(nodeName="n1", status={"conditions": [bound]}).bound_s == 1_767_225_610
    assert read(nodeName="n1").bound_s is None


PLAIN = {"name": "main", "resources": {"requests": {"cpu": "1", "nvidia.com/gpu": "0"}}}
MIG = {"name": "main", "resources": {"requests": {"nvidia.com/mig-1g.10gb": "1"}}}


@pytest.mark.parametrize(
    ("parts", "ours", "managed"),
    [
        pytest.param({}, True, True, id="asks for a GPU"),
        pytest.param({"containers": [MIG]}, True, True, id="asks for a slice"),
        pytest.param({"containers": [PLAIN]}, True, False, id="asks for nothing of ours"),
        pytest.param(
            {"containers": [PLAIN], "meta": {"labels": {"bayplan.dev/gang": "g"}}}, True, True, id="in a gang"
        ),
        pytest.param(
            {"containers": [PLAIN], "meta": {"labels": {"bayplan.dev/gang": ""}}}, True, True, id="in a gang?"
        ),
        pytest.param(
            {"containers": [PLAIN], "schedulingGates": [{"name": "bayplan.dev/plan"}]}, True, True, id="gated"
        ),
        pytest.param({"containers": [PLAIN], "initContainers": [GPU_CONTAINER]}, True, True, id="GPU while it starts"),
        pytest.param({"schedulerName": "default-scheduler"}, False, False, id="another scheduler's"),
    ],
)
def test_which_pods_are_managed(parts: Document, ours: bool, managed: bool) -> None:
    pod = read(**parts)
    assert (pod.ours, pod.managed) == (ours, managed)


def test_another_scheduler_s_name_can_be_ours() -> None:
    event = PodReader("gpu").read(raw(schedulerName="gpu"))[1]
    assert isinstance(event, PodSeen)
    assert event.pod.managed


def test_whose_a_pod_is_may_stand_under_another_label() -> None:
    meta = {"labels": {"bayplan.dev/user": "ann", "team.example/owner": "bob"}}
    users: list[str] = []
    for label in (None, "team.example/owner"):
        event = PodReader("bayplan", label).read(raw(meta=meta))[1]
        assert isinstance(event, PodSeen)
        users.append(event.pod.user)
    assert users == ["ann", "bob"]


def test_for_whom_a_pod_makes_way_is_read_as_long_as_it_does() -> None:
    condition = {"type": "bayplan.dev/MakesWay", "status": "True", "reason": "Reclaimed", "message": "for a/b"}
    leaves = read(status={"conditions": [condition]})
    stays = read(status={"conditions": [{**condition, "status": "False"}]})
    assert (leaves.makes_way, leaves.leaves_why, stays.makes_way, stays.leaves_why) == (True, "for a/b", False, "")


def test_of_another_scheduler_s_pod_only_its_use_is_read() -> None:
    annotations = {"bayplan.dev/linked": "nonsense"}
    pod = read(
        schedulerName="x",
        meta={"annotations": annotations, "labels": {"bayplan.dev/gang": "g"}},
        status={"nominatedNodeName": "n1"},
        nodeSelector={"a": "b"},
    )
    assert (pod.nominated_node, pod.gang, pod.problems, pod.shape.node_selector) == ("n1", None, (), ())
    assert pod.shape.requests.gpus == 1
    assert read(schedulerName="x").shape.requests.gpus == 0


def test_equal_shapes_are_one_record() -> None:
    assert read().shape is read(meta={"name": "q", "uid": "v"}).shape
    assert read().shape is not read(nodeSelector={"a": "b"}).shape


def test_host_ports_are_those_of_containers_and_sidecars() -> None:
    def ports(*numbers: int, **fields: object) -> dict[str, object]:
        return {"name": "c", "ports": [{"containerPort": 9, "hostPort": n} for n in numbers], **fields}

    spec = {
        "containers": [
            ports(80, 0),
            {"name": "d", "ports": [{"containerPort": 53, "hostPort": 53, "protocol": "UDP", "hostIP": "10.0.0.1"}]},
        ],
        "initContainers": [ports(81, restartPolicy="Always"), ports(82)],
    }
    assert read(**spec).shape.host_ports == (
        HostPort(protocol="UDP", address="10.0.0.1", port=53),
        HostPort(port=80),
        HostPort(port=81),
    )
    assert HostPort(port=9) in read(hostNetwork=True, **spec).shape.host_ports


TERMS: list[Document] = [{"topologyKey": "k"}]
NOTHING: Document = {}
RULES: dict[str, tuple[Document, tuple[str, ...]]] = {
    "nothing": (NOTHING, ()),
    "must be apart": ({"affinity": {"podAntiAffinity": {REQUIRED: TERMS}}}, ("inter-pod affinity",)),
    "must be together": ({"affinity": {"podAffinity": {REQUIRED: TERMS}}}, ("inter-pod affinity",)),
    "likes to be together": (
        {"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": TERMS}}},
        (),
    ),
    "must spread": ({"topologySpreadConstraints": [{"whenUnsatisfiable": "DoNotSchedule"}]}, ("topology spread",)),
    "likes to spread": ({"topologySpreadConstraints": [{"whenUnsatisfiable": "ScheduleAnyway"}]}, ()),
    "claim": ({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}, ("volumes",)),
    "ephemeral claim": ({"volumes": [{"name": "v", "ephemeral": {}}]}, ("volumes",)),
    "harmless volumes": ({"volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {}}]}, ()),
    "disk and devices": (
        {"volumes": [{"name": "v", "iscsi": {"iqn": "i"}}], "resourceClaims": [{"name": "r"}]},
        ("volumes", "resource claims"),
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_rules_that_only_kube_scheduler_can_judge(name: str) -> None:
    spec, rules = RULES[name]
    assert read(**spec).shape.scheduler_rules == rules


def test_a_node_affinity_of_empty_terms_meets_no_node() -> None:
    empty: Document = {}
    (term,) = read(affinity={"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [empty]}}}).shape.affinity
    assert term == (Requirement(key="metadata.name", operator="In", values=(), on_name=True),)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b'{"metadata": 5}',
        b'{"spec": {}}',
        raw(priority="high"),
        raw(containers=[{"resources": {"requests": {"cpu": "much"}}}]),
        raw(
            affinity={
                "nodeAffinity": {
                    REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Near"}]}]}
                }
            }
        ),
    ],
)
def test_what_is_no_pod_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        READER.read(text)


BOUND = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
DONE = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:02:00Z"}
ENDED = {"name": "main", "state": {"terminated": {"exitCode": 0, "finishedAt": "2026-01-01T00:01:30Z"}}}


@pytest.mark.parametrize(
    ("status", "want"),
    [
        pytest.param({"conditions": [BOUND, DONE], "containerStatuses": [ENDED]}, 90, id="when its container ended"),
        pytest.param({"conditions": [BOUND, DONE]}, 120, id="when it was ready no more"),
        pytest.param({"conditions": [DONE]}, None, id="not known since when"),
        pytest.param({"conditions": [BOUND]}, None, id="not known until when"),
        pytest.param({"conditions": [BOUND, DONE], "phase": "Failed"}, None, id="failed"),
        pytest.param({"conditions": [BOUND, DONE], "phase": "Running"}, None, id="runs"),
    ],
)
def test_how_long_a_pod_ran_that_did_its_work(status: dict[str, object], want: int | None) -> None:
    spec = {"nodeName": "n1"}
    _, event = READER.read_ended(raw(**spec, status={"phase": "Succeeded", **status}))
    assert (None if event.run is None else event.run.ran_s) == want
    _, foreign = READER.read_ended(raw(**spec, schedulerName="other", status={"phase": "Succeeded", **status}))
    assert foreign == RunSeen()
