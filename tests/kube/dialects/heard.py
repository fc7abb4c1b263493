"""What is understood of labels and annotations that are written as YAML."""

from collections.abc import Mapping
from typing import Any

import yaml

from scheduler.kube.dialects.record import NOTHING, OWN_KEYS, Texts, Understood
from scheduler.kube.dialects.table import understand
from scheduler.kube.wire import PodSpec

VOLCANO = "scheduling.volcano.sh/"


KAI = "kai.scheduler/"


KUEUE = "kueue.x-k8s.io/"


KOORDINATOR = "gang.scheduling.koordinator.sh/"


QUOTA = "quota.scheduling.koordinator.sh/"


YUNIKORN = "yunikorn.apache.org/"


LWS = "leaderworkerset.sigs.k8s.io/"


JOBSET = "jobset.sigs.k8s.io/"


KUBEFLOW = "training.kubeflow.org/"


def heard(text: str, spec: PodSpec | None = None) -> Understood:
    """What is understood of metadata written as YAML: labels, annotations, and `owner: Kind/name`."""
    meta: dict[str, Any] = yaml.safe_load(text) or {}
    kind, _, name = str(meta.get("owner", "")).partition("/")
    found = Texts(
        labels=meta.get("labels") or {}, annotations=meta.get("annotations") or {}, owner_kind=kind, owner_name=name
    )
    return understand(found) if spec is None else understand(found, spec)


def fields(found: Understood) -> Mapping[str, object]:
    """Those that anybody spoke of."""
    names = [name for name in (*OWN_KEYS, "priority_class") if getattr(found, name) != getattr(NOTHING, name)]
    return {name: getattr(found, name) for name in names}


def said(found: Understood) -> list[str]:
    return [str(problem) for problem in found.problems]
