from pathlib import Path

import pytest
import yaml

from scheduler.localcluster import assets, manifests
from scheduler.localcluster.build import Binaries
from scheduler.localcluster.errors import InputError
from scheduler.localcluster.layout import Layout
from scheduler.localcluster.parts import Parts
from scheduler.localcluster.record import Ports

PORTS = Ports(
    etcd=1, apiserver=2, controller_manager=3, scheduler=4, own_scheduler=5, kwok=6, service=7, service_grpc=8
)


def kustomization(folder: Path, **content: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"kind": "Kustomization", **content}), encoding="utf-8")
    return folder


def test_resources_are_followed_into_other_folders(tmp_path: Path) -> None:
    kustomization(tmp_path / "other", resources=["b.yaml"])
    (tmp_path / "other" / "b.yaml").write_text("kind: B\n---\nkind: C\n---\n", encoding="utf-8")
    base = kustomization(tmp_path / "base", resources=["a.yaml", "../other"])
    (base / "a.yaml").write_text("kind: A", encoding="utf-8")
    assert [o["kind"] for o in manifests.load(base)] == ["A", "B", "C"]


def test_what_is_not_followed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='"patches" is not followed here'):
        manifests.load(kustomization(tmp_path, patches=[]))


def test_a_missing_resource_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the manifest .*none.yaml"):
        manifests.load(kustomization(tmp_path, resources=["none.yaml"]))


def test_what_needs_kubelets_is_left_out_and_what_others_refer_to_comes_first() -> None:
    kinds = ["Deployment", "ConfigMap", "Queue", "ServiceAccount", "CustomResourceDefinition", "Namespace"]
    kept = manifests.runs_without_kubelets([{"kind": kind} for kind in kinds])
    assert [o["kind"] for o in kept] == [
        "Namespace",
        "CustomResourceDefinition",
        "ServiceAccount",
        "ConfigMap",
        "Queue",
    ]


def test_the_own_schedulers_configuration_gets_this_clusters_addresses(tmp_path: Path) -> None:
    configuration = manifests.scheduler_configuration(manifests.load(assets.manifests() / "base"))
    layout = Layout(tmp_path)
    part = Parts(layout, PORTS, Binaries(multicall=Path("/cp"), own={})).own_scheduler(configuration)

    assert part.command[:2] == ["/cp", "kube-scheduler"]
    assert f"--config={layout.own_scheduler_config}" in part.command
    written = yaml.safe_load(layout.own_scheduler_config.read_text(encoding="utf-8"))
    assert written["extenders"][0]["urlPrefix"] == "http://127.0.0.1:7"
    assert written["extenders"][0]["filterVerb"] == configuration["extenders"][0]["filterVerb"]
    assert written["clientConnection"]["kubeconfig"] == str(layout.kubeconfig("bayplan-kube-scheduler"))
    assert written["leaderElection"] == {"leaderElect": False}
    assert written["profiles"] == configuration["profiles"]


def test_exactly_one_configuration_is_needed() -> None:
    with pytest.raises(InputError, match="have 0 ConfigMaps"):
        manifests.scheduler_configuration([{"kind": "ConfigMap", "data": {"a": "kind: Other"}}])
