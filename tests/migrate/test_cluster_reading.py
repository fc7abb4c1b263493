"""What a cluster holds, by an API server that has some of the kinds."""

import asyncio
import json
from pathlib import Path

import pytest

from scheduler.kube.api import ApiRefusedError
from scheduler.migrate.cluster import manifests_in
from tests.kube.scripted import Asked, ScriptedServer, answer, client_of

ANSWERS: dict[str, object] = {
    "/apis": {
        "groups": [
            {"name": "kueue.x-k8s.io", "preferredVersion": {"groupVersion": "kueue.x-k8s.io/v1beta2"}},
            {"name": "batch", "preferredVersion": {"groupVersion": "batch/v1"}},
            {
                "name": "scheduling.k8s.io",
                "versions": [{"groupVersion": f"scheduling.k8s.io/{version}"} for version in ("v1", "v1alpha2")],
                "preferredVersion": {"groupVersion": "scheduling.k8s.io/v1"},
            },
        ]
    },
    "/apis/kueue.x-k8s.io/v1beta2": {
        "resources": [
            {"name": "clusterqueues/status", "kind": "ClusterQueue"},
            {"name": "clusterqueues", "kind": "ClusterQueue"},
            {"name": "cohorts", "kind": "Cohort"},
        ]
    },
    "/apis/batch/v1": {"resources": [{"name": "jobs", "kind": "Job"}]},
    "/apis/scheduling.k8s.io/v1": {"resources": [{"name": "priorityclasses", "kind": "PriorityClass"}]},
    "/apis/scheduling.k8s.io/v1alpha2": {"resources": [{"name": "podgroups", "kind": "PodGroup"}]},
    "/apis/scheduling.k8s.io/v1alpha2/podgroups?limit=500": {"items": [{"metadata": {"name": "native"}}]},
    "/api/v1": {"resources": [{"name": "pods", "kind": "Pod"}, {"name": "configmaps", "kind": "ConfigMap"}]},
    "/apis/kueue.x-k8s.io/v1beta2/clusterqueues?limit=500": {
        "metadata": {"continue": "more"},
        "items": [{"metadata": {"name": "first"}}],
    },
    "/apis/kueue.x-k8s.io/v1beta2/clusterqueues?limit=500&continue=more": {"items": [{"metadata": {"name": "second"}}]},
    "/apis/batch/v1/jobs?limit=500": {"items": None},
    "/api/v1/pods?limit=500": {
        "items": [
            {"metadata": {"name": "bare"}},
            {"metadata": {"name": "owned", "ownerReferences": [{"kind": "Job", "controller": True}]}},
        ]
    },
    "/api/v1/configmaps?fieldSelector=metadata.name%3Dyunikorn-configs&limit=500": {"items": []},
}
FORBIDDEN = "/apis/kueue.x-k8s.io/v1beta2/cohorts?limit=500"


async def serve(asked: Asked, writer: asyncio.StreamWriter) -> None:
    if asked.target == FORBIDDEN:
        writer.write(answer(b'{"reason":"Forbidden","message":"no"}', "403 Forbidden"))
    elif asked.target in ANSWERS:
        writer.write(answer(json.dumps(ANSWERS[asked.target]).encode()))
    else:
        writer.write(answer(b'{"reason":"NotFound","message":"no"}', "404 Not Found"))


async def test_kinds_are_found_and_listed_page_by_page(tmp_path: Path) -> None:
    async with ScriptedServer(serve).running() as server, client_of(server, tmp_path) as api:
        manifests, forbidden = await manifests_in(api)
    assert [(m.group, m.kind, m.name) for m in manifests] == [
        ("", "Pod", "bare"),
        ("kueue.x-k8s.io", "ClusterQueue", "first"),
        ("kueue.x-k8s.io", "ClusterQueue", "second"),
        ("scheduling.k8s.io", "PodGroup", "native"),
    ]
    assert manifests[1].body["apiVersion"] == "kueue.x-k8s.io/v1beta2"
    assert forbidden == ["cohorts.kueue.x-k8s.io"]


async def test_a_failure_is_one(tmp_path: Path) -> None:
    async def broken(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"down", "500 Internal Server Error"))

    async with ScriptedServer(broken).running() as server, client_of(server, tmp_path) as api:
        with pytest.raises(ApiRefusedError, match="down"):
            await manifests_in(api)
