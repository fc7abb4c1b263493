"""What Bayplan makes of a manifest that was written for another scheduler, read without any cluster."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import msgspec

from scheduler.kube.dialects import controllers, volcano
from scheduler.kube.dialects.classes import PRIORITY_CLASS
from scheduler.kube.dialects.kinds import GROUP_KINDS
from scheduler.kube.dialects.table import DIALECTS
from scheduler.kube.translate_objects import read_job
from scheduler.kube.translate_pod import PodReader
from scheduler.model.workload import GangClaim, Pod, Problem, RoleMinimums, Slices
from scheduler.state.events import GroupSeen, JobSeen, PodSeen

Document = Mapping[str, Any]

SCHEDULER = "bayplan"

ARGO = "argoproj.io"

OPERATORS = {"MPIJob": "mpi-operator"}


class UnderstoodDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What was understood of one object.

    `gang` is its name, None where its pods stand each alone; `size` and `least` are None where only the cluster tells.
    `priority_class` has its kind in front. `scheduler_names` are those that its pods name now; they have to name
    Bayplan's. `heard` are keys that count, `ignored` sentences on what is read and not honoured, `problems` what would
    be refused. `pods` is False for an object that makes none.
    """

    kind: str
    namespace: str
    name: str
    pods: bool = True
    gang: str | None = None
    size: int | None = None
    least: int | None = None
    role_least: RoleMinimums = ()
    queue: str | None = None
    priority_class: str = ""
    preemptible: bool = True
    topology_required: str | None = None
    topology_preferred: str | None = None
    topology_slices: Slices = ()
    roles: tuple[tuple[str, str], ...] = ()
    scheduler_names: tuple[str, ...] = ()
    dialects: tuple[str, ...] = ()
    heard: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def understood(document: Document) -> UnderstoodDocument | None:
    """What is understood of an object as `yaml.safe_load` gives it; None where it is none that concerns scheduling.

    Objects are of any kind that holds pod templates, a Pod, or one that describes a gang. Sizes come from the object
    itself; what controllers would write on its pods is taken as written.
    """
    kind, meta = str(document.get("kind", "")), _mapping(document.get("metadata"))
    name, namespace = str(meta.get("name", "") or meta.get("generateName", "")), str(meta.get("namespace", "default"))
    templates = list(_steps(document) if _api(document) == ARGO else _templates(document, ""))
    problems: list[str] = []
    group = _group(document, name, namespace, problems)
    if not templates and group is None:
        return None
    job = _job(document, namespace, problems) if kind == "Job" and _api(document) == "batch" else None
    pods = [
        pod
        for role, template in templates
        if (pod := _pod(document, kind, name, namespace, role, template, problems)) is not None
    ]
    found = _together(pods, job, group)
    metas = [meta, *(_mapping(template.get("metadata")) for _, template in templates)]
    keys = dict(_keys(metas))
    return msgspec.structs.replace(
        found,
        kind=kind,
        namespace=namespace,
        name=name,
        pods=bool(templates),
        scheduler_names=tuple(
            sorted({str(_mapping(t.get("spec")).get("schedulerName", "default-scheduler")) for _, t in templates})
        ),
        priority_class=found.priority_class
        or next(
            (
                f"{PRIORITY_CLASS} {named}"
                for _, t in templates
                if (named := _mapping(t.get("spec")).get("priorityClassName"))
            ),
            "",
        ),
        heard=tuple(sorted(where for where, dialect in keys.items() if dialect)),
        dialects=tuple(dict.fromkeys(dialect for dialect in keys.values() if dialect)),
        problems=(*found.problems, *problems),
    )


