"""Labels and annotations of other schedulers on pods, dialect by dialect."""

import json
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pytest
import yaml

from scheduler.kube import keys
from scheduler.kube.dialects import texts
from scheduler.kube.dialects.koordinator import LAYOUT_ALLOWED
from scheduler.kube.dialects.kueue import SLICES_ALLOWED
from scheduler.kube.dialects.record import NOTHING, OWN_KEYS, Texts, Understood
from scheduler.kube.dialects.table import DIALECTS, understand
from scheduler.kube.dialects.volcano import TIER_ALLOWED
from scheduler.kube.dialects.yunikorn import GROUPS_ALLOWED
from scheduler.kube.wire import PodSpec, SchedulingGroup, WorkloadRef
from scheduler.model.workload import GangClaim

VOLCANO = "scheduling.volcano.sh/"
KAI = "kai.scheduler/"
KUEUE = "kueue.x-k8s.io/"
KOORDINATOR = "gang.scheduling.koordinator.sh/"
QUOTA = "quota.scheduling.koordinator.sh/"
YUNIKORN = "yunikorn.apache.org/"
LWS = "leaderworkerset.sigs.k8s.io/"
JOBSET = "jobset.sigs.k8s.io/"
KUBEFLOW = "training.kubeflow.org/"


def heard(text: str, spec: PodSpec | None = None) -> Understood:
    """What is understood of metadata written as YAML: labels, annotations, and `owner: Kind/name`."""
    meta: dict[str, Any] = yaml.safe_load(text) or {}
    kind, _, name = str(meta.get("owner", "")).partition("/")
    found = Texts(
        labels=meta.get("labels") or {}, annotations=meta.get("annotations") or {}, owner_kind=kind, owner_name=name
    )
    return understand(found) if spec is None else understand(found, spec)


def fields(found: Understood) -> Mapping[str, object]:
    """Those that anybody spoke of."""
    names = [name for name in OWN_KEYS if getattr(found, name) != getattr(NOTHING, name)]
    return {name: getattr(found, name) for name in names}


def said(found: Understood) -> list[str]:
    return [str(problem) for problem in found.problems]


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


COUNT = texts.COUNT_ALLOWED


