"""How often the device plugin gave what was expected of it: what plans expected, held against what reports tell.

The honesty check of everything that is promised where the kubelet chooses: a set outside of the expected ones means
that the model of the plugin is wrong on that node.
"""

from collections.abc import Callable, Mapping

import msgspec

from scheduler.app import log
from scheduler.kube.effects import OwnRef
from scheduler.model.names import NodeName, PodUid
from scheduler.model.node import Allocator, Node
from scheduler.model.plan import Admit, Plan
from scheduler.model.snapshot import Snapshot
from scheduler.model.workload import Pod
from scheduler.scoring.devices.choose import indexes, set_of, usable
from scheduler.scoring.devices.plugin import PREDICTED, plugin_chooser
from scheduler.state.cluster import ClusterState
from scheduler.state.events import DevicesSeen
from scheduler.telemetry import PREDICTIONS, Telemetry

MOST = 10_000
"""Pods of which it is remembered what was expected; the oldest are forgotten first."""

DAY_S = 86_400
REASON = "PredictionMissed"

Held = tuple[tuple[str, tuple[int, ...]], ...]


class _Expected(msgspec.Struct, frozen=True, kw_only=True):
    """Of one pod: the sets that it may get on the node, as long as the node is as it was.

    `before`: who held what, as reported; `beside`: pods that were expected to get theirs about the same time.
    """

    node: NodeName
    gpus: int
    sets: frozenset[int]
    usable: int
    before: Held
    beside: frozenset[str]


class Predictions:
    """Expectations of plans, judged as reports come. Lives on the service's event loop.

    `tell` has an event written about a report.
    """

    def __init__(
        self,
        state: ClusterState,
        telemetry: Telemetry,
        *,
        now_s: Callable[[], int],
        tell: Callable[[OwnRef, str, str], None],
    ) -> None:
        self._state = state
        self._telemetry = telemetry
        self._now_s = now_s
        self._tell = tell
        self._expected: dict[PodUid, _Expected] = {}
        self._waiting: dict[NodeName, dict[PodUid, str]] = {}
        self._held: dict[NodeName, Held] = {}
        self._told: dict[NodeName, int] = {}

    def planned(self, snapshot: Snapshot, decided: Plan) -> None:
        """Remember what is expected of the pods that a plan starts."""
        starting: dict[NodeName, list[Pod]] = {}
        for decision in decided.decisions:
            if isinstance(decision, Admit):
                pods = {pod.uid: pod for pod in snapshot.workloads[decision.workload].pending}
                for assignment in decision.placement.assignments:
                    pod = pods.get(assignment.pod)
                    if pod is not None and pod.shape.requests.gpus and not pod.shape.by_claim:
                        starting.setdefault(assignment.node, []).append(pod)
        for name, some in starting.items():
            node = snapshot.nodes[name]
            if _is_predicted(node):
                self._expect(snapshot, node, some)

    def seen(self, report: DevicesSeen) -> None:
        """Judge the pods of which a report now says what they hold."""
        self._held[report.node] = report.held
        for uid in list(self._waiting.get(report.node, ())):
            pod, expected = self._state.pod(uid), self._expected[uid]
            if pod is None:
                self.gone(uid)
            elif len(pod.devices) == expected.gpus:
                self.gone(uid)
                self._judge(pod, expected, report)

    def forget(self, node: NodeName) -> None:
        """There is no report any more."""
        self._held.pop(node, None)

    def gone(self, uid: PodUid) -> None:
        """Nothing is expected of the pod any more."""
        expected = self._expected.pop(uid, None)
        if expected is not None:
            waiting = self._waiting[expected.node]
            del waiting[uid]
            if not waiting:
                del self._waiting[expected.node]

    def _expect(self, snapshot: Snapshot, node: Node, pods: list[Pod]) -> None:
        chooser = plugin_chooser(node.links, node.alignment) if node.links is not None else None
        may_be_given = usable(node.devices)
        if chooser is None or may_be_given & ~chooser.all:
            return
        free = may_be_given & ~set_of(snapshot.devices_used.get(node.name, ()))
        unsure = snapshot.devices_unsure.get(node.name)
        given, sizes = (0, ()) if unsure is None else (set_of(unsure.devices), unsure.sizes)
        for pod in pods:
            # An earlier plan of it, maybe for another node, was given up.
            self.gone(pod.uid)
        waiting = self._waiting.setdefault(node.name, {})
        waiting.update((pod.uid, f"{pod.namespace}/{pod.name}") for pod in pods)
        for pod in pods:
            others = tuple(n for other in pods if other is not pod for n in _steps(other))
            sets = chooser.may_get(free | (given & may_be_given), sizes, _steps(pod), others)
            self._expected[pod.uid] = _Expected(
                node=node.name,
                gpus=pod.shape.requests.gpus,
                sets=sets,
                usable=may_be_given,
                before=self._held.get(node.name, ()),
                beside=frozenset(waiting.values()),
            )
        while len(self._expected) > MOST:
            self.gone(next(iter(self._expected)))

    def _judge(self, pod: Pod, expected: _Expected, report: DevicesSeen) -> None:
        got = set_of(pod.devices)
        if got in expected.sets:
            self._telemetry.count(PREDICTIONS, "hit" if len(expected.sets) == 1 else "tie")
        elif _is_as_it_was(expected, report):
            self._telemetry.count(PREDICTIONS, "miss")
            self._missed(pod, got, expected, report)

    def _missed(self, pod: Pod, got: int, expected: _Expected, report: DevicesSeen) -> None:
        """Say so, once a node and day."""
        now_s = self._now_s()
        if now_s - self._told.get(report.node, -DAY_S) < DAY_S:
            return
        self._told[report.node] = now_s
        first = [_written(some) for some in sorted(expected.sets)[:4]]
        text = (
            f"{pod.namespace}/{pod.name} got the GPUs {_written(got)}; expected of the device plugin was one of "
            f"{len(expected.sets)} sets: {' or '.join(first)}{' …' if len(expected.sets) > len(first) else ''}"
        )
        log.warning("the device plugin gave what was not expected", node=report.node, why=text)
        self._tell(OwnRef(kind="GPUNode", uid=report.uid, name=report.node), REASON, text)


def _is_predicted(node: Node) -> bool:
    """Whether the plugin gives out whole GPUs by their links there, and few enough that its choice is worked out."""
    by_plugin = node.allocator is Allocator.DEVICE_PLUGIN and node.links is not None and node.links.size <= PREDICTED
    return by_plugin and node.replicas == 1 and not node.on_demand and not node.links_assumed


def _is_as_it_was(expected: _Expected, report: DevicesSeen) -> bool:
    """Whether nothing happened on the node that the expectation did not know of: nobody left, came, or fell ill."""
    now: Mapping[str, tuple[int, ...]] = dict(report.held)
    kept = all(now.get(name) == devices for name, devices in expected.before)
    known = {name for name, _ in expected.before} | expected.beside
    return kept and now.keys() <= known and usable(report.devices) == expected.usable


def _steps(pod: Pod) -> tuple[int, ...]:
    return pod.shape.gpu_steps or (pod.shape.requests.gpus,)


def _written(some: int) -> str:
    return ",".join(map(str, indexes(some)))