def _together(pods: Iterable[Pod], job: JobSeen | None, group: GroupSeen | None) -> UnderstoodDocument:
    """What pods, the Job above them and the object that describes their gang come to."""
    pods = list(pods)
    first = next((pod.gang for pod in pods if pod.gang is not None), None)
    claim = first or (None if job is None else job.gang)
    described = GangClaim(name="") if group is None else group.claim
    alone = group is not None and group.form == "alone"
    if claim is None and group is not None and not pods:
        claim = GangClaim(name=group.key.partition("/")[2])
    size = None
    if claim is not None and not alone:
        size = claim.size or described.size or (job.completions if job is not None else None)
    queues = [pod.queue for pod in pods] + ([job.queue] if job else []) + ([group.queue] if group else [])
    notes = [text for one in (*pods, job, group) if one is not None for text in one.notes]
    wrong: list[Problem] = [problem for one in (*pods, job, group) if one is not None for problem in one.problems]
    levels = [level for pod in pods if (level := pod.topology_required)] + ([group.topology_required] if group else [])
    wishes = [level for pod in pods if (level := pod.topology_preferred)] + (
        [group.topology_preferred] if group else []
    )
    slices = [part for pod in pods if (part := pod.topology_slices)] + ([group.topology_slices] if group else [])
    return UnderstoodDocument(
        kind="",
        namespace="",
        name="",
        gang=None if claim is None or alone else claim.name,
        size=size,
        least=None if claim is None or alone else claim.least or described.least,
        role_least=() if claim is None or alone else claim.role_least or described.role_least,
        queue=next((str(queue) for queue in queues if queue is not None), None),
        priority_class=next(
            (one.priority_class for one in (*pods, job, group) if one is not None and one.priority_class), ""
        ),
        preemptible=all(pod.preemptible for pod in pods) and (group is None or group.preemptible is not False),
        topology_required=next((level for level in levels if level), None),
        topology_preferred=next((level for level in wishes if level), None),
        topology_slices=next((part for part in slices if part), ()),
        roles=tuple(sorted({(pod.role, pod.role_required or "") for pod in pods if pod.role})),
        ignored=tuple(dict.fromkeys(notes)),
        problems=tuple(dict.fromkeys(str(problem) for problem in wrong)),
    )


def _api(document: Document) -> str:
    return str(document.get("apiVersion", "")).rpartition("/")[0]


def _mapping(value: object) -> Document:
    return cast("Document", value) if isinstance(value, Mapping) else {}


def _templates(value: object, role: str) -> Iterator[tuple[str, Document]]:
    """Everything in an object that has containers in a spec, and what it is called there: a replica type or a task."""
    if isinstance(value, Mapping):
        here = cast("Document", value)
        if isinstance(_mapping(here.get("spec")).get("containers"), list):
            yield role, here
            return
        called = here.get("name") or here.get("groupName")
        for key, below in here.items():
            of = str(called) if isinstance(called, str) else key if key not in ("spec", "template") else role
            yield from _templates(below, of)
    elif isinstance(value, list):
        for below in cast("list[object]", value):
            yield from _templates(below, role)


def _steps(document: Document) -> Iterator[tuple[str, Document]]:
    """The steps of an Argo Workflow that are pods: those with a container, a script, or a set of containers.

    Fields as in Argo's `pkg/apis/workflow/v1alpha1/workflow_types.go`; a step's own go before those of all steps.
    """
    spec = _mapping(document.get("spec"))
    spec = _mapping(spec.get("workflowSpec")) or spec
    steps = spec.get("templates")
    for step in cast("list[object]", steps) if isinstance(steps, list) else ():
        one = _mapping(step)
        several = _mapping(one.get("containerSet")).get("containers")
        containers = [
            *(each for field in ("container", "script") if (each := _mapping(one.get(field)))),
            *(cast("list[object]", several) if isinstance(several, list) else ()),
        ]
        if not containers:
            continue
        metas = _mapping(spec.get("podMetadata")), _mapping(one.get("metadata"))
        whole: dict[str, Any] = {
            field: value
            for field, value in (
                ("schedulerName", one.get("schedulerName") or spec.get("schedulerName")),
                ("priorityClassName", one.get("priorityClassName") or spec.get("podPriorityClassName")),
                ("nodeSelector", one.get("nodeSelector") or spec.get("nodeSelector")),
            )
            if value
        }
        yield (
            str(one.get("name", "")),
            {
                "metadata": {
                    field: {**_mapping(metas[0].get(field)), **_mapping(metas[1].get(field))}
                    for field in ("labels", "annotations")
                },
                "spec": {**whole, "containers": containers},
            },
        )


def _group(document: Document, name: str, namespace: str, problems: list[str]) -> GroupSeen | None:
    """The object as one that describes a gang, where it is of such a kind."""
    group, _, version = str(document.get("apiVersion", "")).rpartition("/")
    plural = f"{str(document.get('kind', '')).lower()}s"
    for foreign in GROUP_KINDS:
        if (foreign.group, foreign.plural) == (group, plural) and version in foreign.versions:
            try:
                seen = foreign.read(_raw(document, name, namespace))[1]
                return seen if isinstance(seen, GroupSeen) else None
            except ValueError as err:
                problems.append(f"it cannot be read: {err}")
    return None


def _job(document: Document, namespace: str, problems: list[str]) -> JobSeen | None:
    try:
        return read_job(_raw(document, str(_mapping(document.get("metadata")).get("name", "")), namespace))[1]
    except ValueError as err:
        problems.append(f"it cannot be read: {err}")
        return None


