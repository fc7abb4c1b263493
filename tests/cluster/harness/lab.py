"""A real control plane with a fleet of fake nodes, the service beside it, and the means to break any part of either."""

import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from scheduler.kube.watch import LONGEST_PAUSE_S
from scheduler.localcluster import ports
from scheduler.localcluster.api import Api, Json
from scheduler.localcluster.cluster import LocalCluster
from scheduler.localcluster.errors import ApiError
from scheduler.localcluster.fleet import Fleet, Group
from scheduler.localcluster.parts import APISERVER, CONTROLLER_MANAGER, KWOK, OWN_SCHEDULER, SCHEDULER
from scheduler.localcluster.waiting import until
from tests.cluster.harness import invariants
from tests.cluster.harness.apiproxy import ApiProxy
from tests.cluster.harness.background import Background
from tests.cluster.harness.front import Front
from tests.cluster.harness.objects import condition, gates
from tests.cluster.harness.podwatch import PodWatch
from tests.cluster.harness.replica import QUICK, Replica

PODS = "/api/v1/namespaces/default/pods"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
QUEUES = "/apis/bayplan.dev/v1alpha1/queues"
NODES = "/api/v1/nodes"
COLLECTIONS = {"Pod": PODS, "Job": JOBS, "Queue": QUEUES}

WAIT_S = 90.0
"""Longer than a kube-scheduler or controller rests whose watch failed: client-go waits up to 30 s, with jitter 60 s."""

DELETE_IN_USE = {"bayplan.dev/delete-in-use": "true"}
OUTLIVES = (CONTROLLER_MANAGER, SCHEDULER, OWN_SCHEDULER, KWOK)
LAG_S = 3 * LONGEST_PAUSE_S
"""What was written while a watch of the service had no server is known to it by then."""

PASSING_REFUSALS = 1
"""So often kube-scheduler may refuse a planned node, as its view is older than ours on a busy machine; where a plan is
wrong, it does so again (`scheduler.app.carry.ASK_AGAIN_S`)."""

QUIET_S = 0.4
"""No pod changed for this long, and nothing is under way in the service: the cluster is at rest."""

SWEPT = (
    f"{JOBS}?propagationPolicy=Background",
    "/apis/apps/v1/namespaces/default/deployments?propagationPolicy=Background",
    f"{PODS}?gracePeriodSeconds=0",
    QUEUES,
    "/apis/bayplan.dev/v1alpha1/topologies",
    "/apis/events.k8s.io/v1/namespaces/default/events",
)


