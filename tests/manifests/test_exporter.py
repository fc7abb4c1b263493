"""The exporter's DaemonSet: what it may and reaches, and that it is started as it understands."""

import argparse

from scheduler.cli.main import build_parser
from scheduler.exporter.holdings import SOCKET
from tests.manifests.files import Document, base, one

NAME = "bayplan-exporter"


def spec() -> Document:
    return one("DaemonSet", NAME)["spec"]["template"]["spec"]


def container() -> Document:
    (found,) = spec()["containers"]
    return found


def arguments() -> argparse.Namespace:
    return build_parser("bayplan", "exporter").parse_args(container()["args"])


def test_it_mounts_the_folder_of_the_kubelets_socket_and_nothing_else() -> None:
    (volume,) = spec()["volumes"]
    (mount,) = container()["volumeMounts"]
    assert volume["hostPath"]["path"] == mount["mountPath"] == str(SOCKET.parent)
    assert mount["readOnly"]
    assert not any(spec().get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
    assert not container()["securityContext"].get("privileged")


def test_it_has_one_capability_and_writes_no_file() -> None:
    security = container()["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["SYS_ADMIN"]}
    assert security["readOnlyRootFilesystem"]


def test_it_is_started_as_the_command_understands() -> None:
    parsed = arguments()
    assert parsed.in_cluster
    assert not parsed.once
    (port,) = container()["ports"]
    assert parsed.listen == f"0.0.0.0:{port['containerPort']}"
    for probe in ("livenessProbe", "readinessProbe"):
        assert container()[probe]["httpGet"]["port"] == port["name"]
    assert container()["image"] == "bayplan"


def test_it_knows_its_node_and_reaches_the_driver() -> None:
    known = {one["name"]: one for one in container()["env"]}
    assert known["NODE_NAME"]["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"
    assert known["NVIDIA_VISIBLE_DEVICES"]["value"] == known["NVIDIA_MIG_MONITOR_DEVICES"]["value"] == "all"
    assert known["NVIDIA_DRIVER_CAPABILITIES"]["value"] == "utility"


def test_it_goes_to_gpu_nodes_whatever_keeps_others_away() -> None:
    assert spec()["tolerations"] == [{"operator": "Exists"}]
    terms = spec()["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert {e["key"] for term in terms for e in term["matchExpressions"]} >= {"nvidia.com/gpu.present"}


def test_labels_meet_selectors() -> None:
    own = one("DaemonSet", NAME)["spec"]
    labels = own["template"]["metadata"]["labels"]
    assert own["selector"]["matchLabels"].items() <= labels.items()
    policy = one("NetworkPolicy", NAME)["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()


def test_it_may_do_no_more_than_its_work_takes() -> None:
    granted = {
        (group, resource, verb)
        for rule in one("ClusterRole", NAME)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == {
        ("bayplan.dev", "gpunodes", "create"),
        ("bayplan.dev", "gpunodes", "get"),
        ("bayplan.dev", "gpunodes/status", "patch"),
        ("", "nodes", "get"),
    }
    assert one("ServiceAccount", NAME)["metadata"]["namespace"] == spec_namespace()


def spec_namespace() -> str:
    return one("DaemonSet", NAME)["metadata"]["namespace"]


def test_only_its_namespace_lets_pods_reach_the_node() -> None:
    levels = {
        n["metadata"]["name"]: n["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] for n in base("Namespace")
    }
    assert levels == {"bayplan-system": "restricted", spec_namespace(): "privileged"}
