"""Installing Bayplan's manifests in a running cluster, and giving its ServiceAccounts their kubeconfigs."""

from collections.abc import Callable
from pathlib import Path

from scheduler.localcluster import assets, kubeconfig, manifests
from scheduler.localcluster.api import Api, Json
from scheduler.localcluster.errors import ApiError
from scheduler.localcluster.layout import Layout
from scheduler.localcluster.parts import OWN_SCHEDULER, SERVICE
from scheduler.localcluster.ports import HOST
from scheduler.localcluster.record import Ports
from scheduler.localcluster.waiting import until

NAMESPACE = "bayplan-system"
EXPORTER = "bayplan-exporter"
"""The exporters' ServiceAccount, and their namespace."""

_TOKEN_S = 30 * 24 * 3600
_SETTLE_S = 30.0
_GATE = "bayplan.dev/plan"


def apply(api: Api) -> Json:
    """Apply manifests/base and manifests/dra; return the configuration of Bayplan's own kube-scheduler.

    Raises:
        InputError: the manifests are missing or not understood.
        ApiError: the server refused one.
    """
    objects = [o for folder in ("base", "dra") for o in manifests.load(assets.manifests() / folder)]
    manifests.apply(api, manifests.runs_without_kubelets(objects))
    return manifests.scheduler_configuration(objects)


def give_tokens(api: Api, layout: Layout, ports: Ports) -> None:
    """Write the kubeconfigs of the service and of its kube-scheduler, each with a token of its ServiceAccount.

    Raises:
        ApiError: a ServiceAccount is not there.
    """
    for account in (SERVICE, OWN_SCHEDULER):
        _give_token(api, layout, ports, NAMESPACE, account, layout.kubeconfig(account), {})


def give_exporter_token(api: Api, layout: Layout, ports: Ports, node: str) -> Path:
    """Write a kubeconfig with a token such as the exporter on `node` has: it names the node.

    Raises:
        ApiError: there is no such node, or no ServiceAccount of the exporters.
    """
    uid: str = api.get(f"/api/v1/nodes/{node}")["metadata"]["uid"]
    bound = {"boundObjectRef": {"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid}}
    path = layout.kubeconfig(f"exporter-{node}")
    _give_token(api, layout, ports, EXPORTER, EXPORTER, path, bound)
    return path


def _give_token(api: Api, layout: Layout, ports: Ports, namespace: str, account: str, path: Path, bound: Json) -> None:
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
    spec = {"expirationSeconds": _TOKEN_S, **bound}
    collection = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    token: str = api.create(collection, {**asked, "spec": spec})["status"]["token"]
    kubeconfig.write(
        path,
        server=f"https://{HOST}:{ports.apiserver}",
        authority=layout.authority.read_bytes(),
        user=f"system:serviceaccount:{namespace}:{account}",
        credential=token,
    )


def wait_gating(api: Api, hopeless: Callable[[], None]) -> None:
    """Wait until the policy that gates pods works: the server takes it up some time after it was written.

    Raises:
        LocalClusterError: it took longer than 30 s.
    """
    until(lambda: _gated(api), timeout_s=_SETTLE_S, what="the policy that gates pods", hopeless=hopeless)


def _gated(api: Api) -> bool:
    gpu = {"nvidia.com/gpu": "1"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bayplan-gate-probe"},
        "spec": {
            "schedulerName": "bayplan",
            "containers": [{"name": "main", "image": "none", "resources": {"limits": gpu}}],
        },
    }
    try:
        made = api.create("/api/v1/namespaces/default/pods?dryRun=All", pod)
    except ApiError:
        # The namespace has no ServiceAccount yet.
        return False
    return any(gate["name"] == _GATE for gate in made["spec"].get("schedulingGates", ()))
