"""Pods, Jobs and queues as people write them."""

from collections.abc import Sequence
from copy import deepcopy

from scheduler.localcluster.api import Json

GATE = "bayplan.dev/plan"
GANG = "bayplan.dev/gang"
SIZE = "bayplan.dev/gang-size"
QUEUE = "bayplan.dev/queue"
GPU = "nvidia.com/gpu"


def pod(
    name: str,
    *,
    gpus: int = 0,
    gang: str | None = None,
    size: int | None = None,
    queue: str | None = None,
    **spec: object,
) -> Json:
    """A pod of schedulerName bayplan; `spec` replaces or adds fields of the pod's spec."""
    made = template(gpus=gpus, gang=gang, size=size, queue=queue)
    made["metadata"]["name"] = name
    made["spec"] |= spec
    return {"apiVersion": "v1", "kind": "Pod", **made}


def template(*, gpus: int = 0, gang: str | None = None, size: int | None = None, queue: str | None = None) -> Json:
    """The same without a name, as it stands in a Job."""
    labels = {GANG: gang, QUEUE: queue}
    amounts = {"cpu": "100m", "memory": "64Mi", **({GPU: str(gpus)} if gpus else {})}
    return {
        "metadata": {
            "labels": {key: value for key, value in labels.items() if value is not None},
            "annotations": {} if size is None else {SIZE: str(size)},
        },
        "spec": {
            "schedulerName": "bayplan",
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": "none", "resources": {"requests": amounts, "limits": amounts}}],
        },
    }


def asking(made: Json, amounts: dict[str, str]) -> Json:
    """The same pod or template with more requests, or others."""
    changed = deepcopy(made)
    resources = changed["spec"]["containers"][0]["resources"]
    resources["requests"] |= amounts
    resources["limits"] |= amounts
    return changed


def noted(made: Json, annotations: dict[str, str] | None = None, labels: dict[str, str] | None = None) -> Json:
    """The same object with more annotations and labels."""
    changed = deepcopy(made)
    changed["metadata"].setdefault("annotations", {}).update(annotations or {})
    changed["metadata"].setdefault("labels", {}).update(labels or {})
    return changed


def gang_pods(gang: str, *, pods: int, gpus: int = 8, queue: str | None = None) -> list[Json]:
    """The pods of a gang without a Job above them, named GANG-0, GANG-1, …"""
    return [pod(f"{gang}-{i}", gpus=gpus, gang=gang, size=pods, queue=queue) for i in range(pods)]


def job(name: str, made_from: Json, *, pods: int = 1, indexed: bool = True) -> Json:
    """A Job that runs so many pods at once."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "completionMode": "Indexed" if indexed else "NonIndexed",
            "completions": pods,
            "parallelism": pods,
            "backoffLimit": 100,
            "template": made_from,
        },
    }


def gang_job(name: str, *, pods: int = 4, gpus: int = 8, queue: str | None = None) -> Json:
    """An Indexed Job whose pods are one gang, marked on the template."""
    return job(name, template(gpus=gpus, gang=name, queue=queue), pods=pods)


def queue(name: str, *, nominal: int, borrowing: int | None = 0, namespaces: Sequence[str] = ()) -> Json:
    """A queue of so many GPUs; `borrowing` None is no limit."""
    spec: Json = {"nominal": nominal, "namespaces": list(namespaces)}
    if borrowing is not None:
        spec["borrowingLimit"] = borrowing
    return {"apiVersion": "bayplan.dev/v1alpha1", "kind": "Queue", "metadata": {"name": name}, "spec": spec}


def gates(made: Json) -> list[str]:
    """The names of the scheduling gates on a pod."""
    return [gate["name"] for gate in made["spec"].get("schedulingGates", ())]


def condition(made: Json, kind: str) -> Json | None:
    """The condition of this type on a pod."""
    return next((c for c in made.get("status", {}).get("conditions", ()) if c["type"] == kind), None)


def foreign_pod(name: str, *, node: str, gpus: int = 8) -> Json:
    """A pod that the default scheduler puts on `node`."""
    return pod(name, gpus=gpus, schedulerName="default-scheduler", nodeSelector={"kubernetes.io/hostname": node})
