"""What the service weighs in a full cluster, and how soon after a restart it decides.

The cluster is a real API server with 5,000 nodes and 40,000 pods that stand on them. The service is measured twice:
grown, having seen every pod come through its watch, and fresh, having listed them all at its start.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from benchmarks.end_to_end import say
from benchmarks.end_to_end_client import PODS, Load
from benchmarks.end_to_end_machine import resident_mib, settle
from benchmarks.table import Limit, Row
from benchmarks.workloads import GPUS_A_NODE, NAMESPACE, Json, own_dialect, setup_objects
from scheduler.localcluster import ClusterOptions, Console, LocalCluster
from scheduler.localcluster import fleet as fleets
from scheduler.localcluster.parts import KWOK, OWN_SCHEDULER, SCHEDULER, SERVICE

NAME = "memory"
_LIMIT_MIB = 600
_LIMIT_S = 10
_GANG = 64
_NEWCOMER = "newcomer"
_PATIENCE_S = 120.0
_POLL_S = 0.02


def run(*, quick: bool, state_dir: Path) -> list[Row]:
    """Fill a cluster, weigh the service, restart it."""
    nodes = 50 if quick else 5000
    with LocalCluster.running(state_dir, ClusterOptions(), Console()) as cluster:
        say(f"creating {nodes} nodes")
        cluster.add_nodes(fleets.plain(nodes))
        # Nothing is to be scheduled or run here, so whoever would only watch is sent home.
        for part in (KWOK, SCHEDULER, OWN_SCHEDULER):
            cluster.stop_part(part)
        return asyncio.run(_measure(cluster, nodes))


async def _measure(cluster: LocalCluster, nodes: int) -> list[Row]:
    pods = nodes * GPUS_A_NODE
    size = f"{nodes:,} nodes, {pods:,} pods"
    async with Load.on(cluster.kubeconfig()) as load:
        await load.ensure({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        for wanted in setup_objects(own_dialect("bayplan")):
            await load.ensure(wanted)
        await asyncio.to_thread(cluster.wait_namespace, NAMESPACE)
        say(f"creating {pods - 1} pods that have their nodes")
        # One GPU stays free for the newcomer.
        await load.create(_standing(pods - 1))
        await settle()
        grown = _weigh(cluster)
        await asyncio.to_thread(cluster.stop_part, SERVICE)
        await load.create([_pod(_NEWCOMER, {}, {})])
        began_s = time.perf_counter()
        cluster.restart(SERVICE)
        await _until_let_go(load)
        decided_s = time.perf_counter() - began_s
        await settle()
        fresh = _weigh(cluster)
    weighed = [("having watched them come", grown), ("after a restart", fresh)]
    rows = [
        Row(
            benchmark=NAME,
            what=f"resident memory, {size}, {when}",
            unit="MiB",
            value=found["VmRSS"],
            limit=Limit(most=_LIMIT_MIB),
            note=f"at most {found['VmHWM']:.0f} MiB on the way",
            detail=found,
        )
        for when, found in weighed
    ]
    limit = Limit(most=_LIMIT_S)
    return [
        *rows,
        Row(benchmark=NAME, what=f"restart to first decision, {size}", unit="s", value=decided_s, limit=limit),
    ]


def _weigh(cluster: LocalCluster) -> Mapping[str, float]:
    pid = next(part.pid for part in cluster.status() if part.name == SERVICE and part.pid is not None)
    return {field: resident_mib(pid, field) for field in ("VmRSS", "VmHWM")}


def _standing(count: int) -> Iterator[bytes]:
    """Pods that have their nodes, half of them in gangs."""
    for index in range(count):
        gang = index // _GANG
        marked = gang % 2 == 0
        labels = {"bayplan.dev/gang": f"gang-{gang}"} if marked else {}
        annotations = {"bayplan.dev/gang-size": str(_GANG)} if marked else {}
        yield _pod(f"pod-{index:05d}", labels, annotations, node=f"node-{index // GPUS_A_NODE}")


def _pod(name: str, labels: Mapping[str, str], annotations: Mapping[str, str], node: str = "") -> bytes:
    pod: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "train", **labels}, "annotations": annotations},
        "spec": {
            "schedulerName": "bayplan",
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "main",
                    "image": "registry.example.com/team/train:1.2.3",
                    "command": ["python", "-m", "train", "--config", "/etc/train/config.yaml"],
                    "env": [{"name": f"SETTING_{i}", "value": "value-of-some-length"} for i in range(10)],
                    "resources": {"requests": {"cpu": "8", "memory": "64Gi"}, "limits": {"nvidia.com/gpu": "1"}},
                }
            ],
            **({"nodeName": node} if node else {}),
        },
    }
    return msgspec.json.encode(pod)


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    scheduling_gates: list[Json] = []


class _Pod(msgspec.Struct, frozen=True):
    spec: _Spec


async def _until_let_go(load: Load) -> None:
    """Until the newcomer's gate is off.

    Raises:
        TimeoutError: it was not within two minutes.
    """
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            if not msgspec.json.decode(await load.text(f"{PODS}/{_NEWCOMER}"), type=_Pod).spec.scheduling_gates:
                return
            await asyncio.sleep(_POLL_S)
