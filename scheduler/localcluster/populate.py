"""Creating the nodes of a fleet, many at a time."""

import asyncio
import datetime as dt
import functools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scheduler.localcluster import device_slices, nodes, reports
from scheduler.localcluster.api import Api, Json
from scheduler.localcluster.fleet import Fleet
from scheduler.localcluster.waiting import until

_NODES = "/api/v1/nodes"
_SLICES = "/apis/resource.k8s.io/v1/resourceslices"
_AT_A_TIME = 8
"""Requests under way at once; more gains nothing on a machine that also runs the server."""

_READY_S = 120.0
_NOT_READY = "node.kubernetes.io/not-ready"


def create(api: Api, fleet: Fleet, *, reports_by: Path | None) -> list[str]:
    """Create all nodes of `fleet`, with the GPUs that can be claimed; exporters report by this kubeconfig.

    Returns the nodes' names.

    Raises:
        ApiError: the server refused one.
    """
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="fleet") as pool:
        made = list(pool.map(functools.partial(api.create, _NODES), nodes.nodes(fleet, now=now)))
        uids = {node["metadata"]["name"]: node["metadata"]["uid"] for node in made}
        list(pool.map(functools.partial(_offer, api, uids), device_slices.resource_slices(fleet)))
        if reports_by is not None:
            # On a thread of its own: the caller may have an event loop already.
            pool.submit(asyncio.run, reports.publish(reports_by, fleet, at_a_time=_AT_A_TIME)).result()
    return list(uids)


def _offer(api: Api, uids: dict[str, str], body: Json) -> None:
    """Create a ResourceSlice that goes with its node."""
    name: str = body["spec"]["nodeName"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uids[name]}
    api.create(_SLICES, {**body, "metadata": {**body["metadata"], "ownerReferences": [owner]}})


def wait_ready(api: Api, names: Iterable[str], hopeless: Callable[[], None] | None = None) -> None:
    """Wait until all of these nodes are there without the taint that keeps pods off new nodes.

    Raises:
        LocalClusterError: it took longer than two minutes.
    """
    wanted = set(names)
    until(
        lambda: wanted <= _ready(api),
        timeout_s=_READY_S,
        what=f"{len(wanted)} nodes getting ready",
        hopeless=hopeless,
    )


def _ready(api: Api) -> set[str]:
    listed: list[Json] = api.get(_NODES)["items"]
    return {n["metadata"]["name"] for n in listed if all(t["key"] != _NOT_READY for t in n["spec"].get("taints", ()))}
