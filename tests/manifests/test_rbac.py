"""Rights: each with its reason, and none that nobody needs."""

from pathlib import Path

import pytest

from scheduler.kube.dialects.kinds import DEVICE_KINDS, FOREIGN_KINDS
from tests.manifests.files import MANIFESTS, Document, base, objects, one

FILES = sorted(
    [
        *(p for p in (MANIFESTS / "rbac").glob("*.yaml") if p.name != "kustomization.yaml"),
        MANIFESTS / "dra" / "rbac.yaml",
        MANIFESTS / "mig" / "rbac.yaml",
        MANIFESTS / "exporter" / "rbac.yaml",
    ]
)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_rule_has_its_reason_beside_it(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    bare = [n for n, line in enumerate(lines, 1) if line.startswith("  - apiGroups:") and not is_reason(lines[n - 2])]
    assert bare == []


def is_reason(line: str) -> bool:
    return line.startswith("  # ") and len(line.split()) > 4


def rules(kind: str, name: str) -> list[Document]:
    return one(kind, name)["rules"]


def granted() -> set[tuple[str, str, str]]:
    """Group, resource and verb of everything the service may do in the whole cluster."""
    return {
        (group, resource, verb)
        for rule in rules("ClusterRole", "bayplan")
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_nothing_is_granted_by_wildcard() -> None:
    for role in [*base("ClusterRole"), *base("Role")]:
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_the_service_writes_only_what_a_plan_needs() -> None:
    writes = {g for g in granted() if g[2] not in ("get", "list", "watch")}
    assert writes == {
        ("", "pods", "patch"),
        ("", "pods/status", "patch"),
        ("", "pods/binding", "create"),
        ("", "pods/eviction", "create"),
        ("bayplan.dev", "queues", "patch"),
        ("bayplan.dev", "queues/status", "patch"),
        ("events.k8s.io", "events", "create"),
    }


def test_the_service_reads_no_secret_and_no_configuration() -> None:
    read = {resource for _, resource, verb in granted() if verb in ("get", "list", "watch")}
    foreign = {kind.plural for kind in (*DEVICE_KINDS, *FOREIGN_KINDS)}
    assert read - foreign == {
        *("pods", "nodes", "jobs", "namespaces", "poddisruptionbudgets"),
        *("queues", "queues/status", "gpunodes", "topologies", "events"),
    }


def test_the_service_may_read_the_foreign_kinds_that_it_watches_and_write_none_of_them() -> None:
    known = {(kind.group, kind.plural) for kind in FOREIGN_KINDS}
    allowed = {(group, resource, verb) for group, resource, verb in granted() if (group, resource) in known}
    assert allowed == {(group, plural, verb) for group, plural in known for verb in ("list", "watch")}


def test_of_claims_the_service_writes_what_an_allocation_takes_and_makes_and_deletes_none() -> None:
    role, binding = (o for o in objects(MANIFESTS / "dra") if o["kind"].startswith("ClusterRole"))
    assert {r["apiGroups"][0] for r in role["rules"]} == {"resource.k8s.io"}
    writes = {(resource, verb) for r in role["rules"] for resource in r["resources"] for verb in r["verbs"]} - {
        ("deviceclasses", "get"),
        ("resourceclaims", "get"),
    }
    assert writes == {
        ("resourceclaims", "patch"),
        ("resourceclaims", "update"),
        ("resourceclaims/status", "patch"),
        ("resourceclaims/binding", "patch"),
    }
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == one("ClusterRoleBinding", "bayplan")["subjects"]


def test_the_service_may_read_what_tells_of_devices_that_pods_claim() -> None:
    wanted = {(kind.group, kind.plural, verb) for kind in DEVICE_KINDS for verb in ("list", "watch")}
    assert wanted <= granted()


def test_leases_are_named_except_where_the_api_cannot() -> None:
    for role in [*base("ClusterRole"), *base("Role")]:
        for rule in role["rules"]:
            if "leases" in rule["resources"]:
                assert rule["verbs"] == ["create"] or rule["resourceNames"]
                assert role["kind"] == "Role"


def test_every_binding_meets_a_role_and_an_account() -> None:
    roles = {
        (r["kind"], r["metadata"].get("namespace"), r["metadata"]["name"])
        for k in ("ClusterRole", "Role")
        for r in base(k)
    }
    built_in = {
        ("ClusterRole", None, "system:kube-scheduler"),
        ("ClusterRole", None, "system:volume-scheduler"),
        ("Role", "kube-system", "extension-apiserver-authentication-reader"),
    }
    accounts = {(a["metadata"]["namespace"], a["metadata"]["name"]) for a in base("ServiceAccount")}
    for binding in [*base("ClusterRoleBinding"), *base("RoleBinding")]:
        ref = binding["roleRef"]
        namespace = binding["metadata"].get("namespace") if ref["kind"] == "Role" else None
        assert (ref["kind"], namespace, ref["name"]) in roles | built_in
        for subject in binding["subjects"]:
            assert (subject["namespace"], subject["name"]) in accounts