@pytest.mark.parametrize(
    ("text", "where", "value", "allowed"),
    [
        ("labels: {scheduling.x-k8s.io/pod-group: ''}", "label scheduling.x-k8s.io/pod-group", "", "a name"),
        (
            "labels: {pod-group.scheduling.sigs.k8s.io/min-available: '3'}",
            "label pod-group.scheduling.sigs.k8s.io/min-available",
            "3",
            "only beside the label scheduling.x-k8s.io/pod-group",
        ),
        (f"annotations: {{{VOLCANO}group-min-member: few}}", f"annotation {VOLCANO}group-min-member", "few", COUNT),
        (
            f"annotations: {{{VOLCANO}group-min-member: '2'}}",
            f"annotation {VOLCANO}group-min-member",
            "2",
            "only beside the annotation scheduling.k8s.io/group-name, or on pods that have an owner",
        ),
        (
            "annotations: {volcano.sh/network-topology-mode: hard, volcano.sh/network-topology-highest-tier: '1'}",
            "annotation volcano.sh/network-topology-highest-tier",
            "1",
            TIER_ALLOWED,
        ),
        (
            "annotations: {volcano.sh/network-topology-mode: any}",
            "annotation volcano.sh/network-topology-mode",
            "any",
            "hard or soft",
        ),
        ("labels: {volcano.sh/preemptable: maybe}", "label volcano.sh/preemptable", "maybe", "true or false"),
        (
            f"labels: {{{KAI}preemptibility: semi}}",
            f"label {KAI}preemptibility",
            "semi",
            "preemptible or non-preemptible",
        ),
        (
            "annotations: {gpu-fraction: '0.5'}",
            "annotation gpu-fraction",
            "0.5",
            "a limit of nvidia.com/gpu.shared with bayplan.dev/gpu-share, or a MIG slice",
        ),
        (
            f"annotations: {{{KAI}segment-topology-required-placement: rack}}",
            f"annotation {KAI}segment-topology-required-placement",
            "rack",
            f"only beside the annotation {KAI}segment-size",
        ),
        (f"labels: {{{KUEUE}queue-name: ' '}}", f"label {KUEUE}queue-name", " ", "a name"),
        (
            f"{{labels: {{{KUEUE}pod-group-name: g}}, annotations: {{{KUEUE}pod-group-total-count: '0'}}}}",
            f"annotation {KUEUE}pod-group-total-count",
            "0",
            COUNT,
        ),
        (
            f"annotations: {{{KUEUE}podset-slice-size: '4'}}",
            f"annotation {KUEUE}podset-slice-size",
            "4",
            f"only beside the annotation {KUEUE}podset-slice-required-topology",
        ),
        (
            f"labels: {{{KUEUE}max-exec-time-seconds: 1h}}",
            f"label {KUEUE}max-exec-time-seconds",
            "1h",
            texts.SECONDS_ALLOWED,
        ),
        (
            f"annotations: {{{KOORDINATOR}name: g, {KOORDINATOR}min-available: '4', {KOORDINATOR}total-number: '2'}}",
            f"annotation {KOORDINATOR}min-available",
            "4",
            f"at most annotation {KOORDINATOR}total-number, 2",
        ),
        (f"annotations: {{{KOORDINATOR}mode: Lax}}", f"annotation {KOORDINATOR}mode", "Lax", "Strict or NonStrict"),
        (
            f"annotations: {{{YUNIKORN}task-group-name: workers}}",
            f"annotation {YUNIKORN}task-group-name",
            "workers",
            f"only beside the label {YUNIKORN}app-id",
        ),
        (
            f"{{labels: {{{LWS}name: s, {LWS}group-index: '0'}}, annotations: {{{LWS}size: big}}}}",
            f"annotation {LWS}size",
            "big",
            COUNT,
        ),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(text: str, where: str, value: str, allowed: str) -> None:
    found = heard(text)
    assert said(found) == [f"{where} is {value!r}; allowed: {allowed}"]


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        *((f"{KUEUE}podset-slice-required-topology-constraints", value, SLICES_ALLOWED) for value in (
            *("", "{}", "[]", '[{"topology": "rack"}]', '[{"topology": "rack", "size": 1}]'),
            '[{"topology": "rack", "size": 4}, {"topology": "node", "size": 3}]',
            '[{"topology": "rack", "sizes": [1, 3]}]',
            json.dumps([{"topology": t, "size": n} for t, n in (("a", 16), ("b", 8), ("c", 4), ("d", 2))]),
        )),
        *((f"{KOORDINATOR}network-topology-spec", value, LAYOUT_ALLOWED) for value in (
            "", "{}", '{"gatherStrategy": []}', '{"gatherStrategy": [{"layer": "rack", "strategy": "Any"}]}',
        )),
        (
            f"{KOORDINATOR}network-topology-spec",
            json.dumps({"gatherStrategy": [{"layer": layer, "strategy": "MustGather"} for layer in "ab"]}),
            "one layer with MustGather",
        ),
    ],
)  # fmt: skip
def test_lists_that_cannot_be_read_are_quoted(key: str, value: str, allowed: str) -> None:
    found = understand(Texts(labels={}, annotations={key: value}))
    assert said(found) == [f"annotation {key} is {value!r}; allowed: {allowed}"]
    assert fields(found) == {}


@pytest.mark.parametrize("value", ["", "{}", "[]", '[{"name": "a"}]', '[{"name": "a", "minMember": 0}]',
    '[{"name": "a", "minMember": 1}, {"name": "a", "minMember": 2}]'])  # fmt: skip
def test_task_groups_that_cannot_be_read_are_quoted(value: str) -> None:
    key = f"{YUNIKORN}task-groups"
    found = understand(Texts(labels={"applicationId": "a"}, annotations={key: value}))
    assert said(found) == [f"annotation {key} is {value!r}; allowed: {GROUPS_ALLOWED}"]


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
        (f"labels: {{{KUEUE}priority-class: high}}", f"label {KUEUE}priority-class ('high')"),
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


def test_two_words_that_differ_are_a_problem() -> None:
    found = heard(f"labels: {{{KAI}queue: red, {KUEUE}queue-name: blue}}")
    assert found.queue == "blue"
    allowed = f"the same as the label {KUEUE}queue-name, or the label bayplan.dev/queue, which goes first"
    assert said(found) == [f"label {KAI}queue is 'red'; allowed: {allowed}"]
    assert said(heard(f"labels: {{{KAI}queue: red, {KUEUE}queue-name: red}}")) == []
    found = heard("{labels: {scheduling.x-k8s.io/pod-group: a}, annotations: {scheduling.k8s.io/group-name: b}}")
    allowed = "the same as the annotation scheduling.k8s.io/group-name, or the label bayplan.dev/gang, which goes first"
    assert said(found) == [f"label scheduling.x-k8s.io/pod-group is 'a'; allowed: {allowed}"]


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
