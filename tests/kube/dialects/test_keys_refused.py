"""Labels and annotations of other schedulers that cannot be read, or contradict each other: each is told by name."""

import json

import pytest

from scheduler.kube.dialects import texts
from scheduler.kube.dialects.koordinator import LAYOUT_ALLOWED
from scheduler.kube.dialects.kueue import SLICES_ALLOWED
from scheduler.kube.dialects.record import Texts
from scheduler.kube.dialects.table import understand
from scheduler.kube.dialects.volcano import TIER_ALLOWED
from scheduler.kube.dialects.yunikorn import GROUPS_ALLOWED, USER_ALLOWED
from tests.kube.dialects.heard import (
    KAI,
    KOORDINATOR,
    KUEUE,
    LWS,
    VOLCANO,
    YUNIKORN,
    fields,
    heard,
    said,
)

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
        ("labels: {priorityClassName: ''}", "label priorityClassName", "", "a name"),
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


def test_two_words_that_differ_are_a_problem() -> None:
    found = heard(f"labels: {{{KAI}queue: red, {KUEUE}queue-name: blue}}")
    assert found.queue == "blue"
    allowed = f"the same as the label {KUEUE}queue-name, or the label bayplan.dev/queue, which goes first"
    assert said(found) == [f"label {KAI}queue is 'red'; allowed: {allowed}"]
    assert said(heard(f"labels: {{{KAI}queue: red, {KUEUE}queue-name: red}}")) == []
    found = heard(f"labels: {{priorityClassName: low, {KUEUE}priority-class: high}}")
    assert said(found) == [
        f"label priorityClassName is 'PriorityClass low'; allowed: the same as the label {KUEUE}priority-class"
    ]
    found = heard("{labels: {scheduling.x-k8s.io/pod-group: a}, annotations: {scheduling.k8s.io/group-name: b}}")
    allowed = "the same as the annotation scheduling.k8s.io/group-name, or the label bayplan.dev/gang, which goes first"
    assert said(found) == [f"label scheduling.x-k8s.io/pod-group is 'a'; allowed: {allowed}"]


@pytest.mark.parametrize("value", ["", "ann", "{}", '{"user": " "}', '{"user": 5}'])
def test_a_user_that_cannot_be_read_is_quoted(value: str) -> None:
    key = f"{YUNIKORN}user.info"
    found = understand(Texts(labels={}, annotations={key: value}))
    assert said(found) == [f"annotation {key} is {value!r}; allowed: {USER_ALLOWED}"]
    assert said(understand(Texts(labels={"bayplan.dev/user": "bob"}, annotations={key: '{"user": "ann"}'}))) == []
