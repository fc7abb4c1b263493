"""Reading manifests the way kustomize does: by following `resources`, nothing else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "manifests"
KUSTOMIZATION = "kustomization.yaml"

Document = dict[str, Any]


def documents(path: Path) -> list[Document]:
    """The YAML documents of the file `path`."""
    return [d for d in yaml.safe_load_all(path.read_text(encoding="utf-8")) if d is not None]


def kustomization(folder: Path) -> Document:
    """The kustomization of `folder`."""
    (found,) = documents(folder / KUSTOMIZATION)
    return found


def resource_files(folder: Path) -> Iterator[Path]:
    """The files that the kustomization in `folder` names, in its order, folders followed."""
    for entry in kustomization(folder)["resources"]:
        path = (folder / entry).resolve()
        if path.is_dir():
            yield from resource_files(path)
        else:
            yield path


def objects(folder: Path) -> list[Document]:
    """Every object that the kustomization in `folder` leads to."""
    return [d for path in resource_files(folder) for d in documents(path)]


def base(kind: str) -> list[Document]:
    """The objects of `kind` in the base."""
    return [o for o in objects(MANIFESTS / "base") if o["kind"] == kind]


def name_of(obj: Document) -> str:
    """`Kind namespace/name`, to tell objects apart in a failure."""
    meta = obj["metadata"]
    return f"{obj['kind']} {meta.get('namespace', '')}/{meta['name']}"


def one(kind: str, name: str) -> Document:
    """The object `kind` `name` of the base."""
    (found,) = [o for o in base(kind) if o["metadata"]["name"] == name]
    return found
