"""GPUNodes of a fleet: each node has the exporter that a real one has, over a simulated driver."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from scheduler.exporter.exporter import Exporter, Options
from scheduler.exporter.simulated.backend import FixtureBackend
from scheduler.exporter.simulated.faults import parse_fault
from scheduler.exporter.simulated.machines import ZERO_UUID, Machine
from scheduler.exporter.simulated.machines import machine as machine_of
from scheduler.exporter.simulated.node import Placed, stable_uuid
from scheduler.kube.api import ApiClient
from scheduler.kube.reports import OwnReport
from scheduler.localcluster.errors import ApiError
from scheduler.localcluster.fleet import Fleet, Group
from scheduler.localcluster.nodes import names
from scheduler.model.node import CLIQUE_LABEL

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)

_TRIES = 5
_PAUSE_S = 1.0


def backends(fleet: Fleet) -> Iterator[tuple[str, FixtureBackend]]:
    """Each node that has GPUs and an exporter, with the driver that its exporter asks."""
    for group in fleet.groups:
        if group.machine and group.reports:
            machine = _of_group(group)
            placed = [Placed(gpu=one.gpu, profile=one.profile, start=one.start) for one in group.slices()]
            for name in names(group):
                yield name, FixtureBackend(machine, node=name, instances=placed)


def _of_group(group: Group) -> Machine:
    """The group's machine; where NVLinks span nodes, those of a group stand in one clique, that of their label if any.

    A label that no driver would write (`CLUSTER-UUID.CLIQUE`) stands alone: the nodes tell of no clique then.
    """
    machine = machine_of(group.machine)
    if machine.fabric is None or machine.fabric.cluster_uuid == ZERO_UUID:
        # A machine by itself tells of its switches, and of no nodes beside it.
        return machine
    cluster, _, clique = group.labels.get(CLIQUE_LABEL, "").rpartition(".")
    if CLIQUE_LABEL not in group.labels:
        own = stable_uuid("fabric", group.name).removeprefix("fabric-")
        fabric = replace(machine.fabric, cluster_uuid=own)
    elif _UUID.fullmatch(cluster) and clique.isascii() and clique.isdigit():
        fabric = replace(machine.fabric, cluster_uuid=cluster, clique=int(clique))
    else:
        fabric = None
    return replace(machine, fabric=fabric)


async def publish(kubeconfig: Path, fleet: Fleet, *, at_a_time: int) -> None:
    """Let the exporter of each node publish once, so many at a time.

    Raises:
        ApiError: the server refused a report.
    """
    free = asyncio.Semaphore(at_a_time)
    async with await ApiClient.connect(kubeconfig, parallel=at_a_time) as api, asyncio.TaskGroup() as tasks:
        for name, backend in backends(fleet):
            await free.acquire()
            task = tasks.create_task(_publish_one(name, backend, OwnReport(api, name)))
            task.add_done_callback(lambda _done: free.release())


async def _publish_one(name: str, backend: FixtureBackend, own: OwnReport) -> None:
    wrong = ""
    for attempt in range(_TRIES):
        await asyncio.sleep(attempt * _PAUSE_S)
        wrong = await Exporter(backend, Options(simulated=True, threads=False), own=own).publish_once()
        if not wrong:
            return
    raise ApiError(f"the report on {name} was not taken: {wrong}")


async def publish_broken(kubeconfig: Path, fleet: Fleet, node: str, fault: str) -> None:
    """Let the exporter of one node publish what it sees once this has happened.

    Raises:
        BadFaultError: the node's machine has no part that the fault names.
        ApiError: the server refused the report.
    """
    backend = next(backend for name, backend in backends(fleet) if name == node)
    backend.apply(parse_fault(fault))
    async with await ApiClient.connect(kubeconfig) as api:
        await _publish_one(node, backend, OwnReport(api, node))
