"""What the demo submits and what it promises, as it stands in the files of `data/`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NewType, cast

import msgspec
import yaml

from scheduler.exporter.simulated.faults import parse_fault
from scheduler.model.resources import GPU, MIG_PREFIX

Json = dict[str, Any]
WorkName = NewType("WorkName", str)
"""`namespace/name` of a Job, a Deployment or a Pod of the demo. Its pods carry the name as the label `app`."""

Ending = Literal["completed", "running", "waiting"]

_DATA = Path(__file__).parent / "data"

SETTINGS = _DATA / "settings.yaml"
"""The settings of the service in the demo."""


class Promise(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One workload of the story; the keys are explained in story.yaml. `nodes` and `racks` 0: any number."""

    name: WorkName
    what: str
    after: Sequence[WorkName] = ()
    waits: Sequence[str] = ()
    starts_after: WorkName | None = None
    makes_way_for: WorkName | None = None
    breaks: str = ""
    ends: Ending
    nodes: int = 0
    racks: int = 0


class _StoryFile(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    time_limit_seconds: int
    workloads: Sequence[Promise]


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """A workload of the demo: its promise, the object to create, and what that asks for.

    Attributes:
        pods: how many pods it has.
        device: the extended resource that each pod asks for, and `per_pod` how many of it.
        gang: whether its pods start together or not at all.
    """

    promise: Promise
    manifest: Json
    team: str
    pods: int
    device: str
    per_pod: int
    gang: bool

    @property
    def name(self) -> WorkName:
        """`namespace/name`."""
        return self.promise.name

    @property
    def leaves(self) -> str:
        """Why it has to leave its nodes before its end; "" where it has not."""
        if self.promise.breaks:
            return f"left a node that failed ({self.promise.breaks})"
        return f"made way for {self.promise.makes_way_for}" if self.promise.makes_way_for is not None else ""

    @property
    def asks(self) -> str:
        """As in "4 x 8 GPU", "6 x mig-1g.10gb"."""
        short = self.device.removeprefix("nvidia.com/")
        each = f"{self.per_pod} GPU" if self.device == GPU else f"{self.per_pod} {short}" if self.per_pod > 1 else short
        return each if self.pods == 1 else f"{self.pods} x {each}"


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the demo does. `teams` are the objects made before any work."""

    time_limit_s: int
    teams: Sequence[Json]
    work: Mapping[WorkName, Work]

    @property
    def namespaces(self) -> Sequence[str]:
        """The namespaces of the teams."""
        return [o["metadata"]["name"] for o in self.teams if o["kind"] == "Namespace"]


def read_story(folder: Path = _DATA) -> Story:
    """The story in `folder`.

    Raises:
        ValueError: the files do not fit together; the text says where.
    """
    told = msgspec.convert(yaml.safe_load((folder / "story.yaml").read_text("utf-8")), _StoryFile)
    objects = {_name(o): o for o in _documents(folder / "workloads.yaml")}
    promised = [promise.name for promise in told.workloads]
    if sorted(promised) != sorted(objects):
        odd = sorted(set(promised) ^ set(objects))
        raise ValueError(f"{odd[0]} stands in one of story.yaml and workloads.yaml only")
    for promise in told.workloads:
        if promise.breaks:
            parse_fault(promise.breaks)
        named = [*promise.after, *(one for one in (promise.starts_after, promise.makes_way_for) if one)]
        unknown = sorted(set(named) - set(objects))
        if unknown:
            raise ValueError(f"{promise.name} names {unknown[0]}, which is no workload of the story")
    return Story(
        time_limit_s=told.time_limit_seconds,
        teams=_documents(folder / "teams.yaml"),
        work={p.name: _work(p, objects[p.name]) for p in told.workloads},
    )


def _documents(path: Path) -> list[Json]:
    return cast("list[Json]", list(yaml.safe_load_all(path.read_text("utf-8"))))


def _name(manifest: Json) -> WorkName:
    return WorkName(f"{manifest['metadata']['namespace']}/{manifest['metadata']['name']}")


def _work(promise: Promise, manifest: Json) -> Work:
    kind: str = manifest["kind"]
    pod: Json = manifest if kind == "Pod" else manifest["spec"]["template"]
    amounts: Mapping[str, str] = pod["spec"]["containers"][0]["resources"]["limits"]
    device = next(name for name in amounts if name == GPU or name.startswith(MIG_PREFIX))
    count: Mapping[str, int] = {} if kind == "Pod" else manifest["spec"]
    return Work(
        promise=promise,
        manifest=manifest,
        team=manifest["metadata"]["namespace"],
        pods=count.get("replicas", count.get("completions", 1)),
        device=device,
        per_pod=int(amounts[device]),
        gang="bayplan.dev/gang" in pod["metadata"]["labels"],
    )
