"""Pods as the API server sends them."""

import json
from collections.abc import Mapping
from typing import cast

from scheduler.kube.translate_pod import PodReader
from scheduler.model.workload import Pod
from scheduler.state.events import PodSeen

READER = PodReader("bayplan")
GPU_CONTAINER = {"name": "main", "resources": {"requests": {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "1"}}}


Document = Mapping[str, object]


def raw(**parts: object) -> bytes:
    """A pod of ours that asks for a GPU, with a field nobody reads; `parts` are of its spec, `meta` and `status`."""
    meta, status = cast("Document", parts.pop("meta", {})), cast("Document", parts.pop("status", {}))
    plain = {"name": "p", "namespace": "a", "uid": "u", "managedFields": [{"fieldsV1": {"f": 1}}]}
    return json.dumps(
        {
            "metadata": {**plain, **meta},
            "spec": {"schedulerName": "bayplan", "containers": [GPU_CONTAINER], **parts},
            "status": {"phase": "Pending", **status},
        }
    ).encode()


def read(**parts: object) -> Pod:
    _, event = READER.read(raw(**parts))
    assert isinstance(event, PodSeen)
    return event.pod


def annotated(annotations: Mapping[str, str], labels: Mapping[str, str] | None = None) -> Pod:
    return read(meta={"annotations": dict(annotations), "labels": dict(labels or {})})
