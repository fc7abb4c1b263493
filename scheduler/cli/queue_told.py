"""Queues for those who may not list pods and nodes: what the service last wrote into each Queue's status."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace

from scheduler.cli.output import CommandError
from scheduler.kube.api import ApiClient, ApiError
from scheduler.kube.keys import GROUP_VERSION
from scheduler.kube.translate import kinds
from scheduler.kube.watch import pages
from scheduler.planning.overview.records import QueueStand
from scheduler.planning.overview.stands import queue_stands
from scheduler.quota.usage import opening_ledger
from scheduler.state.cluster import ClusterState

PATH = f"/apis/{GROUP_VERSION}/queues"
TOLD = (
    "you may not list everything that is needed to work out how queues stand, so this is what the service wrote into "
    "their status last"
)


class _Kind(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    used: int = 0
    borrowed: int = 0
    lent: int = 0
    pending: int = 0
    fair_share: int = 0


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    used_milli_gpu: int = 0
    borrowed_milli_gpu: int = 0
    lent_milli_gpu: int = 0
    pending_milli_gpu: int = 0
    fair_share_milli_gpu: int = 0
    pending_workloads: int = 0
    running_workloads: int = 0
    kinds: list[_Kind] = []


class _Meta(msgspec.Struct, frozen=True):
    name: str = ""


class _Queue(msgspec.Struct, frozen=True):
    metadata: _Meta = _Meta()
    status: _Status = _Status()


_decoder = msgspec.json.Decoder(_Queue)


def told_stands(kubeconfig: Path | None) -> tuple[QueueStand, ...]:
    """All queues of the cluster as their own status has them; the user has been logged in before.

    Raises:
        CommandError: Queues may not be listed either, or the API server does not answer.
    """
    try:
        return asyncio.run(_read(kubeconfig))
    except ApiError as err:
        raise CommandError(f"queues cannot be read: {err}") from err


async def _read(kubeconfig: Path | None) -> tuple[QueueStand, ...]:
    state, told = ClusterState(), dict[str, _Status]()
    (kind,) = (kind for kind in kinds("") if kind.path == PATH)
    async with await ApiClient.connect(kubeconfig) as api:
        async for page in pages(api, kind):
            for raw in page.items:
                state.apply(kind.read(raw).event)
                queue = _decoder.decode(raw)
                told[queue.metadata.name] = queue.status
    snapshot = state.snapshot()
    return tuple(_as_told(stand, told) for stand in queue_stands(snapshot, opening_ledger(snapshot)))


def _as_told(stand: QueueStand, told: Mapping[str, _Status]) -> QueueStand:
    """The queue, which looks idle without its pods, with the figures of its status."""
    status = told[stand.name]
    kinds_told = {kind.name: kind for kind in status.kinds}
    return replace(
        stand,
        total=replace(
            stand.total,
            used_milli_gpu=status.used_milli_gpu,
            borrowed_milli_gpu=status.borrowed_milli_gpu,
            lent_milli_gpu=status.lent_milli_gpu,
            pending_milli_gpu=status.pending_milli_gpu,
            fair_share_milli_gpu=status.fair_share_milli_gpu,
        ),
        flavors=tuple(
            replace(
                flavor,
                used_milli_gpu=kind.used,
                borrowed_milli_gpu=kind.borrowed,
                lent_milli_gpu=kind.lent,
                pending_milli_gpu=kind.pending,
                fair_share_milli_gpu=kind.fair_share,
            )
            for flavor in stand.flavors
            for kind in (kinds_told.get(flavor.flavor, _Kind()),)
        ),
        resources=tuple(
            replace(amounts, used=kind.used, borrowed=kind.borrowed)
            for amounts in stand.resources
            for kind in (kinds_told.get(amounts.resource, _Kind()),)
        ),
        pending_workloads=status.pending_workloads,
        running_workloads=status.running_workloads,
    )
