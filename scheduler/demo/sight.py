"""One look at the cluster: how each workload of the story stands now."""

from collections.abc import Mapping, Sequence
from typing import Literal, assert_never

import msgspec

from scheduler.demo.story import Json, Story, Work, WorkName
from scheduler.localcluster.api import Api

State = Literal["expected", "waiting", "starting", "running", "completed"]
"""Not submitted yet; no pod has a node; some have; all have; all have succeeded."""

_CONDITION = "bayplan.dev/Planned"


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """A workload at one moment. `reason` and `message` say why it waits, "" where nothing is said."""

    state: State
    placed: int = 0
    nodes: tuple[str, ...] = ()
    reason: str = ""
    message: str = ""


UNSEEN = Sight(state="expected")


def look(api: Api, story: Story) -> Mapping[WorkName, Sight]:
    """How everything stands.

    Raises:
        ApiError: the API server did not answer.
    """
    pods: dict[WorkName, list[Json]] = {name: [] for name in story.work}
    for team in story.namespaces:
        for pod in api.get(f"/api/v1/namespaces/{team}/pods")["items"]:
            name = WorkName(f"{team}/{pod['metadata']['labels'].get('app', '')}")
            if name in pods:
                pods[name].append(pod)
    return {name: judge(work, pods[name]) for name, work in story.work.items()}


def judge(work: Work, pods: Sequence[Json]) -> Sight:
    """How a workload with these pods stands."""
    placed = [pod for pod in pods if pod["spec"].get("nodeName")]
    succeeded = sum(pod.get("status", {}).get("phase") == "Succeeded" for pod in pods)
    nodes = tuple(sorted({pod["spec"]["nodeName"] for pod in placed}, key=_by_number))
    state = _state(work, len(pods), len(placed), succeeded)
    match state:
        case "expected" | "running" | "completed":
            reason, message = "", ""
        case "waiting" | "starting":
            reason, message = next((said for pod in pods if (said := _said(pod)) != ("", "")), ("", ""))
        case _:
            assert_never(state)
    return Sight(state=state, placed=len(placed), nodes=nodes, reason=reason, message=message)


def _state(work: Work, pods: int, placed: int, succeeded: int) -> State:
    if succeeded >= work.pods:
        return "completed"
    if placed >= work.pods:
        return "running"
    if placed:
        return "starting"
    return "waiting" if pods else "expected"


def _said(pod: Json) -> tuple[str, str]:
    conditions: Sequence[Json] = pod.get("status", {}).get("conditions", ())
    for condition in conditions:
        if condition["type"] == _CONDITION and condition["status"] == "False":
            return condition.get("reason", ""), condition.get("message", "")
    return "", ""


def _by_number(node: str) -> tuple[str, int]:
    group, _, index = node.rpartition("-")
    return (group, int(index)) if index.isdecimal() else (node, 0)
