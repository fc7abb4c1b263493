"""Pods and stories as the tests of the demo draw them."""

from typing import Any

from scheduler.demo.fabric import Fabric
from scheduler.demo.story import Promise, Story, Work, WorkName
from scheduler.model.resources import GPU

Json = dict[str, Any]

FABRIC = Fabric(
    rack_of={"a-0": "rack-a", "a-1": "rack-a", "b-0": "rack-b"}, switched={"a-0": True, "a-1": True, "b-0": False}
)


def work(
    promise: Promise | None = None, *, pods: int = 2, per_pod: int = 8, device: str = GPU, gang: bool = True
) -> Work:
    """A workload; by default a gang of two whole nodes."""
    promise = promise or Promise(name=WorkName("team/train"), what="gang", ends="completed")
    team = promise.name.partition("/")[0]
    return Work(promise=promise, manifest={}, team=team, pods=pods, device=device, per_pod=per_pod, gang=gang)


def story(*works: Work) -> Story:
    """A story of these workloads."""
    return Story(time_limit_s=60, teams=(), work={w.name: w for w in works})


def pod(node: str = "", phase: str = "Pending", said: tuple[str, str] | None = None) -> Json:
    """A pod as the API has it; `said` is the reason and message of Bayplan's condition."""
    conditions: list[Json] = [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]
    if said is not None:
        kind = "bayplan.dev/Planned"
        conditions.append({"type": kind, "status": "False", "reason": said[0], "message": said[1]})
    spec = {"nodeName": node} if node else {}
    return {"spec": spec, "status": {"phase": phase, "conditions": conditions}}
