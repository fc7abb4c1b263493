"""An API server with one node, n, and its GPUNode, played in place."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from scheduler.kube.api import ApiRefusedError, Response
from scheduler.kube.http import Method

PATH = "/apis/bayplan.dev/v1alpha1/gpunodes"


class Server:
    """One GPUNode and its Node. Each of `failures` is raised by one write, in order."""

    def __init__(self, *, has_node: bool = True, labels: Mapping[str, str] | None = None) -> None:
        self.object: dict[str, Any] | None = None
        self.has_node = has_node
        self.labels = dict(labels or {})
        self.failures: list[Exception] = []
        self.writes: list[str] = []
        self.patches: list[list[str]] = []

    async def request(
        self,
        method: Method,
        path: str,
        *,
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> Response:
        if method == "GET":
            return self._read(path)
        self.writes.append(f"{method} {path}")
        if self.failures:
            raise self.failures.pop(0)
        given = json.loads(body or b"")
        if method == "POST":
            assert "status" not in given
            if self.object is not None:
                raise ApiRefusedError(409, "AlreadyExists", "it is there")
            self.object = given
        elif self.object is None:
            raise ApiRefusedError(404, "NotFound", "no such object")
        else:
            assert content_type == "application/merge-patch+json"
            self.patches.append(sorted(given["status"]))
            merged = {**self.object.get("status", {}), **given["status"]}
            self.object["status"] = {key: value for key, value in merged.items() if value is not None}
        return Response(status=200, body=b"{}")

    def _read(self, path: str) -> Response:
        if path == "/api/v1/nodes/n" and self.has_node:
            metadata = {"name": "n", "uid": "u", "labels": self.labels}
            return Response(status=200, body=msgspec.json.encode({"metadata": metadata}))
        if path == f"{PATH}/n" and self.object is not None:
            return Response(status=200, body=msgspec.json.encode(self.object))
        raise ApiRefusedError(404, "NotFound", path)

    @property
    def status(self) -> dict[str, Any]:
        assert self.object is not None
        return self.object["status"]
