"""What a scenario says of roles has to agree with itself."""

import pytest

from scheduler.simulate.document import ScenarioDoc
from scheduler.simulate.reader import read_scenario
from scheduler.simulate.refusal import Refused

FRAME = """
topology: [{name: rack, label: r}]
nodes: [{name: n, gpus: 8, model: H100, labels: {r: r0}}]
queues: [{name: a, nominal: 8}]
workloads:
  - name: w
    queue: a
    gang: true
    minMember: 3
    pods:
      - {count: 2, gpus: 1, role: worker, minMember: 2, topology: {required: rack}}
      - {count: 1, gpus: 1, role: leader, minMember: 1}
      - {count: 1, gpus: 1, role: worker, minMember: 2, topology: {required: rack}}
"""


def test_the_frame_itself_is_right() -> None:
    doc = read_scenario(FRAME)
    assert isinstance(doc, ScenarioDoc)
    assert doc.workloads[0].role_minimums == {"leader": 1, "worker": 2}
    sums = read_scenario(FRAME.replace("    minMember: 3\n", ""))
    assert isinstance(sums, ScenarioDoc)
    assert sums.workloads[0].least == 3


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "role: leader, ",
            "",
            "workloads[0].pods[1].minMember: only pods of a gang with a role have it; give them a role",
        ),
        (
            "count: 1, gpus: 1, role: worker, minMember: 2",
            "count: 1, gpus: 1, role: worker, minMember: 1",
            "workloads[0].pods[2].role: all pods of the role worker have to say the same minMember and topology",
        ),
        (
            "role: leader, minMember: 1",
            "role: leader, minMember: 4",
            "workloads[0].pods: 4 pods of the role leader are needed, and there are 1",
        ),
        ("    minMember: 3", "    minMember: 2", "workloads[0].minMember: roles need 3 pods, more than minMember, 2"),
        ("required: rack}", "required: row}", "workloads[0].pods[0].topology.required: 'row'; allowed: rack, node"),
    ],
)
def test_what_cannot_be(old: str, new: str, said: str) -> None:
    text = FRAME.replace(old, new, 1)
    assert text != FRAME
    refused = read_scenario(text)
    assert isinstance(refused, Refused), refused
    assert str(refused) == said
