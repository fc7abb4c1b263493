"""Records anew what a real kube-scheduler asks its extender: `python -m tests.cluster.record`, half a minute.

tests/extender/test_recorded.py replays it. The requests hold what stands on the pods below, and nothing of the machine.
"""

import shutil
import tempfile
from pathlib import Path

from scheduler.localcluster.cluster import LocalCluster
from scheduler.localcluster.fleet import Group
from scheduler.localcluster.options import ClusterOptions
from tests.cluster.harness.lab import Lab
from tests.cluster.harness.objects import asking, gang_job, noted, pod, queue
from tests.cluster.harness.policy import no_gating
from tests.extender.record import Recorder

INTO = Path(__file__).resolve().parents[1] / "extender" / "recorded"


def record(lab: Lab) -> None:
    """Have kube-scheduler ask everything that it can ask."""
    lab.nodes(
        Group(name="h100", count=4, machine="hgx_h100"),
        Group(name="mig", count=1, machine="dgx_a100", mig={"1g.10gb": 7}),
    )
    lab.create(queue("plenty", nominal=1000, namespaces=["default"]))
    _, front = lab.start_behind_front(nominate="always")
    front.keep = Recorder(INTO).keep
    # A planned gang, nominated and bound through the barrier; pods without GPUs; pods that may choose among nodes.
    lab.create(gang_job("train", pods=3, gpus=8))
    lab.bound_whole("train-", 3)
    term = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"}
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    lab.create(*(noted(pod(f"db-{i}", gpus=1, affinity=apart), labels={"app": "db"}) for i in range(2)))
    lab.create(pod("plain"), asking(pod("slice"), {"nvidia.com/mig-1g.10gb": "1"}))
    for name, count in {"db-": 2, "plain": 1, "slice": 1}.items():
        lab.bound_whole(name, count)
    # Without the gate: one that waits, and one for which kube-scheduler would have others leave.
    with no_gating(lab):
        urgent = "system-cluster-critical"
        lab.create(
            pod("waits", gpus=1, gang="never", size=3),
            pod("pushes", gpus=8, gang="never", size=3, priorityClassName=urgent),
        )
        lab.eventually("it asked about victims", lambda: any(call.verb == "preempt" for call in front.calls))
        lab.settle()


def main() -> None:
    shutil.rmtree(INTO, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        options = ClusterOptions(with_service=False)
        with LocalCluster.running(Path(folder) / "cluster", options) as cluster:
            lab = Lab(cluster, Path(folder))
            try:
                record(lab)
            finally:
                lab.close()
    print(f"{len(list(INTO.iterdir()))} requests are in {INTO}")  # noqa: T201  a program for people


if __name__ == "__main__":
    main()
