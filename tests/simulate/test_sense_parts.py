"""What a scenario says of slices and parts of GPUs, and cannot be, is refused in one sentence."""

import pytest

from scheduler.simulate.document import ScenarioDoc
from scheduler.simulate.reader import read_scenario
from scheduler.simulate.refusal import Refused

FRAME = """
nodes: [{{name: n, gpus: 2, model: {model}, mig: {mig}}}]
workloads: [{{name: w, pods: [{{{pods}}}]}}]
"""


def read(*, model: str = "A100-80GB", mig: str = "true", pods: str = "gpus: 1") -> ScenarioDoc | Refused:
    return read_scenario(FRAME.format(model=model, mig=mig, pods=pods))


@pytest.mark.parametrize(
    ("given", "where", "why"),
    [
        pytest.param(
            {"model": "L40S"},
            "nodes[0].mig",
            "the model 'L40S' cannot be divided; allowed: A100-40GB, A100-80GB, A30-24GB, B200-180GB, B300, GB200, "
            "GB300, H100-80GB, H100-NVL-94GB, H200-141GB, RTX-PRO-6000-96GB",
            id="a model without MIG",
        ),
        pytest.param(
            {"mig": "[{device: 0, profile: 1g.5gb, start: 0}]"},
            "nodes[0].mig[0].profile",
            "'1g.5gb'; allowed: 7g.80gb, 4g.40gb, 3g.40gb, 2g.20gb, 1g.20gb, 1g.10gb, 1g.10gb+me",
            id="a profile of another model",
        ),
        pytest.param(
            {"mig": "[{device: 2, profile: 1g.10gb, start: 0}]"},
            "nodes[0].mig[0].device",
            "device 2 of a node with 2 GPUs; the first is 0",
            id="a device that is not there",
        ),
        pytest.param(
            {"mig": "[{device: 1, profile: 3g.40gb, start: 2}]"},
            "nodes[0].mig",
            "device 1: a slice 3g.40gb may not begin at 2",
            id="a start that is not allowed",
        ),
        pytest.param(
            {"mig": "[{device: 1, profile: 3g.40gb, start: 0}, {device: 1, profile: 1g.10gb, start: 3}]"},
            "nodes[0].mig",
            "device 1: memory unit 3 is given to 2 slices",
            id="two instances on one place",
        ),
        pytest.param(
            {"pods": "mig: 9g.10gb"}, "workloads[0].pods[0].mig", "'9g.10gb'; allowed: ", id="a profile of no model"
        ),
        pytest.param(
            {"pods": "mig: 1g.10gb, share: 0.5"},
            "workloads[0].pods[0].share",
            "0.5 beside mig; a slice is had whole",
            id="a part of a slice",
        ),
        pytest.param(
            {"pods": "share: 0.5"},
            "workloads[0].pods[0].share",
            "0.5 of 0 gpus; say of how many with gpus",
            id="a part of nothing",
        ),
        pytest.param(
            {"pods": "count: 5, mig: 3g.40gb, nodes: [n, n, n, n, n]"},
            "workloads[0].pods[0].nodes",
            "more 3g.40gb slices than n can give beside what runs there",
            id="more slices than there are places",
        ),
        pytest.param(
            {"mig": "false", "pods": "mig: 3g.40gb, nodes: [n]"},
            "workloads[0].pods[0].nodes",
            "more 3g.40gb slices than n can give beside what runs there",
            id="slices of a node that makes none",
        ),
        pytest.param(
            {"pods": "count: 3, gpus: 1, share: 0.6, nodes: [n, n, n]"},
            "workloads[0].pods[0].nodes",
            "more GPUs or parts of them than n can give beside what runs there",
            id="parts that fit in sum only",
        ),
        pytest.param(
            {"pods": "gpus: 2, share: 1.5"}, "workloads[0].pods[0].share", "1.5; allowed: ", id="more than a whole"
        ),
        pytest.param(
            {"pods": "gpus: 2, share: 0.0001"}, "workloads[0].pods[0].share", "0.0001; allowed: ", id="next to nothing"
        ),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, str], where: str, why: str) -> None:
    refused = read(**given)
    assert isinstance(refused, Refused), refused
    assert refused.where == where
    assert refused.why.startswith(why)


@pytest.mark.parametrize(
    "given",
    [
        {"mig": "[]"},
        {"mig": "false", "model": "L40S"},
        {"pods": "mig: 1g.10gb, gpus: 3"},
        {"pods": "mig: 1g.10gb.me"},
        {"pods": "count: 4, mig: 3g.40gb, nodes: [n, n, n, null]"},
        {"pods": "count: 2, gpus: 2, share: 0.5, nodes: [n, n]"},
    ],
)
def test_what_can_be_is_read(given: dict[str, str]) -> None:
    assert isinstance(read(**given), ScenarioDoc), read(**given)
