"""Makes `recorded/` anew: `python -m tests.extender.record_from_cluster` (needs the local control plane, a minute).

Plays scenes that make kube-scheduler ask every kind of question, with the service answering behind the recorder.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from scheduler.localcluster.api import Json
from scheduler.localcluster.cluster import LocalCluster
from scheduler.localcluster.options import ClusterOptions
from tests.cluster.harness.lab import Lab
from tests.cluster.harness.objects import gang_job, pod, queue
from tests.extender.record import recording

RECORDED = Path(__file__).parent / "recorded"
PRIORITIES = "/apis/scheduling.k8s.io/v1/priorityclasses"


def play(lab: Lab) -> None:
    """Gangs with and without nomination, single pods with a choice, pods that are not ours, preemption."""
    lab.h100(3)
    lab.create(gang_job("train", pods=2, gpus=8))
    lab.bound_whole("train-", 2)
    lab.create(_spread(pod("notebook", gpus=1)))
    lab.bound_whole("notebook", 1)
    lab.create(pod("plain"))
    lab.bound_whole("plain", 1)
    lab.delete_job("train")
    lab.eventually("the gang is gone", lambda: not lab.pods("train-"))
    lab.create(_spread(pod("chooser", gpus=1)))
    lab.bound_whole("chooser", 1)
    lab.api.create(PRIORITIES, {"kind": "PriorityClass", "metadata": {"name": "urgent"}, "value": 1000})
    lab.create(*(_large(f"filler-{i}") for i in range(3)))
    lab.bound_whole("filler-", 3)
    lab.create(_large("pusher", "urgent"))
    lab.bound_whole("pusher", 1)


def _spread(made: Json) -> Json:
    """A rule that only kube-scheduler can judge, so that it is offered a choice."""
    made["metadata"]["labels"]["app"] = "notebook"
    made["spec"]["topologySpreadConstraints"] = [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "notebook"}},
        }
    ]
    return made


def _large(name: str, priority: str = "") -> Json:
    """A pod without GPUs of which a node holds one."""
    made = pod(name, priorityClassName=priority)
    amounts = {"cpu": "100", "memory": "64Mi"}
    made["spec"]["containers"][0]["resources"] = {"requests": amounts, "limits": amounts}
    return made


def main() -> int:
    """Record all scenes."""
    shutil.rmtree(RECORDED, ignore_errors=True)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        with LocalCluster.running(folder / "cluster", ClusterOptions(with_service=False)) as cluster:
            lab = Lab(cluster, folder)
            lab.create(queue("plenty", nominal=1000, namespaces=["default"]))
            for nominate in ("always", "never"):
                replica = lab.make_replica(cluster.kubeconfig("bayplan"), {"nominate": nominate})
                recorder = recording(replica.url, RECORDED, cluster.service_address[1])
                lab.background.call(recorder.__aenter__())
                lab.start(replica)
                try:
                    play(lab) if nominate == "always" else _gang_only(lab)
                finally:
                    lab.end_services()
                    lab.background.call(recorder.__aexit__(None, None, None))
            lab.close()
    print("\n".join(sorted(file.name for file in RECORDED.iterdir())))  # noqa: T201  says what it made
    return 0


def _gang_only(lab: Lab) -> None:
    lab.create(gang_job("unnamed", pods=2, gpus=1))
    lab.bound_whole("unnamed-", 2)


if __name__ == "__main__":
    sys.exit(main())
