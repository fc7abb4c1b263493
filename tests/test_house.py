"""Rules of the house that no linter knows: who may name what, how long a module may be, what the README promises."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from scheduler.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
MODULES = sorted(path for path in (ROOT / "scheduler").rglob("*.py") if not path.stem.endswith(("_pb2", "_pb2_grpc")))
LONGEST_LINES = 400

KEY_READERS = re.compile(r"kube/(keys|translate\w*|dialects/\w+)\.py")
NOT_POD_KEYS = {"bayplan.dev/v1alpha1", "bayplan.dev/planner"}
"""The API group's version and the name under which events are reported: neither is a label or an annotation."""

WRITERS = {"kube/effects.py", "kube/effects_claims.py", "kube/lease.py", "kube/reports.py"}
"""Pods, queues and nodes; ResourceClaims, through the fence of the first; who leads; and what each node's exporter
writes of its own node."""

OWN_CLUSTERS = ("localcluster/", "demo/")
"""They make nodes and Jobs in clusters that they started themselves; the service never imports them."""


def inside(path: Path) -> str:
    return path.relative_to(ROOT / "scheduler").as_posix()


def texts(path: Path) -> list[str]:
    """Every string literal of a module, docstrings left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told
    ]


def make_targets() -> dict[str, str]:
    """Targets of the Makefile that people call, and what `make help` says of each."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    said = dict(re.findall(r"^([a-z-]+):.*?## (.+)$", text, re.MULTILINE))
    return {name: said.get(name, "") for line in phony for name in line.split()}


@pytest.mark.parametrize("path", MODULES, ids=inside)
def test_modules_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_LINES


def test_half_of_the_modules_are_shorter_than_150_lines() -> None:
    lengths = sorted(len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES)
    assert lengths[len(lengths) // 2] <= 150


def test_only_translate_and_keys_know_labels_and_annotations() -> None:
    naming = {
        (inside(path), text)
        for path in MODULES
        if not KEY_READERS.fullmatch(inside(path)) and not inside(path).startswith(OWN_CLUSTERS)
        for text in texts(path)
        if re.fullmatch(r"bayplan\.dev/[\w.-]+", text) and text not in NOT_POD_KEYS
    }
    assert naming == set()


def test_only_effects_lease_and_reports_write_to_the_cluster() -> None:
    writing = {
        (inside(path), text)
        for path in MODULES
        if inside(path) not in WRITERS and not inside(path).startswith((*OWN_CLUSTERS, "extender/"))
        for text in texts(path)
        if text in {"POST", "PUT", "PATCH", "DELETE"} and not types_only(path, text)
    }
    assert writing == set()


def types_only(path: Path, text: str) -> bool:
    """Whether the word stands in the module only where the HTTP client declares which methods there are."""
    declared = re.search(r"^Method = Literal\[(.*)\]$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return declared is not None and texts(path).count(text) == 1 and f'"{text}"' in declared.group(1)


def test_make_help_lists_every_target() -> None:
    targets = make_targets()
    assert targets
    assert [name for name, said in targets.items() if not said] == []
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607
    assert all(f"make {name} " in shown for name in targets)


def test_the_readme_lists_the_commands_there_are() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `bayplan (\w+)` \|", text, flags=re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"])
def test_pages_name_only_what_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert text
    called = set(re.findall(r"(?:`|^\s*|\$ )make ([a-z-]+)", text, re.MULTILINE))
    assert called - set(make_targets()) == set()
    links = set(re.findall(r"\]\(([^)#:]+)\)", text))
    assert [link for link in sorted(links) if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"])
def test_pages_name_only_commands_that_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    called = set(re.findall(r"(?:`|^\s*|\$ |kubectl )bayplan ([a-z]+)", text, re.MULTILINE))
    assert called - set(COMMANDS) == set()


def test_the_architecture_names_only_modules_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:scheduler|tests|tools|manifests|benchmarks)/[\w./-]+)`", text))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
