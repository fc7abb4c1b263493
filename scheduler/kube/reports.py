"""A node's own GPUNode: made, read and written by the node's exporter, and nothing else is written here.

It stands apart from `effects`, which writes for the one replica of the service that leads: every node writes its own
object, there is nobody to lead, and an exporter must not load what the service needs.
"""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from scheduler.kube.api import ApiRefusedError, Response
from scheduler.kube.http import Method
from scheduler.kube.keys import GROUP_VERSION
from scheduler.kube.translate_sharing import NodeSharing, read_sharing
from scheduler.kube.wire_report import ReportStanding, WireStanding

GPU_NODES = f"/apis/{GROUP_VERSION}/gpunodes"
MERGE_PATCH = "application/merge-patch+json"
NOT_FOUND, CONFLICT = 404, 409

LABELS: Mapping[str, str] = {"app.kubernetes.io/name": "bayplan", "app.kubernetes.io/part-of": "bayplan"}


class Requests(Protocol):
    """The one thing that is needed of an API client."""

    async def request(
        self, method: Method, path: str, *, body: bytes | None = None, content_type: str = "application/json"
    ) -> Response:
        """One request; raises ApiUnreachableError or ApiRefusedError."""
        ...


class OwnReport:
    """The GPUNode of one node. Every method raises ApiError where the server refuses or does not answer."""

    def __init__(self, api: Requests, node: str) -> None:
        self._api = api
        self._node = node
        self._path = f"{GPU_NODES}/{node}"
        self._known: NodeSharing | None = None

    async def node(self) -> NodeSharing | None:
        """How the node's GPUs are shared, by its labels; None where there is no such node."""
        try:
            self._known = read_sharing((await self._api.request("GET", f"/api/v1/nodes/{self._node}")).body)
        except ApiRefusedError as err:
            if err.status != NOT_FOUND:
                raise
            self._known = None
        return self._known

    async def standing(self) -> ReportStanding | None:
        """The report as it stands; None where there is none, or one that this version does not understand."""
        try:
            response = await self._api.request("GET", self._path)
        except ApiRefusedError as err:
            if err.status == NOT_FOUND:
                return None
            raise
        try:
            return msgspec.json.decode(response.body, type=WireStanding).status
        except msgspec.ValidationError:
            return None

    async def write(self, report: ReportStanding, *, missing: bool = False) -> bool:
        """Write the report, over an object that goes with its node; False where the node is not there.

        `missing`: nothing stands there as far as it is known, so that the object is made first.
        """
        body = msgspec.json.encode({"status": report})
        if not missing:
            try:
                await self._patch(body)
            except ApiRefusedError as err:
                if err.status != NOT_FOUND:
                    raise
            else:
                return True
        # A node that was made anew has another UID, so what is known of it serves for one object.
        node, self._known = self._known or await self.node(), None
        if node is None:
            return False
        await self._create(node.uid)
        await self._patch(body)
        return True

    async def touch(self, observed_time: str) -> bool:
        """Write when the node was looked at, and leave the report as it stands; False where there is none."""
        try:
            await self._patch(msgspec.json.encode({"status": {"observedTime": observed_time}}))
        except ApiRefusedError as err:
            if err.status == NOT_FOUND:
                return False
            raise
        return True

    async def _patch(self, body: bytes) -> None:
        await self._api.request("PATCH", f"{self._path}/status", body=body, content_type=MERGE_PATCH)

    async def _create(self, node_uid: str) -> None:
        """Make the object, without status, which the API server does not take here; it goes when its node goes."""
        owner = {"apiVersion": "v1", "kind": "Node", "name": self._node, "uid": node_uid}
        metadata = {"name": self._node, "labels": LABELS, "ownerReferences": [owner]}
        body = {"apiVersion": GROUP_VERSION, "kind": "GPUNode", "metadata": metadata}
        try:
            await self._api.request("POST", GPU_NODES, body=msgspec.json.encode(body))
        except ApiRefusedError as err:
            if err.status != CONFLICT:
                raise
