"""Labels and annotations of other schedulers on pods, dialect by dialect."""

from collections.abc import Mapping
from itertools import combinations

import pytest

from scheduler.kube import keys
from scheduler.kube.dialects.record import NOTHING, Texts
from scheduler.kube.dialects.table import DIALECTS, understand
from scheduler.kube.wire import PodSpec, SchedulingGroup, WorkloadRef
from scheduler.model.workload import GangClaim
from tests.kube.dialects.heard import (
    JOBSET,
    KAI,
    KOORDINATOR,
    KUBEFLOW,
    KUEUE,
    LWS,
    QUOTA,
    VOLCANO,
    YUNIKORN,
    fields,
    heard,
    said,
)

HONOURED = [
    pytest.param(
        "labels: {scheduling.x-k8s.io/pod-group: train}",
        {"gang": GangClaim(name="pod-group/train")},
        id="scheduler-plugins",
    ),
    pytest.param(
        "labels: {pod-group.scheduling.sigs.k8s.io: train}",
        {"gang": GangClaim(name="pod-group/train")},
        id="scheduler-plugins and Koordinator, sigs group",
    ),
    pytest.param(
        "labels: {pod-group.scheduling.sigs.k8s.io/name: train, pod-group.scheduling.sigs.k8s.io/min-available: '3'}",
        {"gang": GangClaim(name="pod-group/train", least=3)},
        id="scheduler-plugins, the older labels",
    ),
    pytest.param(
        f"annotations: {{scheduling.k8s.io/group-name: train, {VOLCANO}queue-name: red, volcano.sh/task-spec: ps}}",
        {"gang": GangClaim(name="volcano/train"), "queue": "red", "role": "ps"},
        id="Volcano",
    ),
    pytest.param(
        f"{{labels: {{volcano.sh/queue-name: red, volcano.sh/preemptable: 'false'}}, "
        f"annotations: {{{VOLCANO}group-name: train, {VOLCANO}group-min-member: '2'}}}}",
        {"gang": GangClaim(name="volcano/train", least=2), "queue": "red", "preemptible": False},
        id="Volcano, the other keys",
    ),
    pytest.param(
        f"{{owner: ReplicaSet/web-1, annotations: {{{VOLCANO}group-min-member: '2'}}}}",
        {"gang": GangClaim(name="replicaset/web-1", least=2)},
        id="Volcano: the pods of an owner",
    ),
    pytest.param(
        f"{{labels: {{{KAI}queue: red, {KAI}preemptibility: non-preemptible, {KAI}subgroup-name: decode}}, "
        f"annotations: {{pod-group-name: train, {KAI}topology-required-placement: rack, "
        f"{KAI}topology-preferred-placement: kubernetes.io/hostname}}}}",
        {
            "gang": GangClaim(name="kai/train"),
            "queue": "red",
            "preemptible": False,
            "role": "decode",
            "topology_required": "rack",
            "topology_preferred": "kubernetes.io/hostname",
        },
        id="KAI",
    ),
    pytest.param("labels: {runai/queue: red}", {"queue": "red"}, id="Run:ai"),
    pytest.param("labels: {priorityClassName: build}", {"priority_class": "PriorityClass build"}, id="KAI: a class"),
    pytest.param(
        f"labels: {{{KUEUE}priority-class: high}}",
        {"priority_class": "WorkloadPriorityClass high"},
        id="Kueue: a class of its own",
    ),
    pytest.param(
        f"{{owner: Job/train, annotations: {{{KAI}batch-min-member: '2', {KAI}segment-size: '4', "
        f"{KAI}segment-topology-required-placement: rack}}}}",
        {"gang": GangClaim(name="job/train", least=2), "topology_slices": (("rack", 4),)},
        id="KAI: a batch's least, segments",
    ),
    pytest.param(
        f"{{labels: {{{KUEUE}queue-name: red, {KUEUE}pod-group-name: train, {KUEUE}max-exec-time-seconds: '3600'}}, "
        f"annotations: {{{KUEUE}pod-group-total-count: '4', {KUEUE}podset-required-topology: rack, "
        f"{KUEUE}podset-preferred-topology: node}}}}",
        {
            "gang": GangClaim(name="kueue/train", size=4),
            "queue": "red",
            "duration_s": 3600,
            "topology_required": "rack",
            "topology_preferred": "node",
        },
        id="Kueue",
    ),
    pytest.param(
        f"annotations: {{{KUEUE}podset-slice-required-topology: rack, {KUEUE}podset-slice-size: '4', "
        f"{KUEUE}podset-unconstrained-topology: 'true'}}",
        {"topology_slices": (("rack", 4),)},
        id="Kueue: slices",
    ),
    pytest.param(
        f"annotations: {{{KUEUE}podset-slice-required-topology-constraints: "
        """'[{"topology": "block", "size": 8}, {"topology": "rack", "size": "4"}]'}""",
        {"topology_slices": (("block", 8), ("rack", 4))},
        id="Kueue: layers of slices",
    ),
    pytest.param(
        f"{{labels: {{{QUOTA}name: red, {QUOTA}preemptible: 'false'}}, "
        f"annotations: {{{KOORDINATOR}name: train, {KOORDINATOR}min-available: '2', {KOORDINATOR}total-number: '4', "
        f"{KOORDINATOR}mode: Strict}}}}",
        {"gang": GangClaim(name="koordinator/train", size=4, least=2), "queue": "red", "preemptible": False},
        id="Koordinator",
    ),
    pytest.param(
        f"annotations: {{{KOORDINATOR}network-topology-spec: "
        """'{"gatherStrategy": [{"layer": "block", "strategy": "MustGather"}, {"layer": "rack", "strategy":"""
        """ "PreferGather"}, {"layer": "node", "strategy": "MustGather", "podCountMultiple": 8}]}'}""",
        {"topology_required": "block", "topology_preferred": "rack", "topology_slices": (("node", 8),)},
        id="Koordinator: layout",
    ),
    pytest.param(
        f"{{labels: {{applicationId: app-1, queue: root.red}}, annotations: {{{YUNIKORN}task-group-name: workers, "
        f"{YUNIKORN}allow-preemption: 'false', {YUNIKORN}task-groups: "
        """'[{"name": "head", "minMember": 1, "minResource": {"cpu": "1"}}, {"name": "workers", "minMember": 4}]'}}""",
        {
            "gang": GangClaim(name="yunikorn/app-1", role_least=(("head", 1), ("workers", 4))),
            "queue": "root.red",
            "role": "workers",
            "preemptible": False,
        },
        id="YuniKorn",
    ),
    pytest.param(
        f"{{labels: {{{YUNIKORN}app-id: app-1, {YUNIKORN}queue: root.red}}, "
        f"annotations: {{{YUNIKORN}task-group-name: workers}}}}",
        {"gang": GangClaim(name="yunikorn/app-1"), "queue": "root.red", "role": "workers"},
        id="YuniKorn: another pod of the application",
    ),
    pytest.param("labels: {queue: red}", {}, id="a label of no dialect's"),
    pytest.param(f"labels: {{{YUNIKORN}username: ann}}", {"user": "ann"}, id="YuniKorn: a user"),
    pytest.param(
        f"annotations: {{{YUNIKORN}user.info: "
        """'{"user": "ann", "groups": ["vision", "nlp"]}'}""",
        {"user": "ann"},
        id="YuniKorn: a user with groups",
    ),
    pytest.param(
        f"{{labels: {{{LWS}name: s, {LWS}group-index: '1', {LWS}worker-index: '0'}}, annotations: {{{LWS}size: '4'}}}}",
        {"gang": GangClaim(name="lws/s-1", group="lws/s", size=4), "role": "leader"},
        id="LeaderWorkerSet",
    ),
    pytest.param(
        f"labels: {{{JOBSET}jobset-name: s, {JOBSET}replicatedjob-name: workers}}",
        {"gang": GangClaim(name="jobset/s"), "role": "workers"},
        id="JobSet",
    ),
    pytest.param(
        f"labels: {{{JOBSET}jobset-name: s, {JOBSET}replicatedjob-name: ' '}}",
        {"gang": GangClaim(name="jobset/s")},
        id="JobSet: a role without a name",
    ),
    pytest.param(
        f"{{owner: PyTorchJob/t, labels: {{{KUBEFLOW}job-name: t, {KUBEFLOW}replica-type: worker}}}}",
        {"gang": GangClaim(name="pytorchjob/t"), "role": "worker"},
        id="Kubeflow",
    ),
    pytest.param(
        f"{{owner: Job/t-launcher, labels: {{{KUBEFLOW}job-name: t, {KUBEFLOW}operator-name: mpi-operator, "
        f"{KUBEFLOW}job-role: launcher}}}}",
        {"gang": GangClaim(name="mpijob/t"), "role": "launcher"},
        id="Kubeflow: an MPIJob's launcher",
    ),
    pytest.param(f"{{owner: MXJob/t, labels: {{{KUBEFLOW}job-name: t}}}}", {}, id="Kubeflow: a kind that is not known"),
    pytest.param(
        "labels: {ray.io/cluster: r, ray.io/group: headgroup}",
        {"gang": GangClaim(name="raycluster/r"), "role": "headgroup"},
        id="Ray",
    ),
    pytest.param(
        "labels: {grove.io/podgang: g, grove.io/podclique: g-prefill}",
        {"gang": GangClaim(name="grove/g"), "role": "g-prefill"},
        id="Grove",
    ),
]


