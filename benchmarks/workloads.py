"""Which pods are created: cases and dialects as they stand in YAML, made into the bodies of API requests."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import yaml

Json = dict[str, Any]
T = TypeVar("T")

FOLDER = Path(__file__).parent
NAMESPACE = "bench"
GPUS_A_NODE = 8
_CPU_A_GPU = 8
_MEMORY_GIB_A_GPU = 64


class BadWorkloadError(ValueError):
    """A file of cases or a dialect cannot be used; the text is one sentence that says why."""


class CaseLimits(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Budgets of a case, None where there is none.

    `time_ratio_most`: time until all are bound, against the default scheduler's. `rate_ratio_least`: pods bound a
    second, likewise. `spread_most_s`: seconds from the first to the last pod bound.
    """

    time_ratio_most: float | None = None
    rate_ratio_least: float | None = None
    spread_most_s: float | None = None


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Some pods of `gpus` GPUs each on a cluster of `nodes` nodes with eight."""

    name: str
    what: str
    nodes: int
    pods: int
    gpus: int
    gang: bool = False
    repetitions: int
    limits: CaseLimits = CaseLimits()


class Cases(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that is measured, and what `--quick` measures instead."""

    cases: Sequence[Case]
    quick: Sequence[Case]


class Marks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What pods carry for a scheduler: templates of labels, annotations and spec, and objects made before the pods."""

    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    spec: Mapping[str, Any] = {}
    objects: Sequence[Json] = ()


class Dialect(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How one scheduler is told of its pods, queues and gangs. The keys are explained in dialect-bayplan.yaml."""

    scheduler_name: str
    setup: Sequence[Json] = ()
    pod: Marks = Marks()
    gang: Marks = Marks()


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.convert(yaml.safe_load(path.read_text("utf-8")), kind)
    except OSError as err:
        raise BadWorkloadError(f"cannot read {str(path)!r}: {err.strerror}") from err
    except yaml.YAMLError as err:
        raise BadWorkloadError(f"{str(path)!r} is no YAML: {' '.join(str(err).split())}") from err
    except msgspec.ValidationError as err:
        raise BadWorkloadError(f"{str(path)!r} is refused: {err}") from err


def read_cases(*, quick: bool) -> Sequence[Case]:
    """The cases of cases.yaml, those with the fewest nodes first."""
    read = _read(FOLDER / "cases.yaml", Cases)
    return sorted(read.quick if quick else read.cases, key=lambda case: case.nodes)


def read_dialect(path: Path) -> Dialect:
    """The dialect in a file.

    Raises:
        BadWorkloadError: it cannot be read, or says something that a dialect does not have.
    """
    return _read(path, Dialect)


def own_dialect(name: str) -> Dialect:
    """The dialect of this folder for `name`: default, bayplan, volcano, kai or coscheduling."""
    return read_dialect(FOLDER / f"dialect-{name}.yaml")


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What one run creates: objects one after the other, then the encoded pods, many at once."""

    objects: Sequence[Json]
    pods: Sequence[bytes]


def batch(case: Case, dialect: Dialect, run: str) -> Batch:
    """The objects and pods of one run, whose names begin with `run`."""
    values = {"gang": run, "size": case.pods, **_always(dialect)}
    marks = (dialect.pod, dialect.gang) if case.gang else (dialect.pod,)
    resources: Json = {
        "requests": {"cpu": str(_CPU_A_GPU * case.gpus), "memory": f"{_MEMORY_GIB_A_GPU * case.gpus}Gi"},
        "limits": {"nvidia.com/gpu": str(case.gpus)},
    }
    pod: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "labels": {"run": run, **{k: str(v) for m in marks for k, v in fill(m.labels, values).items()}},
            "annotations": {k: str(v) for m in marks for k, v in fill(m.annotations, values).items()},
        },
        "spec": {
            "schedulerName": dialect.scheduler_name,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "none", "resources": resources}],
            **{k: v for m in marks for k, v in fill(m.spec, values).items()},
        },
    }
    return Batch(
        objects=[fill(o, values) for m in marks for o in m.objects],
        pods=[
            msgspec.json.encode({**pod, "metadata": {**pod["metadata"], "name": f"{run}-{index:04d}"}})
            for index in range(case.pods)
        ],
    )


def setup_objects(dialect: Dialect) -> Sequence[Json]:
    """What has to be there before the first run."""
    return [fill(o, _always(dialect)) for o in dialect.setup]


def _always(dialect: Dialect) -> Mapping[str, str | int]:
    return {"namespace": NAMESPACE, "scheduler": dialect.scheduler_name}


def fill(template: T, values: Mapping[str, str | int]) -> T:
    """`template` with `{name}` replaced in every text; a text that is nothing else becomes the value itself."""
    return cast("T", _fill(template, values))


def _fill(template: object, values: Mapping[str, str | int]) -> object:
    match template:
        case str():
            whole = next((v for name, v in values.items() if template == f"{{{name}}}"), None)
            if whole is not None:
                return whole
            text = template
            for name, value in values.items():
                text = text.replace(f"{{{name}}}", str(value))
            return text
        case dict():
            return {k: _fill(v, values) for k, v in cast("dict[str, object]", template).items()}
        case list():
            return [_fill(v, values) for v in cast("list[object]", template)]
        case _:
            return template
