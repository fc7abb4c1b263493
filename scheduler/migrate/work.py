"""Pods, and whatever makes pods from a template: which of their values Bayplan reads, and which it does not.

A key counts as understood where a pod without it is another pod to Bayplan: that is asked of the reader itself, by
which the service reads pods.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from scheduler.kube.translate_pod import PodReader
from scheduler.migrate.foreign import NOT_READ, WHY, dialect_of, whose_resource
from scheduler.migrate.records import Body, Found, Manifest, Value, mapping_of, text_of
from scheduler.migrate.sheet import Sheet
from scheduler.model.workload import Pod
from scheduler.state.events import PodSeen

PLACES = ("labels", "annotations")
CONTAINERS = ("containers", "initContainers")
DEFAULT_SCHEDULER = "default-scheduler"
NO_DEVICE = "no device that Bayplan plans"


def is_work(manifest: Manifest) -> bool:
    """Whether it is a pod or has a template of one."""
    return any(True for _ in templates(manifest))


def translate_work(manifests: Sequence[Manifest], *, scheduler_name: str) -> list[Found]:
    """What is found in each."""
    reader = PodReader(scheduler_name)
    return [_found(manifest, reader, scheduler_name) for manifest in manifests]


def templates(manifest: Manifest) -> Iterator[tuple[str, Body]]:
    """Everything in a manifest that looks like a pod or a pod template, with its path."""
    if manifest.kind == "Pod" and not manifest.group:
        yield "", manifest.body
        return
    yield from _below("", dict(manifest.body))


def _below(path: str, value: Value) -> Iterator[tuple[str, Body]]:
    if isinstance(value, dict):
        if isinstance(mapping_of(value.get("spec")).get("containers"), list):
            yield path, value
            return
        for key, inside in value.items():
            yield from _below(f"{path}.{key}" if path else key, inside)
    elif isinstance(value, list):
        for at, inside in enumerate(value):
            yield from _below(f"{path}[{at}]", inside)


class _Looker:
    """Looks at one manifest: asks the reader of pods what it makes of each template, with and without each key."""

    def __init__(self, manifest: Manifest, reader: PodReader, scheduler_name: str) -> None:
        self.sheet = Sheet(manifest, "")
        self.dialects: dict[str, None] = {}
        self._manifest = manifest
        self._reader = reader
        self._scheduler_name = scheduler_name

    def template(self, path: str, template: Body) -> None:
        """Note what of a template is not read, or cannot be."""
        try:
            pod = self._read(template)
        except ValueError as err:
            self.sheet.note("unreadable", f"{path}spec", self._manifest.name, " ".join(str(err).split()))
            return
        if pod is None:
            return
        for problem in pod.problems:
            self.sheet.note("unreadable", f"{path}{problem.where}", problem.value, f"allowed: {problem.allowed}")
        metadata = mapping_of(template.get("metadata"))
        for place in PLACES:
            keys = mapping_of(metadata.get(place))
            for key, value in self._foreign(keys):
                others: Value = {other: said for other, said in keys.items() if other != key}
                less: Value = {**metadata, place: others}
                if _same(pod, self._read({**template, "metadata": less})):
                    self.sheet.note("no equivalent", f"{place}[{key}]", value, WHY.get(key, NOT_READ))
        for name, value in _resources(template).items():
            if whose := whose_resource(name):
                self.dialects[whose] = None
                self.sheet.note("no equivalent", f"resources[{name}]", value, WHY.get(name, NO_DEVICE))

    def owner(self) -> None:
        """Note the keys of what makes the pods."""
        for place in PLACES:
            for key, value in self._foreign(mapping_of(self._manifest.metadata.get(place))):
                self.sheet.note("no equivalent", f"metadata.{place}[{key}]", value, WHY.get(key, NOT_READ))

    def _foreign(self, keys: Body) -> Iterator[tuple[str, Value]]:
        for key, value in keys.items():
            if whose := dialect_of(key):
                self.dialects[whose] = None
                yield key, value

    def _read(self, template: Body) -> Pod | None:
        metadata, spec = mapping_of(template.get("metadata")), mapping_of(template.get("spec"))
        body = {
            "metadata": {
                "name": text_of(metadata.get("name")) or self._manifest.name,
                "namespace": self._manifest.namespace,
                "uid": "migrate",
                "labels": _texts(metadata.get("labels")),
                "annotations": _texts(metadata.get("annotations")),
            },
            "spec": {**spec, **_stored(spec), "schedulerName": self._scheduler_name},
            "status": {},
        }
        _, seen = self._reader.read(msgspec.json.encode(body))
        return seen.pod if isinstance(seen, PodSeen) else None


def _found(manifest: Manifest, reader: PodReader, scheduler_name: str) -> Found:
    looker = _Looker(manifest, reader, scheduler_name)
    schedulers: dict[str, None] = {}
    for path, template in templates(manifest):
        schedulers[text_of(mapping_of(template.get("spec")).get("schedulerName")) or DEFAULT_SCHEDULER] = None
        looker.template(f"{path}." if path else "", template)
    if manifest.kind != "Pod":
        looker.owner()
    found = looker.sheet.found(f"pods, now of {' and '.join(schedulers)}")
    return msgspec.structs.replace(found, dialect=" and ".join(looker.dialects), schedulers=tuple(schedulers))


def _stored(spec: Body) -> Body:
    """The containers as the API server stores them: what is limited is requested too, and quantities are text."""
    found: dict[str, Value] = {}
    for field in CONTAINERS:
        containers = spec.get(field)
        if isinstance(containers, list):
            found[field] = [_requesting(mapping_of(container)) for container in containers]
    return found


def _requesting(container: Body) -> Value:
    resources = mapping_of(container.get("resources"))
    wanted: dict[str, Value] = {**_texts(resources.get("limits")), **_texts(resources.get("requests"))}
    requests: dict[str, Value] = {"requests": wanted}
    return {**container, "resources": requests}


def _texts(value: Value) -> dict[str, str]:
    return {key: text_of(each) for key, each in mapping_of(value).items()}


def _same(pod: Pod, other: Pod | None) -> bool:
    return other is not None and msgspec.structs.replace(other, problems=pod.problems) == pod


def _resources(template: Body) -> Mapping[str, Value]:
    found: dict[str, Value] = {}
    spec = mapping_of(template.get("spec"))
    for field in CONTAINERS:
        containers = spec.get(field)
        for container in containers if isinstance(containers, list) else ():
            resources = mapping_of(mapping_of(container).get("resources"))
            for amounts in ("limits", "requests"):
                found.update(mapping_of(resources.get(amounts)))
    return found
