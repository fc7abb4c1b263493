"""Labels and annotations of people as values, or as refusals that quote them. Nothing is guessed."""

import re
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import assert_never

from msgspec.structs import replace

from scheduler.kube import keys
from scheduler.model.policy import POLICY_NAMES, Policy, policy_named
from scheduler.model.resources import GPU_SHARED, MILLI_GPU, Resources
from scheduler.model.workload import GangClaim, Linked, Problem, RoleMinimums, Slices

MOST_COMPLETIONS = 1_000_000_000
"""Above every index that is read, which has nine digits at most."""

LARGEST_GANG = 150_000
"""Kubernetes is built for at most 150,000 pods in a cluster (kubernetes.io, "Considerations for large clusters")."""

LONGEST_DURATION_S = 10 * 365 * 86_400

MOST_SLICES = 3
"""Layers of slices: as many as Kueue's podset-slice constraints have."""

SLICES_ALLOWED = (
    "up to three of LEVEL=PODS with commas between, outermost first, each number of pods above 1 and a multiple of the "
    "next one, as in rack=4,node=2"
)

SHARE_ALLOWED = "a part of a GPU above 0 and below 1, with at most three decimals, as in 0.25"

GANG_SIZE_ALLOWED = f"a whole number from 1 to {LARGEST_GANG}"

ROLE_MIN_ALLOWED = (
    f"ROLE=PODS with commas between, each role once and each number from 1 to {LARGEST_GANG}, as in leader=1,worker=2"
)

LINKED_WHOLE = "preferred, for a pod of MIG slices or parts of GPUs: these are never connected by NVLink"

_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})\Z",
    re.ASCII,
)
_DURATION = re.compile(r"(?:([0-9]{1,6})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,8})m)?(?:([0-9]{1,10})s)?\Z", re.ASCII)
_SHARE = re.compile(r"0\.[0-9]{1,3}\Z", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,9}\Z", re.ASCII)

Texts = Mapping[str, str]


def gang_claim(
    labels: Texts, annotations: Texts, problems: list[Problem], foreign: GangClaim | None = None
) -> GangClaim | None:
    """The gang that an object claims with its label, how large by annotations; refusals go to `problems`.

    Without the label it is the one that others' keys claim, `foreign`, and our annotations go before theirs.
    """
    name = labels.get(keys.GANG_LABEL)
    if name is None and foreign is not None:
        own = _sized(GangClaim(name=foreign.name), annotations, problems)
        if own.least is not None or own.role_least:
            return replace(foreign, size=own.size or foreign.size, least=own.least, role_least=own.role_least)
        return replace(foreign, size=own.size or foreign.size)
    if name is None:
        allowed = f"only beside the label {keys.GANG_LABEL} with the gang's name"
        said = (keys.GANG_SIZE_ANNOTATION, keys.GANG_MIN_ANNOTATION, keys.ROLE_MIN_ANNOTATION)
        problems.extend(_problem(key, annotations[key], allowed) for key in said if key in annotations)
        return None
    if not name:
        problems.append(Problem(where=f"label {keys.GANG_LABEL}", value=name, allowed="the gang's name"))
        return None
    return _sized(GangClaim(name=name), annotations, problems)


def _sized(claim: GangClaim, annotations: Texts, problems: list[Problem]) -> GangClaim:
    """The claim with what our annotations say of how many pods there are and are enough."""
    size = _pods(annotations, keys.GANG_SIZE_ANNOTATION, problems)
    least = _pods(annotations, keys.GANG_MIN_ANNOTATION, problems)
    if size is not None and least is not None and least > size:
        problems.append(_problem(keys.GANG_MIN_ANNOTATION, str(least), f"at most {keys.GANG_SIZE_ANNOTATION}, {size}"))
        least = None
    role_least = _role_minimums(annotations, problems)
    needed = sum(number for _, number in role_least)
    most = size if least is None else least
    if most is not None and needed > most:
        key = keys.GANG_SIZE_ANNOTATION if least is None else keys.GANG_MIN_ANNOTATION
        allowed = f"roles that need no more pods together than {key}, {most}"
        problems.append(_problem(keys.ROLE_MIN_ANNOTATION, annotations[keys.ROLE_MIN_ANNOTATION], allowed))
        role_least = ()
    return replace(claim, size=size, least=least, role_least=role_least)


