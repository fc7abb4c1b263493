"""What cannot be planned says so on the pod, in an event and in `bayplan explain`, and holds up nobody else."""

from collections.abc import Mapping

import msgspec
import pytest

from scheduler.localcluster.api import Json
from tests.cluster.harness.cli import bayplan
from tests.cluster.harness.lab import Lab
from tests.cluster.harness.objects import noted, pod

pytestmark = pytest.mark.cluster


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """Pods that cannot be planned. `quoted` and the beginning of the advice stand in all that people are told."""

    pods: list[Json]
    reason: str
    quoted: str
    advice: str = "Correct "


def annotated(key: str, value: str) -> list[Json]:
    return [noted(pod("wrong", gpus=1), {f"bayplan.dev/{key}": value})]


def sized(*sizes: str) -> list[Json]:
    return [
        noted(pod(f"wrong-{i}" if i else "wrong", gpus=1, gang="team"), {"bayplan.dev/gang-size": size})
        for i, size in enumerate(sizes)
    ]


MISTAKES: Mapping[str, Mistake] = {
    "a gang size in words": Mistake(pods=sized("four"), reason="InvalidRequest", quoted="'four'"),
    "a gang size of nothing": Mistake(pods=sized("0"), reason="InvalidRequest", quoted="'0'"),
    "members that disagree on their gang's size": Mistake(pods=sized("2", "3"), reason="InvalidRequest", quoted="3"),
    "a gang without a size": Mistake(
        pods=[pod("wrong", gpus=1, gang="team")], reason="InvalidRequest", quoted="bayplan.dev/gang-size"
    ),
    "a link that is no link": Mistake(pods=annotated("linked", "yes"), reason="InvalidRequest", quoted="'yes'"),
    "a duration that is none": Mistake(pods=annotated("duration", "soon"), reason="InvalidRequest", quoted="'soon'"),
    "a topology level that nobody knows": Mistake(
        pods=annotated("topology-required", "shelf"), reason="InvalidRequest", quoted="'shelf'"
    ),
    "a GPU model that no node has": Mistake(
        pods=annotated("gpu-model", "NVIDIA-H900"), reason="NoNodeMatches", quoted="NVIDIA-H900", advice="Accept other "
    ),
    "a queue that is not there": Mistake(
        pods=[pod("wrong", gpus=1, queue="nowhere")],
        reason="QueueMissing",
        quoted="'nowhere'",
        advice="Create the Queue",
    ),
    "members that never arrive": Mistake(
        pods=sized("3", "3"), reason="GangIncomplete", quoted="3", advice="Create the gang's missing pods"
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_value_is_quoted_with_what_to_do_and_others_go_on(lab: Lab, mistake: str) -> None:
    made = MISTAKES[mistake]
    lab.h100(1)
    replica = lab.start_service()
    lab.create(*made.pods)
    lab.create(pod("right", gpus=1))
    lab.bound_whole("right", 1)
    lab.eventually("the pod is told", lambda: (lab.told("wrong") or ("",))[0] == made.reason)
    lab.eventually("an event tells it", lambda: notes(lab, made))
    lab.check()
    assert set(lab.bound()) == {"right"}
    (note,) = notes(lab, made)
    of_cluster = bayplan("explain", "wrong", "-n", "default", "--kubeconfig", str(lab.cluster.kubeconfig()))
    of_service = bayplan("explain", "wrong", "-n", "default", "--server", replica.grpc_address)
    for text in (note, of_cluster, of_service):
        assert made.quoted in text
        assert made.advice.lower() in text.lower()


def notes(lab: Lab, made: Mistake) -> list[str]:
    """What the events of the mistaken pods say."""
    names = [p["metadata"]["name"] for p in made.pods]
    return sorted({e["note"] for name in names for e in lab.events(name) if e["reason"] == made.reason})


def test_a_pod_beyond_the_size_of_its_gang_is_told_and_the_gang_goes_on(lab: Lab) -> None:
    lab.h100(1)
    lab.start_service()
    first, second, third = sized("2", "2", "2")
    lab.create(first, second)
    lab.bound_whole("wrong", 2)
    lab.create(third)
    lab.eventually("the pod is told", lambda: lab.told("wrong-2"))
    reason, message = lab.told("wrong-2") or ("", "")
    assert reason == "InvalidRequest"
    assert "'3'" in message
    assert set(lab.bound()) == {"wrong", "wrong-1"}


def test_a_mistake_put_right_starts_the_gang(lab: Lab) -> None:
    lab.h100(1)
    lab.start_service()
    lab.create(*sized("two", "two"))
    lab.eventually("the pod is told", lambda: lab.told("wrong"))
    for name in ("wrong", "wrong-1"):
        patch = {"metadata": {"annotations": {"bayplan.dev/gang-size": "2"}}}
        lab.api.merge(f"/api/v1/namespaces/default/pods/{name}", patch)
    lab.bound_whole("wrong", 2)
    lab.eventually("it is told", lambda: lab.told("wrong") is not None and (lab.told("wrong") or ("",))[0] == "Planned")
    lab.check()
