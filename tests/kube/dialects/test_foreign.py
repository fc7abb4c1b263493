"""Objects of other groups that describe gangs, written as people or controllers write them."""

import pytest
from msgspec.structs import replace

from scheduler.kube.dialects.kinds import CLASS_KINDS, GROUP_KINDS, kind_of
from scheduler.state.events import GroupGone, GroupSeen, PriorityClassGone, PriorityClassSeen
from tests.kube.dialects.manifests import claim, read, seen

UNDERSTOOD = [
    pytest.param(
        "{apiVersion: scheduling.x-k8s.io/v1alpha1, kind: PodGroup, spec: {minMember: 4, minResources: {cpu: 4}}}",
        seen("pod-group/train", "PodGroup", claim=claim(least=4)),
        id="scheduler-plugins",
    ),
    pytest.param(
        """
        apiVersion: scheduling.sigs.k8s.io/v1alpha1
        kind: PodGroup
        metadata:
          annotations:
            gang.scheduling.koordinator.sh/total-number: "6"
            gang.scheduling.koordinator.sh/network-topology-spec: |
              {"gatherStrategy": [{"layer": "rack", "strategy": "MustGather"}]}
        spec: {minMember: 4}
        """,
        seen("pod-group/train", "PodGroup", claim=claim(least=4, size=6), topology_required="rack"),
        id="Koordinator",
    ),
    pytest.param(
        """
        apiVersion: scheduling.volcano.sh/v1beta1
        kind: PodGroup
        spec:
          minMember: 3
          minTaskMember: {ps: 1, worker: 2}
          queue: red
          networkTopology: {mode: hard, highestTierName: rack}
          subGroupPolicy:
            - {name: tp, subGroupSize: 2, networkTopology: {mode: hard, highestTierName: node}}
        """,
        seen(
            "volcano/train",
            "PodGroup.scheduling.volcano.sh",
            claim=claim(least=3, role_least=(("ps", 1), ("worker", 2))),
            queue="red",
            queue_key="spec.queue of PodGroup.scheduling.volcano.sh train",
            topology_required="rack",
            topology_slices=(("node", 2),),
        ),
        id="Volcano",
    ),
    pytest.param(
        "{apiVersion: scheduling.volcano.sh/v1beta1, kind: PodGroup, spec: {minMember: 0, queue: default}}",
        seen("volcano/train", "PodGroup.scheduling.volcano.sh", claim=claim(least=1)),
        id="Volcano: what it fills in names no queue",
    ),
    pytest.param(
        """
        apiVersion: scheduling.run.ai/v2alpha2
        kind: PodGroup
        spec:
          queue: red
          preemptibility: non-preemptible
          topologyConstraint: {requiredTopologyLevel: block, preferredTopologyLevel: rack}
          subGroups:
            - {name: serve, minMember: 0}
            - {name: prefill, parent: serve, minMember: 1, topologyConstraint: {requiredTopologyLevel: rack}}
            - {name: decode, parent: serve, minMember: 2}
        """,
        seen(
            "kai/train",
            "PodGroup.scheduling.run.ai",
            claim=claim(role_least=(("decode", 2), ("prefill", 1))),
            queue="red",
            queue_key="spec.queue of PodGroup.scheduling.run.ai train",
            preemptible=False,
            topology_required="block",
            topology_preferred="rack",
            role_levels=(("prefill", "rack"),),
        ),
        id="KAI",
    ),
    pytest.param(
        "{apiVersion: scheduling.run.ai/v2alpha2, kind: PodGroup, spec: {minMember: 4}}",
        seen("kai/train", "PodGroup.scheduling.run.ai", claim=claim(least=4)),
        id="KAI: without sub-groups",
    ),
    pytest.param(
        """
        apiVersion: scheduler.grove.io/v1alpha1
        kind: PodGang
        spec:
          topologyConstraint: {packConstraint: {required: block, preferred: rack}}
          podgroups:
            - {name: train-prefill, minReplicas: 2, topologyConstraint: {packConstraint: {required: rack}}}
            - {name: train-decode, minReplicas: 1}
        """,
        seen(
            "grove/train",
            "PodGang",
            claim=claim(role_least=(("train-decode", 1), ("train-prefill", 2))),
            topology_required="block",
            topology_preferred="rack",
            role_levels=(("train-prefill", "rack"),),
        ),
        id="Grove",
    ),
    pytest.param(
        """
        apiVersion: scheduling.k8s.io/v1alpha2
        kind: PodGroup
        spec:
          schedulingPolicy: {gang: {minCount: 4}}
          schedulingConstraints: {topology: [{key: example.com/rack}]}
          disruptionMode: PodGroup
          priorityClassName: high
          priority: 1000
        """,
        seen(
            "podgroup/train",
            "PodGroup.scheduling.k8s.io",
            claim=claim(least=4),
            priority=1000,
            priority_class="PriorityClass high",
            priority_key="spec.priorityClassName of PodGroup.scheduling.k8s.io train",
            topology_required="example.com/rack",
        ),
        id="Kubernetes 1.36",
    ),
    pytest.param(
        """
        apiVersion: scheduling.k8s.io/v1beta1
        kind: PodGroup
        spec: {schedulingPolicy: {gang: {minCount: 4}}, disruptionMode: {all: {}}, workloadRef: {workloadName: w}}
        """,
        seen("podgroup/train", "PodGroup.scheduling.k8s.io", claim=claim(least=4)),
        id="Kubernetes 1.37",
    ),
    pytest.param(
        "{apiVersion: scheduling.k8s.io/v1alpha2, kind: PodGroup, spec: {schedulingPolicy: {basic: {}}}}",
        seen("podgroup/train", "PodGroup.scheduling.k8s.io", claim=claim(least=1), form="alone"),
        id="Kubernetes: no gang",
    ),
    pytest.param(
        """
        apiVersion: scheduling.k8s.io/v1alpha2
        kind: PodGroup
        spec: {schedulingPolicy: {basic: {}}, schedulingConstraints: {topology: [{key: rack}]}}
        """,
        seen("podgroup/train", "PodGroup.scheduling.k8s.io", claim=claim(least=1), topology_required="rack"),
        id="Kubernetes: no gang, but one domain",
    ),
    pytest.param(
        """
        apiVersion: scheduling.k8s.io/v1alpha1
        kind: Workload
        spec:
          podGroups:
            - {name: workers, policy: {gang: {minCount: 4}}}
            - {name: driver, policy: {basic: {}}}
        """,
        seen(
            "workload/train",
            "Workload.scheduling.k8s.io",
            form="parts",
            role_sizes=(("driver", 0), ("workers", 4)),
        ),
        id="Kubernetes 1.35",
    ),
]


