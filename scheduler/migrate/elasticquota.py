"""ElasticQuota of scheduler-plugins (scheduling.x-k8s.io) and of Koordinator (scheduling.sigs.k8s.io, with labels)."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

from scheduler.migrate.quota import Limits, beyond, gpus_of, more_of, queue_spec
from scheduler.migrate.records import Body, Manifest, NewQueue, Translated, Value, mapping_of, text_of
from scheduler.migrate.sheet import Sheet
from scheduler.model.resources import GPU

GROUPS: Mapping[str, str] = {"scheduling.x-k8s.io": "scheduler-plugins", "scheduling.sigs.k8s.io": "Koordinator"}

KEY = "quota.scheduling.koordinator.sh/"
ROOTS = {"", "koordinator-root-quota", "root"}
BUILT_IN = {"koordinator-root-quota", "koordinator-default-quota", "koordinator-system-quota"}
"""Made by Koordinator itself."""


def is_queue(manifest: Manifest) -> bool:
    """Whether it is an elastic quota."""
    return manifest.group in GROUPS and manifest.kind == "ElasticQuota"


def translate(manifests: Sequence[Manifest]) -> Translated:
    """The quotas as Bayplan's queues."""
    sheets = [Sheet(manifest, GROUPS[manifest.group]) for manifest in manifests]
    own = [sheet for sheet in sheets if sheet.name not in BUILT_IN]
    names = _names(own)
    queues = tuple(_queue(sheet, names[id(sheet)]) for sheet in own)
    for sheet in own:
        _others(sheet)
    found = (sheet.found(f"Queue {names[id(sheet)]}" if id(sheet) in names else "made by itself") for sheet in sheets)
    return Translated(queues=queues, found=tuple(found))


def _names(sheets: Sequence[Sheet]) -> dict[int, str]:
    """Queues have no namespace: where several quotas have one name, the namespace comes before it."""
    count = Counter(sheet.name for sheet in sheets)
    return {
        id(sheet): sheet.name if count[sheet.name] == 1 else f"{sheet.manifest.namespace}-{sheet.name}"
        for sheet in sheets
    }


def _queue(sheet: Sheet, name: str) -> NewQueue:
    nominal, most = gpus_of(sheet, "spec.min"), gpus_of(sheet, "spec.max")
    koordinator = sheet.manifest.group == "scheduling.sigs.k8s.io"
    parent = sheet.label(f"{KEY}parent") or "" if koordinator else ""
    limits = Limits(
        nominal=nominal or 0, borrowed=beyond(most, nominal), lent=_lent(sheet, nominal or 0) if koordinator else None
    )
    return NewQueue(
        name=name,
        spec=queue_spec(
            limits,
            parent="" if parent in ROOTS else parent,
            namespaces=_namespaces(sheet) if koordinator else [sheet.manifest.namespace],
            weight=_weight(sheet) if koordinator else None,
            **more_of(sheet, "spec.min", "spec.max", lends=limits.lent != 0 or not koordinator),
        ),
        stands_for=(f"{GROUPS[sheet.manifest.group]} ElasticQuota {sheet.manifest.namespace}/{sheet.name}",),
    )


def _lent(sheet: Sheet, nominal: int) -> int | None:
    lends = sheet.label(f"{KEY}allow-lent-resource")
    if lends not in (None, "true", "false"):
        sheet.note("unreadable", f"metadata.labels[{KEY}allow-lent-resource]", lends, "allowed: true or false")
    if lends == "false":
        return 0
    kept = _resources(sheet, "guaranteed").get(GPU)
    number = sheet.number_of(f"metadata.annotations[{KEY}guaranteed]", kept)
    return None if not number else max(nominal - int(number), 0)


def _weight(sheet: Sheet) -> int | None:
    weight = _resources(sheet, "shared-weight").get(GPU)
    number = sheet.number_of(f"metadata.annotations[{KEY}shared-weight]", weight)
    if number is None:
        # Without the annotation, Koordinator shares in proportion to max.
        number = sheet.number_of(f"spec.max[{GPU}]", mapping_of(sheet.get("spec.max")).get(GPU))
    return None if number is None or number < 1 else int(number)


def _resources(sheet: Sheet, key: str) -> Body:
    found = _json(sheet, key, "resources as JSON")
    return found if isinstance(found, dict) else {}


def _namespaces(sheet: Sheet) -> list[Value]:
    found = _json(sheet, "namespaces", "names as a JSON list")
    return list[Value](sorted({text_of(name) for name in found})) if isinstance(found, list) else []


def _json(sheet: Sheet, key: str, allowed: str) -> Value:
    text = sheet.annotation(KEY + key)
    if text is None:
        return None
    try:
        found = cast("Value", json.loads(text))
    except ValueError:
        found = None
    if not isinstance(found, dict | list):
        sheet.note("unreadable", f"metadata.annotations[{KEY}{key}]", text, f"allowed: {allowed}")
    return found


def _others(sheet: Sheet) -> None:
    tree = sheet.label(f"{KEY}tree-id")
    if tree:
        sheet.note("no equivalent", f"metadata.labels[{KEY}tree-id]", tree, "all queues share the one cluster")
    for key in ("total-resource", "min-quota-scaled", "enable-runtime-quota"):
        for where, value in (("labels", sheet.label(KEY + key)), ("annotations", sheet.annotation(KEY + key))):
            if value is not None:
                sheet.note("no equivalent", f"metadata.{where}[{KEY}{key}]", value, "nothing here stands for it")