class Lab:
    """One cluster. Scenarios follow each other on it; `sweep` clears one away."""

    def __init__(self, cluster: LocalCluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.api: Api = cluster.api()
        self.background = Background()
        self.watch = PodWatch.begin(self.background, cluster.kubeconfig())
        self.front: Front | None = None
        self.proxies: list[ApiProxy] = []
        self.replicas: list[Replica] = []
        self._settings: Mapping[str, object] | None = None
        self._fleet: Fleet | None = None
        self._outage = False

    def close(self) -> None:
        self.end_services()
        self.watch.end()
        self.background.close()
        self.api.close()

    # The service

    def start_service(self, **settings: object) -> Replica:
        """The service with these settings where kube-scheduler looks for it; one that runs so already is kept."""
        wanted = {**QUICK, **settings}
        if self._settings == wanted and len(self.replicas) == 1 and self.replicas[0].alive:
            self.replicas[0].wait_ready()
            return self.replicas[0]
        self.end_services()
        replica = self.make_replica(self.cluster.kubeconfig("bayplan"), settings, port=self.cluster.service_address[1])
        self._settings = wanted
        self.start(replica)
        return replica

    def make_replica(self, kubeconfig: Path, settings: Mapping[str, object], *, port: int | None = None) -> Replica:
        """A replica that is not started yet."""
        free = ports.reserve(2)
        replica = Replica(
            self.folder,
            name=f"service-{len(list(self.folder.glob('service-*.yaml')))}",
            kubeconfig=kubeconfig,
            ports=(port or free[0], free[1]),
            settings={**QUICK, **settings},
        )
        self.replicas.append(replica)
        return replica

    def start(self, replica: Replica, *, wait: bool = True) -> None:
        """Start a replica, and wait until it is ready."""
        replica.start(self.cluster.table.state.token)
        if wait:
            replica.wait_ready()

    def start_behind_proxy(self, **settings: object) -> tuple[Replica, ApiProxy]:
        """A service whose requests pass through a proxy that counts its writes; one that runs so already is kept."""
        wanted = {**QUICK, **settings, "proxied": True}
        if self._settings == wanted and len(self.replicas) == 1 and self.replicas[0].alive:
            self.proxies[0].set_trap(None)
            self.proxies[0].writes.clear()
            self.replicas[0].wait_ready()
            return self.replicas[0], self.proxies[0]
        self.end_services()
        proxy = self.add_proxy()
        replica = self.make_replica(self.proxy_kubeconfig(proxy), settings, port=self.cluster.service_address[1])
        self._settings = wanted
        self.start(replica)
        return replica, proxy

    def add_proxy(self) -> ApiProxy:
        tls = ssl.create_default_context(cafile=str(self.cluster.kubeconfig().parent / "pki" / "ca.crt"))
        proxy = ApiProxy.begin(self.background, self.cluster.server, tls)
        self.proxies.append(proxy)
        return proxy

    def proxy_kubeconfig(self, proxy: ApiProxy) -> Path:
        """The service's own kubeconfig, led through `proxy`."""
        text = self.cluster.kubeconfig("bayplan").read_text("utf-8").replace(self.cluster.server, proxy.url)
        path = self.folder / f"proxied-{proxy.port}"
        path.write_text(text, encoding="utf-8")
        return path

    def add_front(self, *upstreams: Replica) -> Front:
        """Put a front where kube-scheduler looks for its extender; the replicas must listen elsewhere."""
        self.front = Front.begin(self.background, *self.cluster.service_address)
        self.front.upstreams = tuple(replica.url for replica in upstreams)
        return self.front

    def start_behind_front(self, **settings: object) -> tuple[Replica, Front]:
        """A service that kube-scheduler reaches through a front."""
        self.end_services()
        replica = self.make_replica(self.cluster.kubeconfig("bayplan"), settings)
        front = self.add_front(replica)
        self.start(replica)
        return replica, front

    def end_services(self) -> None:
        """End all replicas, proxies and fronts."""
        for replica in self.replicas:
            replica.end()
        for proxy in self.proxies:
            self.background.call(proxy.close())
        if self.front is not None:
            self.background.call(self.front.close())
        self.replicas, self.proxies, self.front, self._settings = [], [], None, None

    # Nodes

    def nodes(self, *groups: Group) -> Sequence[str]:
        """Make these the nodes of the cluster; returns their names."""
        fleet = Fleet(groups=groups)
        listed = cast("list[Json]", self.api.get(NODES)["items"])
        if fleet != self._fleet or len(listed) != fleet.nodes or not all(_is_usable(node) for node in listed):
            self._fleet = None
            for node in listed:
                self.delete_node(node["metadata"]["name"])
            self.cluster.add_nodes(fleet)
            self._fleet = fleet
        return [f"{g.name}-{i}" for g in groups for i in range(g.count)]

    def h100(self, count: int) -> Sequence[str]:
        """Nodes h100-0, h100-1, … with 8 GPUs each."""
        return self.nodes(Group(name="h100", count=count, machine="hgx_h100"))

    def delete_node(self, name: str) -> None:
        self._fleet = None
        self.api.delete(f"{NODES}/{name}")
        with suppress(ApiError):
            self.api.delete(f"/apis/bayplan.dev/v1alpha1/gpunodes/{name}")

    def cordon(self, name: str, *, on: bool = True) -> None:
        self.api.merge(f"{NODES}/{name}", {"spec": {"unschedulable": on or None}})

    # Objects

    def create(self, *objects: Json) -> None:
        for wanted in objects:
            self.api.create(COLLECTIONS[wanted["kind"]], wanted)

    def delete_pod(self, name: str) -> None:
        self.api.delete(f"{PODS}/{name}?gracePeriodSeconds=0")

    def delete_job(self, name: str) -> None:
        self.api.delete(f"{JOBS}/{name}?propagationPolicy=Background")

    def pods(self, prefix: str = "") -> list[Json]:
        """The pods whose names begin so, as the watch knows them."""
        return [p for p in self.watch.pods() if p["metadata"]["name"].startswith(prefix)]

    def pod(self, name: str) -> Json:
        return next(p for p in self.watch.pods() if p["metadata"]["name"] == name)

    def bound(self, prefix: str = "") -> dict[str, str]:
        """Which of these pods stand where."""
        return {p["metadata"]["name"]: p["spec"]["nodeName"] for p in self.pods(prefix) if p["spec"].get("nodeName")}

    def bound_pods(self, prefix: str = "") -> list[Json]:
        """These pods, those that stand."""
        return [p for p in self.pods(prefix) if p["spec"].get("nodeName")]

    def told(self, name: str) -> tuple[str, str] | None:
        """Reason and message of the service's condition on a pod."""
        found = [condition(pod, "bayplan.dev/Planned") for pod in self.pods(name) if pod["metadata"]["name"] == name]
        return (found[0]["reason"], found[0]["message"]) if found and found[0] else None

    def events(self, pod: str) -> list[Json]:
        """The Events about a pod."""
        listed: list[Json] = self.api.get("/apis/events.k8s.io/v1/namespaces/default/events")["items"]
        return [e for e in listed if e["regarding"].get("name") == pod]

    # Waiting

    def eventually(self, what: str, done: Callable[[], object], timeout_s: float = WAIT_S) -> None:
        """Wait until `done` says yes; else fail with what was last seen."""
        if not self.watch.wait(done, timeout_s):
            raise AssertionError(f"not within {timeout_s:g} s: {what}\n{self.picture()}")

    def measure(self, period_s: float) -> None:
        """Let time pass: for what is counted over a period, or an outage that is to last so long."""
        self.watch.wait(lambda: False, period_s)

    def bound_whole(self, prefix: str, pods: int, timeout_s: float = WAIT_S) -> dict[str, str]:
        """Wait until so many of these pods are bound; where they stand."""
        self.eventually(f"{pods} pods {prefix}* are bound", lambda: len(self.bound(prefix)) == pods, timeout_s)
        return self.bound(prefix)

    def seen(self, prefix: str, pods: int) -> None:
        """Wait until so many of these pods exist."""
        self.eventually(f"{pods} pods {prefix}* exist", lambda: len(self.pods(prefix)) == pods)

    def settle(self, timeout_s: float = WAIT_S) -> None:
        """Wait until the cluster is at rest, after all that was done to it up to now."""
        done = self.api.get("/api/v1/pods")
        self.eventually("the watch has seen all", lambda: self.watch.has_seen(done), timeout_s)
        self.eventually("the cluster is at rest", self._at_rest, timeout_s)

    def _at_rest(self) -> bool:
        if self.watch.quiet_s < QUIET_S:
            return False
        leaving = any(p["metadata"].get("deletionTimestamp") for p in self.watch.pods())
        alive = [replica for replica in self.replicas if replica.alive]
        # While nobody leads nothing is under way, and much may be left to do.
        return not leaving and all(map(self._idle, alive)) and (not alive or any(r.is_ready() for r in alive))

    def _idle(self, replica: Replica) -> bool:
        try:
            return replica.metric("bayplan_plans_in_flight") + replica.metric("bayplan_planner_busy") == 0
        except OSError:
            return False

    def picture(self) -> str:
        """What stands where, for people."""
        lines = ["pods:"]
        for pod in self.watch.pods():
            told = condition(pod, "bayplan.dev/Planned")
            status = pod.get("status", {})
            lines.append(
                f"  {pod['metadata']['name']}: {status.get('phase')} on {pod['spec'].get('nodeName')}"
                f" gates {gates(pod)} nominated {status.get('nominatedNodeName')}"
                f"{' leaving' if pod['metadata'].get('deletionTimestamp') else ''}"
                f" {(told['reason'], told['message']) if told else ''}"
            )
        for replica in self.replicas:
            state = "runs" if replica.alive else replica.how_it_ended()
            lines.append(f"service {replica.url} {state}; the end of its log:")
            if replica.log.is_file():
                lines += _last(replica.log, 40, without=("_cygrpc",))
        lines.append(f"the end of {OWN_SCHEDULER}'s log:")
        # It says so again and again that front-proxies are not set up.
        lines += _last(self.cluster.log(OWN_SCHEDULER), 10, without=("configmap_cafile",))
        return "\n".join(lines)

    def revive(self) -> None:
        """Start every part that died, as its kubelet would, and wait until all are ready."""
        for part in self.cluster.status():
            if part.state == "dead":
                self.cluster.restart(part.name)
                self._outage = self._outage or part.name == APISERVER
        for part in self.cluster.status():
            self.cluster.wait_ready(part.name)

    def _forget_outage(self) -> None:
        """Start anew what lived through an outage of the API server.

        Each of its watches waits for itself before it tries again, in the end for a minute: whoever knows of new pods
        may not know of new nodes for long.
        """
        if self._outage:
            for part in OUTLIVES:
                self.cluster.restart(part)
            for part in OUTLIVES:
                self.cluster.wait_ready(part)
            self._outage = False

    # Checks

    def check(self) -> None:
        """What must hold at rest: nothing over-committed, no gang torn, no queue above its limit, a true state."""
        self.settle()
        pods: list[Json] = self.api.get("/api/v1/pods")["items"]
        jobs: list[Json] = self.api.get("/apis/batch/v1/jobs")["items"]
        wrong = invariants.over_committed(self.api.get(NODES)["items"], pods)
        wrong += invariants.torn_gangs(pods, jobs)
        wrong += invariants.over_quota(pods, self.api.get(QUEUES)["items"], jobs)
        # A watch that lost its server asks again only after a while; what it then tells may be planned.
        self.watch.wait(lambda: not self.audits(), LAG_S)
        self.settle()
        wrong += self.audits()
        wrong += [f"logged: {line}" for replica in self.replicas for line in replica.new_errors()]
        assert not wrong, "\n".join([*wrong, self.picture()])

    def audits(self) -> list[str]:
        """What the audits of all replicas find."""
        return [text for replica in self.replicas if replica.alive for text in self.audit(replica)]

    def audit(self, replica: Replica) -> list[str]:
        """Where the service's belief differs from the API server's word."""
        found = replica.get_json("/debug/audit")
        assert set(found) >= {"missed", "redundant", "different", "violations"}, found
        return [f"audit: {kind}: {json.dumps(entry)}" for kind, entries in found.items() for entry in entries]

    def sweep(self) -> None:
        """Clear the scenario away, and see that every part of the cluster runs."""
        self.revive()
        self._forget_outage()
        for queue in self.api.get(QUEUES)["items"]:
            # By what the service last wrote work may run there still, and the service may be gone.
            self.api.merge(f"{QUEUES}/{queue['metadata']['name']}", {"metadata": {"annotations": DELETE_IN_USE}})
        for path in SWEPT:
            self.api.delete(path)
        self._forget_queues()
        until(self._empty, timeout_s=WAIT_S, what="the namespace getting empty")
        self.watch.forget()

    def _forget_queues(self) -> None:
        """Let deleted queues go: the service, which would once their work is gone, may be dead."""
        for queue in self.api.get(QUEUES)["items"]:
            with suppress(ApiError):
                self.api.merge(f"{QUEUES}/{queue['metadata']['name']}", {"metadata": {"finalizers": None}})

    def _empty(self) -> bool:
        if not self.api.get(PODS)["items"] and not self.watch.pods() and not self.api.get(QUEUES)["items"]:
            return True
        # A controller may have made a pod for a Job whose deletion it had not seen.
        self.api.delete(f"{PODS}?gracePeriodSeconds=0")
        self._forget_queues()
        return False


def _last(log: Path, count: int, *, without: Sequence[str]) -> list[str]:
    lines = log.read_text("utf-8", errors="replace").splitlines() if log.is_file() else []
    return [line for line in lines if not any(word in line for word in without)][-count:]


def _is_usable(node: Json) -> bool:
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", ()))
    return ready and not node["spec"].get("unschedulable")
