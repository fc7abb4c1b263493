"""A guard whose rulings stand in a table, and requests as kube-scheduler writes them."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from scheduler.extender.guard import BindRequest, Offered, Planned, Ruling, Untouched, Waiting
from scheduler.model.names import NodeName, PodUid, WorkloadKey

GANG = WorkloadKey("gang:team/train")


def planned(node: str) -> Planned:
    return Planned(workload=GANG, node=NodeName(node))


def offered(**scores: int) -> Offered:
    return Offered(workload=GANG, scores={NodeName(name): score for name, score in scores.items()})


WAITING = Waiting(workload=GANG)
UNTOUCHED = Untouched()


class FakeGuard:
    """Knows the pods of `rulings` and judges all others `otherwise`. With a `gate`, binds are held until it is set."""

    def __init__(self, rulings: dict[str, Ruling] | None = None, otherwise: Ruling = UNTOUCHED) -> None:
        self.rulings = rulings or {}
        self.otherwise = otherwise
        self.judged: list[bytes] = []
        self.refusals: list[tuple[str, str]] = []
        self.asked: list[BindRequest] = []
        self.cancelled: list[BindRequest] = []
        self.gate: asyncio.Event | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.error: Exception | None = None
        self.why_not: str | None = None

    def ruling(self, uid: PodUid) -> Ruling | None:
        if self.error:
            raise self.error
        return self.rulings.get(uid)

    def judge(self, pod: msgspec.Raw) -> Ruling:
        self.judged.append(bytes(pod))
        return self.otherwise

    def refused(self, uid: PodUid, node: NodeName) -> None:
        self.refusals.append((uid, node))

    async def bind(self, request: BindRequest) -> str | None:
        self.loop = asyncio.get_running_loop()
        self.asked.append(request)
        if self.error:
            raise self.error
        try:
            if self.gate:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(request)
            raise
        return self.why_not


def pod(uid: str = "u1", nominated: str = "") -> dict[str, Any]:
    return {
        "metadata": {
            "uid": uid,
            "name": f"pod-{uid}",
            "namespace": "team",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"schedulerName": "bayplan", "containers": [{"name": "main", "image": "busybox"}]},
        "status": {"phase": "Pending", "qosClass": "BestEffort"}
        | ({"nominatedNodeName": nominated} if nominated else {}),
    }


def args(names: Sequence[str] | None, uid: str = "u1", nominated: str = "") -> bytes:
    return msgspec.json.encode({"Pod": pod(uid, nominated), "Nodes": None, "NodeNames": names})


def bind_args(uid: str = "u1", node: str = "n1") -> bytes:
    return msgspec.json.encode({"PodName": f"pod-{uid}", "PodNamespace": "team", "PodUID": uid, "Node": node})
