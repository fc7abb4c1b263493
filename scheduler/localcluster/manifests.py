"""Reading the kustomize manifests and applying what makes sense without kubelets."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import yaml

from scheduler.localcluster.api import Api, Json
from scheduler.localcluster.errors import ApiError, InputError
from scheduler.localcluster.waiting import until

_HANDLED_KEYS = {"apiVersion", "kind", "resources", "images"}
"""What is followed here; images matter to Deployments only, and anything else must not be lost without a word."""

_NEEDS_KUBELETS = {"Deployment", "DaemonSet", "Service", "NetworkPolicy", "PodDisruptionBudget"}
"""Bayplan and its kube-scheduler run as processes here, not as pods."""

_FIRST = ("Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "Role")
"""Kinds that others refer to, in the order in which they are made."""

_SETTLE_S = 20.0
_NOT_FOUND = 404


def load(folder: Path) -> list[Json]:
    """All objects that the kustomization in `folder` lists, in its order.

    Raises:
        InputError: a file is missing or uses a feature of kustomize that is not followed here.
    """
    return list(_objects(folder.resolve()))


def _documents(path: Path) -> list[Json]:
    try:
        documents = list(yaml.safe_load_all(path.read_text("utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"cannot read the manifest {path}: {error}") from error
    return [document for document in documents if document is not None]


def _objects(folder: Path) -> Iterator[Json]:
    path = folder / "kustomization.yaml"
    for kustomization in _documents(path):
        unknown = sorted(set(kustomization) - _HANDLED_KEYS)
        if unknown:
            raise InputError(f'{path}: "{unknown[0]}" is not followed here; use {", ".join(sorted(_HANDLED_KEYS))}')
        for resource in kustomization.get("resources", []):
            target = (folder / cast("str", resource)).resolve()
            if target.is_dir():
                yield from _objects(target)
            else:
                yield from _documents(target)


def runs_without_kubelets(objects: Sequence[Json]) -> list[Json]:
    """The objects that are applied to a local cluster, those first that others refer to."""
    kept = [o for o in objects if o["kind"] not in _NEEDS_KUBELETS]
    rank = {kind: index for index, kind in enumerate(_FIRST)}
    return sorted(kept, key=lambda o: rank.get(o["kind"], len(rank)))


def scheduler_configuration(objects: Sequence[Json]) -> Json:
    """The KubeSchedulerConfiguration of Bayplan's own kube-scheduler, out of its ConfigMap.

    Raises:
        InputError: there is none, or more than one.
    """
    texts = [text for o in objects if o["kind"] == "ConfigMap" for text in o.get("data", {}).values()]
    found = [c for c in (yaml.safe_load(text) for text in texts) if _is_scheduler_configuration(c)]
    if len(found) != 1:
        raise InputError(f"the manifests have {len(found)} ConfigMaps with a KubeSchedulerConfiguration; 1 is needed")
    return found[0]


def _is_scheduler_configuration(value: object) -> bool:
    return isinstance(value, dict) and cast("Json", value).get("kind") == "KubeSchedulerConfiguration"


class _Served:
    """Where the server serves each kind, as it tells by itself."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._resources: dict[str, list[Json]] = {}

    def path(self, wanted: Json) -> str:
        """The path of the object `wanted`."""
        version: str = wanted["apiVersion"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        metadata: Json = wanted["metadata"]
        if not any(r["kind"] == wanted["kind"] for r in self._resources.get(version, ())):
            self._resources[version] = self._api.get(root)["resources"]
        for resource in self._resources[version]:
            if resource["kind"] == wanted["kind"] and "/" not in resource["name"]:
                place = f"/namespaces/{metadata.get('namespace', 'default')}" if resource["namespaced"] else ""
                return f"{root}{place}/{resource['name']}/{metadata['name']}"
        raise ApiError(f"the API server knows no {wanted['kind']} of {version}", status=_NOT_FOUND)


def apply(api: Api, objects: Sequence[Json]) -> None:
    """Make the cluster have `objects` as they stand, and wait until CRDs among them are served.

    Raises:
        ApiError: the server refused one.
        LocalClusterError: a CRD was not served in time.
    """
    served = _Served(api)
    for wanted in objects:
        path = served.path(wanted)
        api.apply(path, wanted)
        if wanted["kind"] == "CustomResourceDefinition":
            until(
                lambda path=path: _established(api.get(path)),
                timeout_s=_SETTLE_S,
                what=f"serving {wanted['metadata']['name']}",
            )


def _established(definition: Json) -> bool:
    conditions: list[Json] = definition.get("status", {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
