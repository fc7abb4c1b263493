"""Keys of the format that are not honoured are refused by name with the reason; harmless values of them are not."""

import pytest

from scheduler.simulate.document import ScenarioDoc
from scheduler.simulate.reader import read_scenario
from scheduler.simulate.refusal import Refused

FRAME = """
nodes: [{name: n, gpus: 8, model: H100-80GB, NODE}]
queues: [{name: org}, {name: a, QUEUE}]
workloads: [{name: w, queue: a, WORKLOAD, pods: [{count: 2, gpus: 1, PODS}]}]
"""
HARMLESS = {"NODE": "cpu: 8", "QUEUE": "nominal: 8", "WORKLOAD": "gang: true", "PODS": "cpu: 1"}


def fill(where: str, text: str) -> str:
    filled = FRAME
    for place, harmless in HARMLESS.items():
        filled = filled.replace(place, text if place == where else harmless)
    return filled


@pytest.mark.parametrize(
    ("where", "text", "key"),
    [
        ("QUEUE", "flavors: {80GB: {nominal: 8}}", "queues[1].flavors.80GB"),
        ("WORKLOAD", "topology: {required: node}", "workloads[0].topology.required"),
        ("WORKLOAD", "topology: {preferred: node}", "workloads[0].topology.preferred"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(where: str, text: str, key: str) -> None:
    read = read_scenario(fill(where, text))
    assert isinstance(read, Refused), read
    assert read.where == key
    assert "not supported" in read.why


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("NODE", "mig: false"),
        ("NODE", "mig: []"),
        ("NODE", "mig: [{device: 0, profile: 1g.10gb, start: 0}]"),
        ("PODS", "share: 0.5"),
        ("PODS", "mig: 1g.10gb"),
        ("NODE", "machine: dgx-a100"),
        ("WORKLOAD", "linked: required"),
        ("WORKLOAD", "linked: preferred"),
        (
            "QUEUE",
            "weight: 2, priority: 1, minRuntime: 60, borrowingLimit: 0, flavors: {H200: {nominal: 8}, H100-80GB: {}}",
        ),
        ("QUEUE", "parent: org, lendingLimit: 0, flavors: {H200: {lendingLimit: 8}}"),
        ("QUEUE", "order: StrictFIFO, userLimit: 0, cpu: {nominal: 8}, memoryGiB: {borrowingLimit: 0}"),
        ("WORKLOAD", "user: ann"),
        ("WORKLOAD", "gang: true, minMember: 1"),
        ("WORKLOAD", "minMember: 1"),
        ("WORKLOAD", "minMember: 2"),
        ("WORKLOAD", "minMember: 3"),
        ("WORKLOAD", "gang: true, topology: {required: node}"),
        ("WORKLOAD", "preemptible: true, duration: 60, priority: -5"),
        ("PODS", "share: 1, mig: null, role: worker, model: [H100, H200]"),
    ],
)
def test_what_changes_nothing_is_accepted(where: str, text: str) -> None:
    assert isinstance(read_scenario(fill(where, text)), ScenarioDoc)
