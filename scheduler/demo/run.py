"""The demo from its first process to its last."""

import contextlib
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path

import msgspec

from scheduler.demo import home, report, verdict
from scheduler.demo.fabric import Fabric, read_fabric
from scheduler.demo.report import Report
from scheduler.demo.sight import look
from scheduler.demo.story import SETTINGS, Json, Story, Work, read_story
from scheduler.demo.track import Tracker
from scheduler.demo.view import View
from scheduler.localcluster import ClusterOptions, LocalCluster, Progress, fleet
from scheduler.localcluster.api import Api

_LOOK_S = 0.25
_COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "Queue": "/apis/bayplan.dev/v1alpha1/queues",
    "Topology": "/apis/bayplan.dev/v1alpha1/topologies",
    "Pod": "/api/v1/namespaces/{namespace}/pods",
    "Job": "/apis/batch/v1/namespaces/{namespace}/jobs",
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments",
}
REPORT = "report.json"


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`keep`: leave the cluster running at the end, unless the demo is interrupted."""

    state_dir: Path
    keep: bool = False


def run(options: DemoOptions, progress: Progress, view_of: Callable[[Story], View]) -> Report:
    """Run the demo and write its report. Nothing is left running where it is interrupted or fails.

    Raises:
        InputError: the state folder cannot be used.
        LocalClusterError: a part of the cluster failed.
    """
    story = read_story()
    began_s = time.monotonic()
    with home.fresh(options.state_dir, progress), _cluster(options, progress) as cluster:
        api = cluster.api()
        _set_up(api, story, cluster)
        ready_s = time.monotonic()
        fabric = read_fabric(api)
        tracker = Tracker(story)
        with view_of(story) as view:
            _watch(story, tracker, cluster, api, view)
        return _report(options, cluster, story, tracker, fabric, (ready_s - began_s, time.monotonic() - ready_s))


@contextlib.contextmanager
def _cluster(options: DemoOptions, progress: Progress) -> Generator[LocalCluster]:
    """The cluster of the demo, which lives on at the end only if it is to be kept and nothing went wrong."""
    cluster = LocalCluster(options.state_dir)
    kept = False
    try:
        cluster.start(
            ClusterOptions(fleet=fleet.default(), survive=options.keep, service_arguments=("--config", str(SETTINGS))),
            progress,
        )
        yield cluster
        kept = options.keep
    finally:
        if not kept:
            _stop(cluster)


def _stop(cluster: LocalCluster) -> None:
    """End the cluster, also where an interrupt, of which there is one at most, comes in between."""
    try:
        cluster.stop()
    except KeyboardInterrupt:
        cluster.stop()
        raise


def _create(api: Api, body: Json) -> None:
    place: Mapping[str, str] = body["metadata"]
    api.create(_COLLECTIONS[body["kind"]].format(namespace=place.get("namespace", "")), body)


def _set_up(api: Api, story: Story, cluster: LocalCluster) -> None:
    for body in story.teams:
        _create(api, body)
    for name in story.namespaces:
        cluster.wait_namespace(name)


def _watch(story: Story, tracker: Tracker, cluster: LocalCluster, api: Api, view: View) -> None:
    """Submit the work when its time has come, and look until all has come to its end or the time is up."""
    began_s = time.monotonic()
    left = list(story.work.values())
    sound = [work for work in left if work.promise.breaks]
    while True:
        for work in [w for w in left if _due(w, tracker)]:
            tracker.submitted(work.name, time.monotonic() - began_s)
            _create(api, work.manifest)
            left.remove(work)
        for work in [w for w in sound if tracker.traces[w.name].state == "running"]:
            cluster.break_node(fleet.default(), tracker.traces[work.name].nodes[0], work.promise.breaks)
            sound.remove(work)
        sights = look(api, story)
        at_s = time.monotonic() - began_s
        changes = tracker.saw(sights, at_s)
        view.show(tracker, changes, at_s)
        if (not left and verdict.settled(story, tracker.traces)) or at_s > story.time_limit_s:
            return
        cluster.check()
        time.sleep(_LOOK_S)


def _due(work: Work, tracker: Tracker) -> bool:
    return all(tracker.traces[name].started_s is not None for name in work.promise.after)


def _report(
    options: DemoOptions,
    cluster: LocalCluster,
    story: Story,
    tracker: Tracker,
    fabric: Fabric,
    took_s: tuple[float, float],
) -> Report:
    broken = verdict.broken(story, tracker.traces, fabric)
    made = Report(
        ok=not broken,
        broken=broken,
        nodes=fleet.default().nodes,
        start_s=round(took_s[0], 1),
        story_s=round(took_s[1], 1),
        kept=options.keep,
        kubeconfig=str(cluster.kubeconfig()),
        workloads=report.work_reports(story, tracker.traces, fabric),
    )
    report.write(made, options.state_dir / REPORT)
    return made