@pytest.mark.parametrize(("text", "want"), HONOURED)
def test_what_is_honoured(text: str, want: Mapping[str, object]) -> None:
    found = heard(text)
    assert (fields(found), said(found), found.notes) == (want, [], ())


def test_the_group_that_a_pod_s_spec_names() -> None:
    group = PodSpec(scheduling_group=SchedulingGroup(pod_group_name="train"))
    assert fields(heard("", group)) == {"gang": GangClaim(name="podgroup/train")}
    workload = PodSpec(workload_ref=WorkloadRef(name="w", pod_group="workers", pod_group_replica_key="1"))
    claim = GangClaim(name="workload/w/workers/1", group="workload/w")
    assert fields(heard("", workload)) == {"gang": claim, "role": "workers"}
    assert heard("", PodSpec(scheduling_group=SchedulingGroup())) == NOTHING


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("annotations: {volcano.sh/cooldown-time: 600s}", "annotation volcano.sh/cooldown-time ('600s')"),
        (
            "annotations: {volcano.sh/network-topology-mode: soft}",
            "annotation volcano.sh/network-topology-mode ('soft')",
        ),
        (f"labels: {{{KAI}node-pool: a}}", f"label {KAI}node-pool ('a')"),
        (f"annotations: {{{KAI}segment-size: '4'}}", f"annotation {KAI}segment-size ('4')"),
        (f"annotations: {{{KUEUE}priority-boost: '5'}}", f"annotation {KUEUE}priority-boost ('5')"),
        (f"annotations: {{{KOORDINATOR}mode: NonStrict}}", f"annotation {KOORDINATOR}mode ('NonStrict')"),
        (
            f"{{labels: {{{LWS}name: s, {LWS}group-index: '0'}}, annotations: {{{LWS}exclusive-topology: rack}}}}",
            f"annotation {LWS}exclusive-topology ('rack')",
        ),
        (
            f"{{labels: {{{JOBSET}jobset-name: s}}, annotations: {{alpha.{JOBSET}exclusive-topology: rack}}}}",
            "annotation alpha.jobset.sigs.k8s.io/exclusive-topology ('rack')",
        ),
        (
            f"{{labels: {{spark-app-selector: s}}, annotations: {{{YUNIKORN}task-group-name: driver}}}}",
            f"annotation {YUNIKORN}task-group-name ('driver')",
        ),
    ],
)
def test_what_is_not_honoured_is_told(text: str, note: str) -> None:
    found = heard(text)
    assert [sentence.partition(" is not honoured: ")[0] for sentence in found.notes] == [note]
    assert (found.gang, said(found)) == (None, [])