def _pods(annotations: Texts, key: str, problems: list[Problem]) -> int | None:
    text = annotations.get(key)
    if text is None:
        return None
    size = int(text) if _NUMBER.match(text) else 0
    if not 1 <= size <= LARGEST_GANG:
        problems.append(_problem(key, text, GANG_SIZE_ALLOWED))
        return None
    return size


def _role_minimums(annotations: Texts, problems: list[Problem]) -> RoleMinimums:
    text = annotations.get(keys.ROLE_MIN_ANNOTATION)
    if text is None:
        return ()
    found: list[tuple[str, int]] = []
    for part in text.split(","):
        name, _, number = part.partition("=")
        found.append((name.strip(), int(number) if _NUMBER.match(number.strip()) else 0))
    distinct = len({name for name, _ in found}) == len(found)
    if not distinct or not all(name and 1 <= number <= LARGEST_GANG for name, number in found):
        problems.append(_problem(keys.ROLE_MIN_ANNOTATION, text, ROLE_MIN_ALLOWED))
        return ()
    return tuple(sorted(found))


def preemptible(annotations: Texts, problems: list[Problem]) -> bool:
    """Whether the pod may be moved or evicted."""
    text = annotations.get(keys.PREEMPTIBLE_ANNOTATION, "true")
    if text not in ("true", "false"):
        problems.append(_problem(keys.PREEMPTIBLE_ANNOTATION, text, "true or false"))
    return text != "false"


def linked(annotations: Texts, requests: Resources, problems: list[Problem]) -> Linked:
    """Whether the GPUs of a pod with these `requests` are to be connected.

    MIG slices and parts of GPUs reach nothing else over NVLink (NVIDIA MIG user guide, "Application Considerations").
    """
    text = annotations.get(keys.LINKED_ANNOTATION)
    match text:
        case None:
            return Linked.ANY
        case "required":
            divided = requests.shared_gpus + sum(count for _, count in requests.mig_slices)
            if divided and requests.gpus + divided > 1:
                problems.append(_problem(keys.LINKED_ANNOTATION, text, LINKED_WHOLE))
                return Linked.ANY
            return Linked.REQUIRED
        case "preferred":
            return Linked.PREFERRED
        case str():
            problems.append(_problem(keys.LINKED_ANNOTATION, text, "required or preferred"))
            return Linked.ANY
        case _:
            assert_never(text)


def gpu_models(annotations: Texts, problems: list[Problem]) -> tuple[str, ...]:
    """The accepted GPU models, sorted; empty where any is."""
    text = annotations.get(keys.GPU_MODEL_ANNOTATION)
    if text is None:
        return ()
    models = [m.strip() for m in text.split(",")]
    if not all(models):
        allowed = "GPU models separated by commas, as the node label nvidia.com/gpu.product gives them"
        problems.append(_problem(keys.GPU_MODEL_ANNOTATION, text, allowed))
        return ()
    return tuple(sorted(set(models)))


def policy(annotations: Texts, problems: list[Problem]) -> Policy | None:
    """How the pod is to be placed; None leaves it to its queue."""
    text = annotations.get(keys.POLICY_ANNOTATION)
    found = None if text is None else policy_named(text)
    if text is not None and found is None:
        problems.append(_problem(keys.POLICY_ANNOTATION, text, POLICY_NAMES))
    return found


def share_milli(annotations: Texts, shared_gpus: int, problems: list[Problem]) -> int:
    """How large each of the pod's `shared_gpus` parts of GPUs has to be, in milli-GPU; 1000 where nothing is said."""
    text = annotations.get(keys.GPU_SHARE_ANNOTATION)
    if text is None:
        return MILLI_GPU
    if not shared_gpus:
        problems.append(_problem(keys.GPU_SHARE_ANNOTATION, text, f"only beside a request for {GPU_SHARED}"))
        return MILLI_GPU
    if not _SHARE.match(text) or not float(text):
        problems.append(_problem(keys.GPU_SHARE_ANNOTATION, text, SHARE_ALLOWED))
        return MILLI_GPU
    return round(float(text) * MILLI_GPU)


