"""The pages say what there is: every reason, every class, every link."""

import re
from pathlib import Path

import pytest

from scheduler.model.plan import Reason
from tests.manifests.files import MANIFESTS, ROOT, base, objects

USERS = ROOT / "docs" / "users.md"
OPERATORS = ROOT / "docs" / "operators.md"
PAGES = [USERS, OPERATORS, MANIFESTS / "scheduler-profile" / "README.md"]

LINK = re.compile(r"\]\(([^)#]+)\)")
REASON_ROW = re.compile(r"^\| `([A-Z][A-Za-z]+)` \|", re.MULTILINE)
CLASS_ROW = re.compile(r"^\| `(bayplan-[a-z]+)` \| ([0-9]+) \|", re.MULTILINE)
QUEUE_ROW = re.compile(r"^\| (`namespaces`.*?)\n\n", re.MULTILINE | re.DOTALL)


def test_users_are_told_every_reason_and_no_other() -> None:
    assert sorted(REASON_ROW.findall(USERS.read_text("utf-8"))) == sorted(r.value for r in Reason)


def test_users_are_told_the_priority_classes() -> None:
    told = {name: int(value) for name, value in CLASS_ROW.findall(USERS.read_text("utf-8"))}
    assert told == {c["metadata"]["name"]: c["value"] for c in base("PriorityClass")}


def test_operators_are_told_every_field_of_a_queue() -> None:
    (crd,) = [c for c in base("CustomResourceDefinition") if c["spec"]["names"]["kind"] == "Queue"]
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    (rows,) = QUEUE_ROW.findall(OPERATORS.read_text("utf-8"))
    first_cells = "".join(line.split("|")[1] for line in f"| {rows}".splitlines())
    assert sorted(re.findall(r"`(\w+)`", first_cells)) == sorted(schema["properties"]["spec"]["properties"])


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text("utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_files_and_policies_that_are_named_are_there(page: Path) -> None:
    text = page.read_text("utf-8")
    files = set(re.findall(r"(?<![\w/])manifests/[\w./-]*\w", text))
    assert [name for name in sorted(files) if not (ROOT / name).exists()] == []
    known = {
        d["metadata"]["name"]
        for kind in ("MutatingAdmissionPolicy", "ValidatingAdmissionPolicy", "CustomResourceDefinition")
        for d in base(kind)
    } | {"mark-pods.bayplan.dev"}
    known |= {d["metadata"]["name"] for folder in ("dra", "dra-alone") for d in objects(MANIFESTS / folder)}
    assert [name for name in re.findall(r"[a-z-]+\.bayplan\.dev", text) if name not in known] == []
