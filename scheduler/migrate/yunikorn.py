"""Queues of YuniKorn: `queues.yaml`, by itself or in the ConfigMap yunikorn-configs."""

from collections.abc import Iterator, Sequence
from typing import cast

import yaml

from scheduler.migrate.quota import MORE, Limits, beyond, gpus_of, more_of, queue_spec, valid_name
from scheduler.migrate.records import Body, Found, Manifest, NewQueue, Translated, Value, mapping_of, text_of
from scheduler.migrate.sheet import Sheet

DIALECT = "YuniKorn"
ROOT = "root"
CONFIG_MAPS = {"yunikorn-configs", "yunikorn-defaults"}
FILE = "queues.yaml"

EVERYONE = "*"
ONE_LIMIT = 'userLimit is one number for every user alike; the limit of users ["*"] becomes it'

ORDERS = {"fifo": "StrictFIFO", "fair": "Fair"}

_SORT, _OFFSET = "application.sort.policy", "priority.offset"

_WHY = {
    "preemption.policy": "what is lent always comes back, and within a queue higher priority goes first",
    "preemption.delay": "what is lent comes back at once; minRuntimeSeconds of who borrows protects from that",
    "priority.policy": "priorities of pods count within their queue alone",
}


def is_queue(manifest: Manifest) -> bool:
    """Whether it holds YuniKorn's queues."""
    if manifest.kind == "ConfigMap" and manifest.name in CONFIG_MAPS:
        return FILE in mapping_of(manifest.body.get("data"))
    return not manifest.kind and isinstance(manifest.body.get("partitions"), list)


def translate(manifests: Sequence[Manifest]) -> Translated:
    """The queues as Bayplan's: named by their whole path, as pods name them; the root itself is none."""
    queues: list[NewQueue] = []
    found: list[Found] = []
    for manifest in manifests:
        sheet = Sheet(manifest, DIALECT)
        made = list(_translated(sheet, sheet.part("", _content(sheet))))
        found.append(sheet.found(f"{len(made)} Queue{'' if len(made) == 1 else 's'}"))
        queues += made
    return Translated(queues=tuple(queues), found=tuple(found))


def _content(sheet: Sheet) -> Body:
    if not sheet.manifest.kind:
        return sheet.manifest.body
    text = text_of(sheet.mapping("data").get(FILE))
    try:
        body = cast("Value", yaml.safe_load(text))
    except yaml.YAMLError as err:
        sheet.note("unreadable", f"data[{FILE}]", text, f"not YAML: {' '.join(str(err).split())}")
        return {}
    if not isinstance(body, dict):
        sheet.note("unreadable", f"data[{FILE}]", text, "allowed: a mapping with partitions")
    return mapping_of(body)


def _translated(sheet: Sheet, content: Sheet) -> Iterator[NewQueue]:
    for path, partition in content.entries("partitions"):
        name = text_of(partition.get("name"))
        if name not in ("", "default"):
            sheet.note("no equivalent", f"{path}.name", name, "all queues share the one cluster")
        for key in ("placementrules", "nodesortpolicy", "limits"):
            if partition.get(key):
                sheet.note("no equivalent", f"{path}.{key}", partition[key], "nothing here stands for it")
        for each, above, entry in _queues(sheet, partition, ""):
            part = sheet.part(each, entry)
            spec = _spec(part, valid_name(above) if above else "")
            called = valid_name(each)
            if called != each:
                part.note("differs", "name", each, f"the Queue is called {called}, and pods have to name it so")
            if each != ROOT:
                yield NewQueue(name=called, spec=spec, stands_for=(f"{DIALECT} queue {each}",))


def _user_limit(part: Sheet) -> int | None:
    """The most GPUs that any user may use: what the limit for all users says. Others have no equivalent."""
    found: int | None = None
    for path, entry in part.entries("limits"):
        users = entry.get("users")
        if users != [EVERYONE]:
            named = {key: entry[key] for key in ("users", "groups") if entry.get(key)}
            part.note("no equivalent", path, named, ONE_LIMIT)
            continue
        most = part.part(part.name, {"limit": dict(entry)})
        amount = gpus_of(most, "limit.maxresources")
        for name, value in mapping_of(entry.get("maxresources")).items():
            if name in MORE:
                part.note("no equivalent", f"{path}.maxresources[{name}]", value, "userLimit counts GPUs")
        if entry.get("maxapplications"):
            part.note("no equivalent", f"{path}.maxapplications", entry["maxapplications"], "userLimit counts GPUs")
        if amount is not None:
            found = amount if found is None else min(found, amount)
    return found


def _queues(sheet: Sheet, above: Body, path: str) -> Iterator[tuple[str, str, Body]]:
    """Each queue with its name and that of its parent: the path from the root, with dots; "" where that is the root."""
    for _, entry in sheet.each("queues", above.get("queues")):
        name = text_of(entry.get("name"))
        # The root may be left out.
        mine = ROOT if not path and name.lower() == ROOT else f"{path or ROOT}.{name}"
        yield mine, "" if path in ("", ROOT) else path, entry
        yield from _queues(sheet, entry, mine)


def _spec(part: Sheet, above: str) -> dict[str, Value]:
    nominal, most = gpus_of(part, "resources.guaranteed"), gpus_of(part, "resources.max")
    if nominal is None and not part.get("queues"):
        nominal = 0
    properties = part.mapping("properties")
    order = ORDERS.get(text_of(properties.get(_SORT)))
    offset = part.number_of(f"properties[{_OFFSET}]", properties.get(_OFFSET))
    for key in ("maxapplications", "childtemplate"):
        part.lacks(key)
    for key, value in properties.items():
        if key == _SORT and order is None:
            part.note("no equivalent", f"properties[{key}]", value, f"orders here are {' and '.join(ORDERS)}")
        elif key not in (_SORT, _OFFSET):
            part.note("no equivalent", f"properties[{key}]", value, _WHY.get(key, "nothing here stands for it"))
    return queue_spec(
        Limits(nominal=nominal, borrowed=beyond(most, nominal)),
        parent=above,
        priority=int(offset) if offset else None,
        order=order,
        userLimit=_user_limit(part),
        **more_of(part, "resources.guaranteed", "resources.max"),
    )
