"""Talking to the API server as somebody: the service, a kube-scheduler, a user of a team."""

from pathlib import Path
from typing import Any

from scheduler.localcluster.api import Api, Json

SERVICE = "system:serviceaccount:bayplan-system:bayplan"
OWN_SCHEDULER = "system:serviceaccount:bayplan-system:bayplan-kube-scheduler"
CLUSTER_SCHEDULER = "system:kube-scheduler"

STRATEGIC = "application/strategic-merge-patch+json"


class Somebody(Api):
    """The admin of a kubeconfig speaking for `user`, with that user's rights, and the rights of `group` if given."""

    def __init__(self, kubeconfig: Path, user: str, group: str = "") -> None:
        super().__init__(kubeconfig)
        self._headers["Impersonate-User"] = user
        if group:
            self._headers["Impersonate-Group"] = group


class Reader(Api):
    """Reads lists as `kubectl get` shows them."""

    def __init__(self, kubeconfig: Path) -> None:
        super().__init__(kubeconfig)
        self._headers["Accept"] = "application/json;as=Table;v=v1;g=meta.k8s.io"

    def rows(self, path: str) -> list[dict[str, Any]]:
        """Each row of the list at `path`, by column name."""
        table = self.get(path)
        names = [c["name"] for c in table["columnDefinitions"]]
        return [dict(zip(names, row["cells"], strict=True)) for row in table["rows"]]


def pod(
    name: str, *, scheduler: str = "bayplan", gpus: int = 0, labels: dict[str, str] | None = None, **spec: object
) -> Json:
    """A pod of one container; `gpus` of 0 asks for none."""
    container: Json = {"name": "main", "image": "trainer:1"}
    if gpus:
        container["resources"] = {"limits": {"nvidia.com/gpu": gpus}}
    metadata: Json = {"name": name}
    if labels is not None:
        metadata["labels"] = labels
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"schedulerName": scheduler, "containers": [container], **spec},
    }


def gates(obj: Json) -> list[str]:
    """Names of the scheduling gates of a pod."""
    return [g["name"] for g in obj["spec"].get("schedulingGates", [])]


def claim(name: str, device_class: str, *, alternative: bool = False) -> Json:
    exactly = {"deviceClassName": device_class, "count": 1}
    request: Json = {"name": "r", "exactly": exactly}
    if alternative:
        request = {"name": "r", "firstAvailable": [{"name": "a", **exactly}]}
    kind = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": name}}
    return {**kind, "spec": {"devices": {"requests": [request]}}}
