"""List, watch, translation and state against a real API server."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scheduler.kube.api import ApiClient
from scheduler.kube.translate import kinds
from scheduler.kube.watch import Watcher, list_events
from scheduler.localcluster.api import Api
from scheduler.localcluster.cluster import LocalCluster
from scheduler.localcluster.fleet import Fleet, Group
from scheduler.localcluster.options import ClusterOptions
from scheduler.model.names import NodeName, WorkloadKey
from scheduler.state.audit import AuditReport, compare, inconsistencies, violations
from scheduler.state.cluster import ClusterState
from scheduler.state.events import Event

pytestmark = pytest.mark.cluster

NODES = Fleet(groups=[Group(name="n", count=2, machine="hgx_h100")])
JOBS = "/apis/batch/v1/namespaces/default/jobs"
PODS = "/api/v1/namespaces/default/pods"
GANG = WorkloadKey("gang:default/train")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    options = ClusterOptions(with_scheduler=False, with_service=False, fleet=NODES)
    with LocalCluster.running(tmp_path_factory.mktemp("watched"), options) as cluster:
        yield cluster


def gang_job() -> dict[str, Any]:
    container = {
        "name": "main",
        "image": "none",
        "resources": {"limits": {"cpu": "4", "memory": "1536Mi", "nvidia.com/gpu": "8"}},
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "train"},
        "spec": {
            "completionMode": "Indexed",
            "completions": 3,
            "parallelism": 3,
            "template": {
                "metadata": {
                    "labels": {"bayplan.dev/gang": "train", "bayplan.dev/queue": "team"},
                    "annotations": {"bayplan.dev/linked": "maybe"},
                },
                "spec": {"schedulerName": "bayplan", "restartPolicy": "Never", "containers": [container]},
            },
        },
    }


class Believer:
    """A state that is fed by watches of every kind."""

    def __init__(self, api: ApiClient) -> None:
        self.state = ClusterState()
        self.troubles: list[str] = []
        self._api = api
        self._news = asyncio.Event()
        self.watchers = [
            Watcher(api, kind, on_event=self._take, trouble=self._note, chance=lambda: 0.0) for kind in kinds("bayplan")
        ]

    def _take(self, event: Event) -> None:
        self.state.apply(event)
        self._news.set()

    def _note(self, kind: str, text: str) -> None:
        self.troubles.append(f"{kind}: {text}")
        self._news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not holds():
                self._news.clear()
                await self._news.wait()

    async def report(self) -> AuditReport:
        """How the state differs from a fresh list, once both are of the same moment."""
        async with asyncio.timeout(30):
            while True:
                fresh = [e for w in self.watchers for e in await list_events(self._api, w.kind, self._note)]
                found = compare(self.state, fresh)
                if found.is_clean:
                    return found
                self._news.clear()
                try:
                    await asyncio.wait_for(self._news.wait(), 5)
                except TimeoutError:
                    return found


def members(state: ClusterState) -> int:
    gang = state.snapshot().workloads.get(GANG)
    return len(gang.members) if gang is not None else 0


async def story(believer: Believer, api: Api, cluster: LocalCluster) -> None:
    state = believer.state
    for watcher in believer.watchers:
        await watcher.synced.wait()
    await believer.until(lambda: len(state.snapshot().nodes) == 2 and all(state.snapshot().columns.usable))
    snapshot = state.snapshot()
    row = snapshot.columns.row_of[NodeName("n-0")]
    gpus = snapshot.columns.resources.index("nvidia.com/gpu")
    assert snapshot.columns.allocatable[row, gpus] == 8
    assert len(snapshot.nodes[NodeName("n-0")].devices) == 8

    api.create(
        "/apis/bayplan.dev/v1alpha1/queues",
        {"kind": "Queue", "apiVersion": "bayplan.dev/v1alpha1", "metadata": {"name": "team"}, "spec": {"nominal": 16}},
    )
    api.create(JOBS, gang_job())
    await believer.until(lambda: members(state) == 3 and state.snapshot().workloads[GANG].queue is not None)
    gang = state.snapshot().workloads[GANG]
    assert (gang.size, gang.queue, [m.index for m in gang.members]) == (3, "team", [0, 1, 2])
    assert all(m.gated and m.managed for m in gang.members)
    assert [str(p) for p in gang.problems] == [
        "annotation bayplan.dev/linked is 'maybe'; allowed: required or preferred"
    ]
    requests = gang.members[0].shape.requests
    assert (requests.milli_cpu, requests.memory_bytes, requests.gpus) == (4000, 1536 * 2**20, 8)
    assert await believer.report() == AuditReport()

    cluster.kill("kube-apiserver", signal.SIGKILL)
    await believer.until(lambda: bool(believer.troubles))
    await asyncio.to_thread(cluster.restart, "kube-apiserver")
    await asyncio.to_thread(cluster.wait_ready, "kube-apiserver")
    api.delete(f"{JOBS}/train?propagationPolicy=Background")
    await believer.until(lambda: members(state) == 0)
    assert await believer.report() == AuditReport()
    assert inconsistencies(state) == []
    assert violations(state.snapshot()) == []


async def test_the_state_follows_a_real_api_server_even_through_its_death(cluster: LocalCluster) -> None:
    api = cluster.api()
    try:
        async with await ApiClient.connect(cluster.kubeconfig("bayplan")) as client:
            believer = Believer(client)
            tasks = [asyncio.create_task(watcher.run()) for watcher in believer.watchers]
            try:
                await story(believer, api, cluster)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        api.close()