@pytest.mark.parametrize(("text", "want"), UNDERSTOOD)
def test_what_an_object_says(text: str, want: GroupSeen) -> None:
    found = read(text)
    assert replace(found, notes=()) == want


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            """
            apiVersion: scheduling.volcano.sh/v1beta1
            kind: PodGroup
            spec: {networkTopology: {mode: hard, highestTierAllowed: 2}}
            """,
            [
                (
                    "spec.networkTopology.highestTierAllowed of PodGroup.scheduling.volcano.sh train is '2'; "
                    "allowed: a highestTierName, the name of a topology level"
                )
            ],
        ),
        (
            """
            apiVersion: scheduling.run.ai/v2alpha2
            kind: PodGroup
            spec:
              subGroups:
                - {name: all, topologyConstraint: {requiredTopologyLevel: rack}}
                - {name: one, parent: all, minMember: 1}
            """,
            [
                (
                    "spec.subGroups 'all'.topologyConstraint of PodGroup.scheduling.run.ai train is 'rack'; "
                    "allowed: only on sub-groups without others below"
                )
            ],
        ),
        (
            """
            apiVersion: scheduling.k8s.io/v1alpha2
            kind: PodGroup
            spec: {schedulingConstraints: {topology: [{key: a}, {key: b}]}}
            """,
            [
                (
                    "spec.schedulingConstraints.topology of PodGroup.scheduling.k8s.io train is 'a, b'; "
                    "allowed: one topology key"
                )
            ],
        ),
    ],
)
def test_what_an_object_asks_for_and_cannot_have(text: str, problems: list[str]) -> None:
    assert [str(problem) for problem in read(text).problems] == problems


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (
            "{apiVersion: scheduling.run.ai/v2alpha2, kind: PodGroup, spec: {minSubGroup: 1}}",
            "spec.minSubGroup of PodGroup.scheduling.run.ai train ('1') is not honoured: all sub-groups have to stand",
        ),
        (
            "{apiVersion: scheduling.k8s.io/v1beta1, kind: PodGroup, spec: {parentCompositePodGroupName: c}}",
            (
                "spec.parentCompositePodGroupName of PodGroup.scheduling.k8s.io train ('c') is not honoured: "
                "each PodGroup starts by itself"
            ),
        ),
    ],
)
def test_what_is_not_honoured_is_told(text: str, note: str) -> None:
    found = read(text)
    assert found.notes == (note,)
    assert found.problems == ()


