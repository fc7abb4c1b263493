"""Quotas by flavor and resource of ClusterQueues and Cohorts, and what ResourceFlavors mean."""

from collections.abc import Iterable, Mapping

import msgspec

from scheduler.migrate.quota import MORE, NO_QUOTA, UNKNOWN_GPU, Limits, whole_amount
from scheduler.migrate.records import Body, mapping_of, text_of
from scheduler.migrate.sheet import Sheet
from scheduler.model.resources import GPU, MIG_PREFIX, MILLI_GPU, mig_milli_gpu

MODEL_LABELS = ("nvidia.com/gpu.product", "cloud.google.com/gke-accelerator")
"""Node labels that name a GPU model; the first is the one that Bayplan reads."""

_ANY_NODE = {"kubernetes.io/os", "kubernetes.io/arch"}


class Given(msgspec.Struct, frozen=True):
    """The quota in total, of the flavors that are a GPU model or a MIG profile, and of CPU and memory."""

    total: Limits
    flavors: tuple[tuple[str, Limits], ...] = ()
    more: tuple[tuple[str, Limits], ...] = ()


def models_of(sheets: Iterable[Sheet]) -> dict[str, str]:
    """The GPU model of each flavor that is tied to one by its node labels; what else it asks of nodes is noted."""
    found: dict[str, str] = {}
    for sheet in sheets:
        labels = sheet.mapping("spec.nodeLabels")
        for key, value in labels.items():
            path = f"spec.nodeLabels[{key}]"
            if key == MODEL_LABELS[0]:
                found[sheet.name] = text_of(value)
            elif key in MODEL_LABELS:
                why = f"Bayplan reads the model from the node label {MODEL_LABELS[0]}"
                sheet.note("no equivalent", path, value, why)
            elif key not in _ANY_NODE:
                sheet.note("no equivalent", path, value, "flavors are GPU models and MIG profiles, not groups of nodes")
        for field in ("nodeTaints", "tolerations"):
            sheet.lacks(f"spec.{field}", "tolerations stand in the pods")
    return found


def flavors_of(sheet: Sheet, models: Mapping[str, str]) -> Given:
    """The quota of a ClusterQueue or a Cohort."""
    totals: list[Limits] = []
    flavors: dict[str, Limits] = {}
    more: dict[str, list[Limits]] = {}
    told: set[str] = set()
    for path, group in sheet.entries("spec.resourceGroups"):
        for at, flavor in sheet.each(f"{path}.flavors", group.get("flavors")):
            name = text_of(flavor.get("name"))
            for here, resource in sheet.each(f"{at}.resources", flavor.get("resources")):
                kind = text_of(resource.get("name"))
                if kind == GPU or kind.startswith(MIG_PREFIX):
                    limits = _limits(sheet, here, kind, resource)
                    totals.append(limits)
                    called = models.get(name) if kind == GPU else kind.removeprefix(MIG_PREFIX)
                    if called:
                        flavors[called] = _sum([flavors[called], limits]) if called in flavors else limits
                elif kind in MORE:
                    more.setdefault(MORE[kind][0], []).append(_more(sheet, here, kind, resource))
                elif kind not in told:
                    told.add(kind)
                    why = UNKNOWN_GPU if "/" in kind else NO_QUOTA
                    sheet.note("no equivalent", f"{here}[{kind}]", mapping_of(dict(resource)).get("nominalQuota"), why)
    together = tuple((name, _sum(parts)) for name, parts in sorted(more.items()))
    return Given(_sum(totals), tuple(sorted(flavors.items())), together)


def _more(sheet: Sheet, path: str, kind: str, resource: Body) -> Limits:
    """Of one flavor, in cores or GiB."""
    nominal, borrowed, lent = (
        whole_amount(sheet, f"{path}.{field}", resource.get(field), MORE[kind][1])
        for field in ("nominalQuota", "borrowingLimit", "lendingLimit")
    )
    return Limits(nominal=nominal, borrowed=borrowed, lent=lent)


def _limits(sheet: Sheet, path: str, kind: str, resource: Body) -> Limits:
    """Of one flavor and resource, in GPUs."""
    each = MILLI_GPU if kind == GPU else mig_milli_gpu(kind.removeprefix(MIG_PREFIX))
    amounts: dict[str, int | None] = {}
    for field in ("nominalQuota", "borrowingLimit", "lendingLimit"):
        value = resource.get(field)
        number = sheet.number_of(f"{path}.{field}", value)
        if number is None:
            amounts[field] = None
            continue
        gpus = number * each / MILLI_GPU
        amounts[field] = -(-gpus.numerator // gpus.denominator)
        if gpus.denominator != 1:
            why = f"a slice counts as {each / MILLI_GPU:.3g} of a GPU, and queues own whole GPUs: {amounts[field]}"
            sheet.note("differs", f"{path}.{field}", value, why)
    return Limits(nominal=amounts["nominalQuota"], borrowed=amounts["borrowingLimit"], lent=amounts["lendingLimit"])


def _sum(parts: list[Limits]) -> Limits:
    """Together; a limit only where each of them has one."""
    if not parts:
        return Limits()
    borrowed, lent = [part.borrowed for part in parts], [part.lent for part in parts]
    return Limits(
        nominal=sum(part.nominal or 0 for part in parts),
        borrowed=None if None in borrowed else sum(one for one in borrowed if one is not None),
        lent=None if None in lent else sum(one for one in lent if one is not None),
    )