def _raw(document: Document, name: str, namespace: str) -> bytes:
    meta = {**_mapping(document.get("metadata")), "name": name, "namespace": namespace}
    return msgspec.json.encode({**document, "metadata": meta})


def _pod(
    document: Document, kind: str, name: str, namespace: str, role: str, template: Document, problems: list[str]
) -> Pod | None:
    """A pod of the template, with what its controller would write on it."""
    meta = _mapping(template.get("metadata"))
    labels, annotations = _written(document, kind, name, role)
    pod = {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {**labels, **_mapping(meta.get("labels"))},
            "annotations": {**annotations, **_mapping(meta.get("annotations"))},
            "ownerReferences": [] if kind == "Pod" else [{"kind": kind, "name": name, "controller": True}],
        },
        "spec": {**_requested(_mapping(template.get("spec"))), "schedulerName": SCHEDULER},
    }
    try:
        _, event = PodReader(SCHEDULER).read(msgspec.json.encode(pod))
    except ValueError as err:
        problems.append(f"a pod of it cannot be read: {err}")
        return None
    return event.pod if isinstance(event, PodSeen) else None


def _requested(spec: Document) -> dict[str, Any]:
    """The spec with all amounts as text, and requests filled from limits, as the API server would have it."""
    full: dict[str, Any] = dict(spec)
    for field in ("containers", "initContainers"):
        containers = cast("list[object]", spec.get(field)) if isinstance(spec.get(field), list) else []
        if containers:
            full[field] = [_filled(_mapping(container)) for container in containers]
    return full


def _filled(container: Document) -> dict[str, Any]:
    resources = _mapping(container.get("resources"))
    amounts = {**_mapping(resources.get("limits")), **_mapping(resources.get("requests"))}
    return {**container, "resources": {"requests": {name: str(amount) for name, amount in amounts.items()}}}


def _written(document: Document, kind: str, name: str, role: str) -> tuple[dict[str, str], dict[str, str]]:
    """Labels and annotations that the controller of such an object writes on its pods."""
    spec = _mapping(document.get("spec"))
    match _api(document), kind:
        case "jobset.x-k8s.io", "JobSet":
            return {controllers.JOBSET_NAME.key: name, controllers.JOBSET_ROLE.key: role}, {}
        case "kubeflow.org", "PyTorchJob" | "TFJob" | "MPIJob" | "JAXJob" | "XGBoostJob" | "PaddleJob":
            operator = OPERATORS.get(kind, f"{kind.lower()}-controller")
            written = {controllers.KUBEFLOW_NAME.key: name, controllers.KUBEFLOW_OPERATOR.key: operator}
            return {**written, controllers.KUBEFLOW_ROLE[0].key: role.lower()}, {}
        case "ray.io", "RayCluster":
            group = "headgroup" if role == "headGroupSpec" else role
            return {controllers.RAY_NAME.key: name, controllers.RAY_ROLE.key: group}, {}
        case "leaderworkerset.x-k8s.io", "LeaderWorkerSet":
            size = str(_mapping(spec.get("leaderWorkerTemplate")).get("size", 1))
            labels = {controllers.LWS_NAME.key: name, controllers.LWS_GROUP.key: "0"}
            worker = {controllers.LWS_WORKER.key: "0" if role == "leaderTemplate" else "1"}
            above = _mapping(_mapping(document.get("metadata")).get("annotations"))
            exclusive = {k: str(above[k]) for k in (controllers.LWS_EXCLUSIVE.key,) if k in above}
            return {**labels, **worker}, {controllers.LWS_SIZE.key: size, **exclusive}
        case "batch.volcano.sh", "Job":
            least = {volcano.LEAST.key: str(spec["minAvailable"])} if spec.get("minAvailable") else {}
            queue = {volcano.QUEUE.key: str(spec["queue"])} if spec.get("queue") else {}
            return {}, {volcano.GROUP[0].key: name, volcano.TASK.key: role, **least, **queue}
        case _:
            return {}, {}


def _keys(metas: Iterable[Document]) -> Iterator[tuple[str, str]]:
    """Known keys on the object and its templates, each with its dialect, "" where it is not honoured."""
    known = {(key.place, key.key): (key, dialect.name) for dialect in DIALECTS for key in dialect.keys}
    for meta in metas:
        for place, field in (("label", "labels"), ("annotation", "annotations")):
            for name in _mapping(meta.get(field)):
                found = known.get((place, name))
                if found is not None:
                    yield found[0].where, found[1] if found[0].heard else ""
