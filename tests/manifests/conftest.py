"""A control plane with the manifests installed, without the service and its kube-scheduler."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scheduler.localcluster.api import Api, Json
from scheduler.localcluster.cluster import LocalCluster
from scheduler.localcluster.errors import ApiError
from scheduler.localcluster.options import ClusterOptions
from scheduler.localcluster.waiting import until
from tests.manifests.people import Reader, Somebody, claim, pod

TEAM = "red"


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The admin's kubeconfig, once every policy is in force."""
    options = ClusterOptions(with_scheduler=False, with_service=False)
    with LocalCluster.running(tmp_path_factory.mktemp("manifests"), options) as cluster:
        cluster.add_namespace(TEAM)
        api = cluster.api()
        wait_guards(api)
        api.close()
        yield cluster.kubeconfig()


def wait_guards(api: Api) -> None:
    """Wait until the guards refuse: the server takes a policy up some time after it was written."""
    pods, claims = f"/api/v1/namespaces/{TEAM}/pods", f"/apis/resource.k8s.io/v1/namespaces/{TEAM}/resourceclaims"
    api.create(pods, pod("probe", gpus=1))
    api.create(claims, claim("probe", "gpu.bayplan.dev"))
    probes: tuple[tuple[str, Json], ...] = (
        (f"{pods}/probe", {"spec": {"schedulingGates": None}}),
        (f"{pods}/probe/status", {"status": {"nominatedNodeName": "n"}}),
        (f"{claims}/probe/status", {"status": {"allocation": {}}}),
    )
    for path, patch in probes:
        until(lambda p=path, b=patch: refused(api, p, b), timeout_s=20, what=f"the guard of {path}")
    api.delete(f"{pods}/probe?gracePeriodSeconds=0")
    api.delete(f"{claims}/probe")


def refused(api: Api, path: str, patch: Json) -> bool:
    """Whether the API server forbids this patch."""
    try:
        api.merge(f"{path}?dryRun=All", patch)
    except ApiError as err:
        return err.status == 403
    return False


@pytest.fixture(scope="session")
def admin(kubeconfig: Path) -> Iterator[Api]:
    """The API server as its admin sees it."""
    api = Api(kubeconfig)
    yield api
    api.close()


@pytest.fixture(scope="session")
def as_user(kubeconfig: Path) -> Iterator[Callable[[str], Api]]:
    """The API server as the named user sees it."""
    known: dict[str, Somebody] = {}
    yield lambda user: known.setdefault(user, Somebody(kubeconfig, user))
    for somebody in known.values():
        somebody.close()


@pytest.fixture(scope="session")
def reader(kubeconfig: Path) -> Iterator[Reader]:
    """The API server as `kubectl get` sees it."""
    api = Reader(kubeconfig)
    yield api
    api.close()


@pytest.fixture(scope="session")
def team(kubeconfig: Path) -> str:
    """A namespace in which pods can be made."""
    del kubeconfig
    return TEAM