def test_our_own_key_settles_it() -> None:
    found = heard(f"labels: {{{KAI}queue: red, {KUEUE}queue-name: blue, bayplan.dev/queue: green}}")
    assert (fields(found), said(found)) == ({}, [])


def test_what_a_controller_writes_only_fills_what_nobody_says() -> None:
    found = heard(
        f"{{labels: {{{JOBSET}jobset-name: s, {JOBSET}replicatedjob-name: workers}}, "
        "annotations: {scheduling.k8s.io/group-name: g}}"
    )
    assert (fields(found), said(found)) == ({"gang": GangClaim(name="volcano/g"), "role": "workers"}, [])


def test_no_key_belongs_to_two_dialects_and_none_is_our_own() -> None:
    known = [{(key.place, key.key) for key in dialect.keys} for dialect in DIALECTS]
    assert not any(one & other for one, other in combinations(known, 2))
    assert all(len(one) == len(dialect.keys) for one, dialect in zip(known, DIALECTS, strict=True))
    own = {value for name, value in vars(keys).items() if name.endswith(("_LABEL", "_ANNOTATION"))}
    assert not {key for one in known for _, key in one} & own


def test_an_object_without_any_of_these_keys_costs_nothing() -> None:
    assert understand(Texts(labels={"app": "x"}, annotations={"note": "y"})) is NOTHING