def duration_s(annotations: Texts, problems: list[Problem]) -> int | None:
    """How long the pod is expected to run, in seconds."""
    text = annotations.get(keys.DURATION_ANNOTATION)
    if text is None:
        return None
    read = _DURATION.match(text)
    days, hours, minutes, seconds = (int(n or 0) for n in read.groups()) if read is not None else (0, 0, 0, 0)
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if not 0 < total <= LONGEST_DURATION_S:
        problems.append(
            _problem(keys.DURATION_ANNOTATION, text, "a time above 0 as in 45s, 90m, 2h30m or 3d, at most 3650d")
        )
        return None
    return total


def ended_by(length_s: int | None, deadline_s: int | None) -> int | None:
    """How long work is expected to run that is ended after `activeDeadlineSeconds` at the latest."""
    if deadline_s is None or not 0 < deadline_s <= LONGEST_DURATION_S:
        return length_s
    return deadline_s if length_s is None else min(length_s, deadline_s)


def checkpointed_s(annotations: Texts, problems: list[Problem]) -> int | None:
    """When the pod last saved its work, in seconds since 1970."""
    text = annotations.get(keys.CHECKPOINTED_ANNOTATION)
    if text is None:
        return None
    if _INSTANT.match(text) is not None:
        try:
            return int(datetime.fromisoformat(text.upper()).timestamp())
        except ValueError:
            pass
    problems.append(
        _problem(keys.CHECKPOINTED_ANNOTATION, text, "a moment as RFC 3339 writes it, as in 2026-11-21T17:30:00Z")
    )
    return None


def asked_to_save_s(annotations: Texts) -> int | None:
    """When we asked the pod to save its work, in seconds since 1970; what cannot be read is not from us."""
    text = annotations.get(keys.CHECKPOINT_REQUESTED_ANNOTATION, "")
    if _INSTANT.match(text) is None:
        return None
    try:
        return int(datetime.fromisoformat(text.upper()).timestamp())
    except ValueError:
        return None


def level(annotations: Texts, key: str, problems: list[Problem]) -> str | None:
    """The topology level, or node label key, that the annotation `key` names; whether it is known is judged later."""
    text = annotations.get(key)
    if text is not None and not text.strip():
        problems.append(_problem(key, text, "the name of a topology level, or a node label key"))
        return None
    return text.strip() if text is not None else None


def slices(annotations: Texts, problems: list[Problem]) -> Slices:
    """How many consecutive pods stand in one domain of which levels."""
    text = annotations.get(keys.TOPOLOGY_SLICES_ANNOTATION)
    if text is None:
        return ()
    found: list[tuple[str, int]] = []
    for part in text.split(","):
        level_name, _, number = part.partition("=")
        size = int(number) if _NUMBER.match(number.strip()) else 0
        found.append((level_name.strip(), size if 1 < size <= LARGEST_GANG else 0))
    levels, sizes = [name for name, _ in found], [size for _, size in found]
    nested = all(sizes) and all(a > b and a % b == 0 for a, b in pairwise(sizes))
    if not nested or not all(levels) or len(set(levels)) < len(levels) or len(found) > MOST_SLICES:
        problems.append(_problem(keys.TOPOLOGY_SLICES_ANNOTATION, text, SLICES_ALLOWED))
        return ()
    return tuple(found)


def role(annotations: Texts, problems: list[Problem]) -> tuple[str, str | None]:
    """The pod's role in its gang, and the level of which one domain holds the role."""
    name = annotations.get(keys.ROLE_ANNOTATION, "").strip()
    required = level(annotations, keys.ROLE_REQUIRED_ANNOTATION, problems)
    if required is not None and not name:
        problems.append(_problem(keys.ROLE_REQUIRED_ANNOTATION, required, f"only beside {keys.ROLE_ANNOTATION}"))
        return "", None
    return name, required


def index(labels: Texts, annotations: Texts) -> int | None:
    """The pod's rank: its place among its like, those of one Job of a JobSet after the other; None where none is told.

    These keys are written by controllers; one that is no whole number tells nothing.
    """
    texts = (labels.get(key) or annotations.get(key) for key in keys.RANK_KEYS)
    place = _whole(next((text for text in texts if text), ""))
    job = _whole(labels.get(keys.JOBSET_INDEX_KEY) or annotations.get(keys.JOBSET_INDEX_KEY) or "")
    return place if place is None or job is None else job * MOST_COMPLETIONS + place


def _whole(text: str) -> int | None:
    return int(text) if _NUMBER.match(text) else None


def _problem(annotation: str, value: str, allowed: str) -> Problem:
    return Problem(where=f"annotation {annotation}", value=value[:200], allowed=allowed)
