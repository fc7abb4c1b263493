"""One control plane for all scenarios that a worker runs, and a swept one for each."""

from collections.abc import Iterator

import pytest

from scheduler.localcluster.cluster import LocalCluster
from scheduler.localcluster.options import ClusterOptions
from tests.cluster.harness.lab import Lab
from tests.cluster.harness.objects import queue


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The control plane with Bayplan's manifests and kube-scheduler; tests start the service as they need it."""
    folder = tmp_path_factory.mktemp("lab")
    with LocalCluster.running(folder / "cluster", ClusterOptions(with_service=False)) as cluster:
        lab = Lab(cluster, folder)
        try:
            yield lab
        finally:
            lab.close()


@pytest.fixture
def lab(running: Lab) -> Lab:
    """A cluster without pods, every part of it running; the namespace has a queue that is never short."""
    running.sweep()
    running.create(queue("plenty", nominal=1000, namespaces=["default"]))
    return running
