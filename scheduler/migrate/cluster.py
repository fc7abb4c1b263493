"""What a cluster holds of other schedulers' queues and of work, found through discovery: no kind has to be there."""

from collections.abc import Sequence
from typing import cast

import msgspec

from scheduler.kube.api import ApiClient, ApiRefusedError
from scheduler.migrate.records import Manifest, Value, mapping_of, text_of

PAGE_OBJECTS = 500
FORBIDDEN = 403

QUEUES = (
    ("scheduling.run.ai", "Queue"),
    ("scheduling.volcano.sh", "Queue"),
    ("kueue.x-k8s.io", "ClusterQueue"),
    ("kueue.x-k8s.io", "Cohort"),
    ("kueue.x-k8s.io", "LocalQueue"),
    ("kueue.x-k8s.io", "ResourceFlavor"),
    ("scheduling.x-k8s.io", "ElasticQuota"),
    ("scheduling.sigs.k8s.io", "ElasticQuota"),
)
"""Groups and kinds of queues."""

WORK = (
    ("batch", "Job"),
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("batch.volcano.sh", "Job"),
    ("kubeflow.org", "PyTorchJob"),
    ("kubeflow.org", "TFJob"),
    ("kubeflow.org", "MPIJob"),
    ("kubeflow.org", "JAXJob"),
    ("kubeflow.org", "XGBoostJob"),
    ("kubeflow.org", "PaddleJob"),
    ("trainer.kubeflow.org", "TrainJob"),
    ("jobset.x-k8s.io", "JobSet"),
    ("ray.io", "RayCluster"),
    ("ray.io", "RayJob"),
    ("ray.io", "RayService"),
    ("leaderworkerset.x-k8s.io", "LeaderWorkerSet"),
    ("argoproj.io", "Workflow"),
    ("", "Pod"),
)
"""Groups and kinds of work; what another object owns is looked at there."""

GANGS = (
    ("scheduling.k8s.io", "PodGroup"),
    ("scheduling.k8s.io", "Workload"),
    ("scheduling.x-k8s.io", "PodGroup"),
    ("scheduling.sigs.k8s.io", "PodGroup"),
    ("scheduling.volcano.sh", "PodGroup"),
    ("scheduling.run.ai", "PodGroup"),
    ("scheduler.grove.io", "PodGang"),
)
"""Groups and kinds of objects that describe gangs; those that controllers make are left out."""

YUNIKORN = "yunikorn-configs"

WANTED = frozenset((*QUEUES, *WORK, *GANGS, ("", "ConfigMap")))


async def manifests_in(api: ApiClient) -> tuple[list[Manifest], list[str]]:
    """All manifests of these kinds, and the kinds that may not be listed.

    Raises:
        ApiUnreachableError, ApiRefusedError: as of a request.
    """
    groups = await _groups(api)
    found: list[Manifest] = []
    forbidden: list[str] = []
    for group in sorted({group for group, _ in WANTED}):
        read: set[str] = set()
        for path, plural, kind in [(at, *one) for at in groups.get(group, ()) for one in await _served(api, at)]:
            # A kind may be in another version of its group than the preferred one alone.
            if (group, kind) not in WANTED or kind in read:
                continue
            read.add(kind)
            query = {"fieldSelector": f"metadata.name={YUNIKORN}"} if kind == "ConfigMap" else {}
            try:
                items = await _listed(api, f"{path}/{plural}", query)
            except ApiRefusedError as err:
                if err.status != FORBIDDEN:
                    raise
                forbidden.append(f"{plural}.{group}" if group else plural)
                continue
            version = str(path).removeprefix("/apis/").removeprefix("/api/")
            said: dict[str, Value] = {"apiVersion": version, "kind": kind}
            found += [Manifest(where="the cluster", body={**item, **said}) for item in items if not _owned(item)]
    return found, forbidden


async def _groups(api: ApiClient) -> dict[str, list[str]]:
    """Where each group's versions are, the preferred one first; the core group is the empty one."""
    answer = _decoded((await api.request("GET", "/apis")).body)
    groups = answer.get("groups")
    found = {"": ["/api/v1"]}
    for group in groups if isinstance(groups, list) else ():
        entry = mapping_of(group)
        versions = entry.get("versions")
        listed = [mapping_of(version) for version in versions] if isinstance(versions, list) else []
        named = [text_of(one.get("groupVersion")) for one in (mapping_of(entry.get("preferredVersion")), *listed)]
        found[text_of(entry.get("name"))] = [f"/apis/{version}" for version in dict.fromkeys(named) if version]
    return found


async def _served(api: ApiClient, path: str) -> list[tuple[str, str]]:
    """The kinds of a group's version, each with what it is called in paths."""
    resources = _decoded((await api.request("GET", path)).body).get("resources")
    entries = [mapping_of(resource) for resource in resources] if isinstance(resources, list) else []
    named = [(text_of(entry.get("name")), text_of(entry.get("kind"))) for entry in entries]
    return [(name, kind) for name, kind in named if "/" not in name]


async def _listed(api: ApiClient, path: str, query: dict[str, str]) -> Sequence[dict[str, Value]]:
    found: list[dict[str, Value]] = []
    query = {**query, "limit": str(PAGE_OBJECTS)}
    while True:
        page = _decoded((await api.request("GET", path, query=query)).body)
        items = page.get("items")
        found += [mapping_of(item) for item in items] if isinstance(items, list) else []
        more = text_of(mapping_of(page.get("metadata")).get("continue"))
        if not more:
            return found
        query["continue"] = more


def _owned(item: dict[str, Value]) -> bool:
    owners = mapping_of(item.get("metadata")).get("ownerReferences")
    return isinstance(owners, list) and any(mapping_of(owner).get("controller") is True for owner in owners)


def _decoded(body: bytes) -> dict[str, Value]:
    return mapping_of(cast("Value", msgspec.json.decode(body)))
