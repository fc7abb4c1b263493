"""The three definitions: structural, described, with status and columns."""

from collections.abc import Iterator

import pytest

from scheduler.model.policy import Policy
from tests.manifests.files import Document, base

DEFINITIONS = base("CustomResourceDefinition")
each_definition = pytest.mark.parametrize("crd", DEFINITIONS, ids=lambda d: d["spec"]["names"]["kind"])


def version(crd: Document) -> Document:
    (only,) = crd["spec"]["versions"]
    return only


def schema(crd: Document) -> Document:
    return version(crd)["schema"]["openAPIV3Schema"]


def fields(node: Document, path: str) -> Iterator[tuple[str, Document]]:
    """Every field below `node` with its path."""
    for name, child in node.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from fields(child, f"{path}.{name}")
    if "items" in node:
        yield from fields(node["items"], f"{path}[]")


def test_the_kinds() -> None:
    assert [c["spec"]["names"]["kind"] for c in DEFINITIONS] == ["Queue", "GPUNode", "Topology"]


@each_definition
def test_group_scope_and_names(crd: Document) -> None:
    spec = crd["spec"]
    assert spec["group"] == "bayplan.dev"
    assert spec["scope"] == "Cluster"
    assert spec["names"]["categories"] == ["bayplan"]
    assert len(spec["names"]["shortNames"]) == 1
    assert crd["metadata"]["name"] == f"{spec['names']['plural']}.bayplan.dev"
    assert version(crd)["name"] == "v1alpha1"
    assert version(crd)["subresources"] == {"status": {}}


@each_definition
def test_every_field_says_what_it_is(crd: Document) -> None:
    own = {".apiVersion", ".kind", ".metadata"}
    bare = [
        path
        for path, field in fields(schema(crd), "")
        if path not in own and len(field.get("description", "").split()) < 3
    ]
    assert bare == []


@each_definition
def test_amounts_say_their_unit(crd: Document) -> None:
    units = {"MilliGpu": "thousandths of a GPU", "MiB": "MiB", "Seconds": "seconds", "PerSecond": "GB/s"}
    for path, field in fields(schema(crd), ""):
        for suffix, words in units.items():
            if path.endswith(suffix):
                assert words in field["description"], path
        if path.startswith(".spec") and path.endswith(("nominal", "borrowingLimit", "lendingLimit")):
            unit = "cores" if ".cpu." in path else "GiB" if ".memory." in path else "GPUs"
            assert f"whole {unit}" in field["description"], path


@each_definition
def test_lists_are_bounded_and_say_how_they_merge(crd: Document) -> None:
    lists = [(path, field) for path, field in fields(schema(crd), "") if field.get("type") == "array"]
    assert [path for path, field in lists if "maxItems" not in field or "x-kubernetes-list-type" not in field] == []


@each_definition
def test_conditions_are_the_standard_ones(crd: Document) -> None:
    conditions = schema(crd)["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert conditions["items"]["required"] == ["type", "status", "lastTransitionTime", "reason", "message"]


def test_numbers_of_a_queue_stand_at_zero_or_above_and_limits_have_no_default() -> None:
    spec = schema(DEFINITIONS[0])["properties"]["spec"]["properties"]
    for place in (spec, spec["flavors"]["items"]["properties"]):
        for name in ("nominal", "borrowingLimit", "lendingLimit"):
            assert place[name]["minimum"] == 0
            assert "default" not in place[name]
    defaults = {name: field["default"] for name, field in spec.items() if "default" in field}
    assert defaults == {"weight": 1, "priority": 0, "minRuntimeSeconds": 0, "order": "Fair"}


def test_policies_of_a_queue_are_those_of_the_planner() -> None:
    spec = schema(DEFINITIONS[0])["properties"]["spec"]["properties"]
    assert sorted(spec["policy"]["enum"]) == sorted(policy.value for policy in Policy)


def test_a_gpu_node_is_all_report() -> None:
    assert set(schema(DEFINITIONS[1])["properties"]) == {"apiVersion", "kind", "metadata", "status"}
