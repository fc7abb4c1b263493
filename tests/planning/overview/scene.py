"""A cluster of three teams: one borrows, one lends, one waits for what only one model has."""

from scheduler.model.snapshot import Snapshot
from scheduler.simulate.document import ScenarioDoc
from scheduler.simulate.reader import read_scenario
from scheduler.simulate.start import at_start

TEAMS = """
name: teams
nodes: [{name: h, count: 4, gpus: 8, model: H100}, {name: x, gpus: 8, model: A100}]
queues:
  - {name: org}
  - {name: vision, parent: org, nominal: 16, flavors: {H100: {nominal: 16}}, weight: 2}
  - {name: nlp, parent: org, nominal: 16, lendingLimit: 8, flavors: {H100: {nominal: 8}, A100: {nominal: 8}}}
  - {name: alone, nominal: 0, borrowingLimit: 8}
workloads:
  - name: train
    queue: vision
    gang: true
    started: -7000
    priority: 10
    pods: [{count: 2, gpus: 8, nodes: [h-0, h-1]}]
  - {name: fixed, queue: vision, preemptible: false, started: -70, pods: [{gpus: 2, nodes: [h-2]}]}
  - {name: extra, queue: vision, started: -80, pods: [{count: 2, gpus: 1, nodes: [h-2, h-2]}]}
  - {name: bert, queue: nlp, started: -70, pods: [{gpus: 4, nodes: [x]}]}
  - {name: big, queue: vision, gang: true, submitted: -700, pods: [{count: 5, gpus: 8, model: H100}]}
  - {name: any, queue: nlp, submitted: -600, pods: [{gpus: 16}]}
  - {name: grows, queue: nlp, gang: true, minMember: 1, started: -50, pods: [{count: 2, gpus: 2, nodes: [x, null]}]}
"""


def teams() -> tuple[Snapshot, int]:
    doc = read_scenario(TEAMS)
    assert isinstance(doc, ScenarioDoc), doc
    return at_start(doc)
