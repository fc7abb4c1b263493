"""Scenarios whose parts contradict each other are refused at the place of the contradiction."""

import pytest

from scheduler.model.policy import POLICY_NAMES
from scheduler.simulate.document import ScenarioDoc
from scheduler.simulate.reader import read_scenario
from scheduler.simulate.refusal import Refused

FRAME = """
topology: [{name: rack, label: r}]
nodes:
  - {name: n, count: 2, gpus: 4, model: H100, cpu: 8, memoryGiB: 16, labels: {r: r0}, unhealthy: [3]}
  - {name: plain}
queues: [{name: a, nominal: 8}]
workloads:
  - {name: w, queue: a, started: -5, pods: [{count: 2, gpus: 2, cpu: 4, memoryGiB: 8, nodes: [n-0, null]}]}
"""


def test_the_frame_itself_is_right() -> None:
    assert isinstance(read_scenario(FRAME), ScenarioDoc)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: plain", "name: n-1", "nodes: the name 'n-1' is given 2 times"),
        ("name: rack", "name: node", "topology: the name 'node' is given 2 times"),
        ("[{name: a, nominal: 8}]", "[{name: a}, {name: a}]", "queues: the name 'a' is given 2 times"),
        ("unhealthy: [3]", "unhealthy: [4]", "nodes[0].unhealthy: device 4 of a node with 4 GPUs; the first is 0"),
        ("unhealthy: [3]", "suspect: [9]", "nodes[0].suspect: device 9 of a node with 4 GPUs; the first is 0"),
        ("nominal: 8", "policy: Best", f"queues[0].policy: 'Best'; allowed: {POLICY_NAMES}"),
        ("queue: a,", "queue: a, policy: Best,", f"workloads[0].policy: 'Best'; allowed: {POLICY_NAMES}"),
        ("nominal: 8", "parent: org", "queues[0].parent: there is no queue 'org'"),
        (
            "queue: a,",
            "queue: a, topology: {required: row},",
            "workloads[0].topology.required: 'row'; allowed: rack, node",
        ),
        (
            "[n-0, null]",
            "[n-0]",
            "workloads[0].pods[0].nodes: 1 nodes for 2 pods; give one for each, null where it is pending",
        ),
        (
            "gpus: 2, cpu: 4, memoryGiB: 8, nodes: [n-0, null]}]",
            "gpus: 2, share: 0.5}], linked: required",
            "workloads[0].linked: 'required', and MIG slices and parts of GPUs (pods[0]) are never connected by NVLink",
        ),
        ("[n-0, null]", "[n-0, n-2]", "workloads[0].pods[0].nodes: there is no node 'n-2'"),
        ("[n-0, null]", "[null, null]", "workloads[0].started: none of its pods has a node"),
        ("started: -5", "checkpointed: -5", ""),
        (
            "started: -5, pods: [{count: 2, gpus: 2, cpu: 4, memoryGiB: 8, nodes: [n-0, null]}]",
            "checkpointed: -5, pods: [{count: 2, gpus: 2}]",
            "workloads[0].checkpointed: none of its pods has a node",
        ),
        (
            "nominal: 8",
            "flavors: {memory: {nominal: 8}}",
            "queues[0].flavors: 'memory' is no GPU model or MIG profile; write queues[0].memoryGiB",
        ),
        ("gpus: 2,", "gpus: 3, model: A100,", "workloads[0].pods[0].nodes: n-0 has H100, not A100"),
        ("[n-0, null]", "[n-0, plain]", "workloads[0].pods[0].nodes: more than the 0 GPUs of plain"),
        (
            "gpus: 2, cpu: 4, memoryGiB: 8, nodes: [n-0, null]",
            "cpu: 5, nodes: [n-0, n-0]",
            "workloads[0].pods[0].nodes: more than the 8 cores of n-0",
        ),
        (
            "gpus: 2, cpu: 4, memoryGiB: 8, nodes: [n-0, null]",
            "memoryGiB: 9, nodes: [n-0, n-0]",
            "workloads[0].pods[0].nodes: more than the 16 GiB of memory of n-0",
        ),
        ("count: 2, gpus: 4", "count: 99999, gpus: 4", ""),
        ("name: plain", "name: plain, count: 99999", "nodes: 100001 nodes or pods; at most 100000 are simulated"),
    ],
)
@pytest.mark.long
def test_contradictions_are_refused(old: str, new: str, said: str) -> None:
    assert old in FRAME
    read = read_scenario(FRAME.replace(old, new, 1))
    assert (str(read) if isinstance(read, Refused) else "") == said
