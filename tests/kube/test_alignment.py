"""The kubelet's topology manager as labels of a node tell of it."""

import json

import pytest

from scheduler.kube.translate_alignment import read_alignment
from scheduler.kube.translate_node import read_node
from scheduler.model.alignment import ANYHOW, Alignment, NumaPolicy
from scheduler.scoring.level_notes import level_notes
from tests.planning.build import snapshot

POLICY, SCOPE = "bayplan.dev/topology-manager-policy", "bayplan.dev/topology-manager-scope"


@pytest.mark.parametrize(
    ("labels", "want"),
    [
        ({}, ANYHOW),
        ({POLICY: "none"}, ANYHOW),
        ({POLICY: "best-effort"}, Alignment(policy=NumaPolicy.BEST_EFFORT)),
        ({POLICY: "restricted", SCOPE: "container"}, Alignment(policy=NumaPolicy.RESTRICTED)),
        ({POLICY: "single-numa-node", SCOPE: "pod"}, Alignment(policy=NumaPolicy.SINGLE_NUMA_NODE, by_pod=True)),
    ],
)
def test_what_labels_say(labels: dict[str, str], want: Alignment) -> None:
    assert read_alignment(labels) == (want, ())


def test_what_is_said_wrongly_is_told_and_the_kubelets_default_assumed() -> None:
    found, wrong = read_alignment({POLICY: "strict", SCOPE: "Pod"})
    assert found == ANYHOW
    assert wrong == (
        f"label {POLICY} is 'strict'; allowed: none, best-effort, restricted, single-numa-node; none is assumed",
        f"label {SCOPE} is 'Pod'; allowed: container, pod; container is assumed",
    )


def test_a_nodes_record_has_both() -> None:
    raw = json.dumps({"metadata": {"name": "n", "labels": {POLICY: "restricted", SCOPE: "all"}}}).encode()
    node = read_node(raw)[1].node
    assert node.alignment == Alignment(policy=NumaPolicy.RESTRICTED)
    assert level_notes(snapshot([node])) == (
        f"label {SCOPE} is 'all'; allowed: container, pod; container is assumed: n",
    )