def test_an_object_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match="minMember"):
        read("{apiVersion: scheduling.x-k8s.io/v1alpha1, kind: PodGroup, spec: {minMember: many}}")


def test_an_object_goes_by_its_uid() -> None:
    kind = kind_of(GROUP_KINDS[0], "v1alpha2")
    assert kind.path == "/apis/scheduling.k8s.io/v1alpha2/podgroups"
    assert (kind.gone("u"), kind.by_uid) == (GroupGone(uid="u"), True)


@pytest.mark.parametrize(
    ("spec", "field", "kind"),
    [
        ("apiVersion: scheduling.volcano.sh/v1beta1, kind: PodGroup, spec: {priorityClassName: high}",
         "spec.priorityClassName", "PodGroup.scheduling.volcano.sh"),
        ("apiVersion: scheduling.run.ai/v2alpha2, kind: PodGroup, spec: {priorityClassName: high}",
         "spec.priorityClassName", "PodGroup.scheduling.run.ai"),
        ("apiVersion: scheduler.grove.io/v1alpha1, kind: PodGang, spec: {priorityClassName: high}",
         "spec.priorityClassName", "PodGang"),
        ("apiVersion: kubeflow.org/v1, kind: TFJob, spec: {runPolicy: {schedulingPolicy: {priorityClass: high}}}",
         "spec.runPolicy.schedulingPolicy.priorityClass", "TFJob"),
    ],
)  # fmt: skip
def test_a_priority_class_that_an_object_names(spec: str, field: str, kind: str) -> None:
    found = read(f"{{{spec}}}")
    assert (found.priority_class, found.priority_key) == ("PriorityClass high", f"{field} of {kind} train")


def test_a_label_on_an_object_names_a_class_before_its_spec_does() -> None:
    found = read(
        "{apiVersion: scheduling.volcano.sh/v1beta1, kind: PodGroup, spec: {priorityClassName: high}, "
        "metadata: {labels: {kueue.x-k8s.io/priority-class: low}}}"
    )
    assert found.priority_class == "WorkloadPriorityClass low"
    assert found.priority_key == "label kueue.x-k8s.io/priority-class"


def test_classes_of_priorities() -> None:
    text = b'{"metadata": {"name": "high", "uid": "u"}, "value": 1000}'
    for foreign, name in zip(CLASS_KINDS, ("PriorityClass high", "WorkloadPriorityClass high"), strict=True):
        kind = kind_of(foreign, foreign.versions[0])
        assert kind.read(text).event == PriorityClassSeen(uid="u", name=name, value=1000)
        assert kind.gone("u") == PriorityClassGone(uid="u")
    assert [kind.plural for kind in CLASS_KINDS] == ["priorityclasses", "workloadpriorityclasses"]
