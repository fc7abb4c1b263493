"""`kubectl apply -k manifests/base` brings everything, once, with one image to set."""

from collections import Counter
from pathlib import Path

import pytest

from tests.manifests.files import (
    KUSTOMIZATION,
    MANIFESTS,
    Document,
    base,
    documents,
    kustomization,
    name_of,
    objects,
    resource_files,
)

FOLDERS = sorted(p.parent for p in MANIFESTS.rglob(KUSTOMIZATION))
# Read by people and by a kube-scheduler, not by kubectl apply -k.
NO_RESOURCES = {MANIFESTS / "scheduler-profile" / "kube-scheduler.yaml"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.relative_to(MANIFESTS).as_posix())
def test_every_file_is_named_and_every_name_is_there(folder: Path) -> None:
    named = {(folder / entry).resolve() for entry in kustomization(folder)["resources"]}
    there = {p for p in folder.glob("*.yaml") if p.name != KUSTOMIZATION} - NO_RESOURCES
    assert {p for p in named if not p.exists()} == set()
    assert {p for p in named if p.is_file()} == there


def test_base_leads_to_every_folder_that_is_no_variant() -> None:
    variants = {"base", "components", "dashboards", "dra", "dra-alone", "examples", "mig", "scheduler-profile"}
    wanted = {p for p in MANIFESTS.iterdir() if p.is_dir() and p.name not in variants}
    assert {f.parent for f in resource_files(MANIFESTS / "base")} - {MANIFESTS / "base"} == wanted


def test_no_object_stands_twice() -> None:
    counts = Counter(name_of(o) for o in objects(MANIFESTS / "base"))
    assert [name for name, n in counts.items() if n > 1] == []


def test_everything_is_labelled_as_bayplans() -> None:
    bare = [
        name_of(o)
        for folder in ("base", "dra", "dra-alone", "mig")
        for o in objects(MANIFESTS / folder)
        if o["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") != "bayplan"
        or "app.kubernetes.io/name" not in o["metadata"]["labels"]
    ]
    assert bare == []


def test_namespaced_objects_stand_in_the_own_namespaces_or_for_a_reason_in_kube_system() -> None:
    elsewhere = {
        name_of(o)
        for o in objects(MANIFESTS / "base")
        if o["metadata"].get("namespace", "bayplan-system") not in {"bayplan-system", "bayplan-exporter"}
    }
    assert elsewhere == {
        "RoleBinding kube-system/bayplan-kube-scheduler-authentication-reader",
    }


def images(deployment: Document) -> list[str]:
    spec = deployment["spec"]["template"]["spec"]
    return [c["image"] for c in [*spec["containers"], *spec.get("initContainers", [])]]


def test_the_image_is_set_in_one_place() -> None:
    (entry,) = kustomization(MANIFESTS / "base")["images"]
    assert entry["name"] == "bayplan"
    assert set(entry) == {"name", "newName", "newTag"}
    used = Counter(i for d in base("Deployment") for i in images(d))
    assert used["bayplan"] == 1
    # Nothing else may set it again: kustomize would apply both.
    assert [f for f in FOLDERS if "images" in kustomization(f)] == [MANIFESTS / "base"]


def test_no_image_moves_under_our_feet() -> None:
    (entry,) = kustomization(MANIFESTS / "base")["images"]
    used = [i for d in base("Deployment") for i in images(d) if i != entry["name"]]
    used.append(f"{entry['newName']}:{entry['newTag']}")
    for path in (MANIFESTS / "examples").glob("*.yaml"):
        for o in documents(path):
            template = o.get("spec", {}).get("template", o if o["kind"] == "Pod" else None)
            used += [c["image"] for c in template["spec"]["containers"]] if template else []
    assert [i for i in used if ":" not in i or i.endswith(":latest")] == []


def test_patches_of_components_meet_an_object_each() -> None:
    component = kustomization(MANIFESTS / "components" / "shared-scheduler")
    there = [(o["kind"], o["metadata"]["name"]) for o in objects(MANIFESTS / "base")]
    for patch in component["patches"]:
        assert (patch["target"]["kind"], patch["target"]["name"]) in there


def test_the_shared_scheduler_leaves_nothing_of_the_second_one() -> None:
    component = kustomization(MANIFESTS / "components" / "shared-scheduler")
    removed = {(p["target"]["kind"], p["target"]["name"]) for p in component["patches"]}
    second = {
        (o["kind"], o["metadata"]["name"])
        for o in objects(MANIFESTS / "base")
        if o["metadata"]["labels"]["app.kubernetes.io/name"] == "bayplan-kube-scheduler"
    }
    assert removed == second
