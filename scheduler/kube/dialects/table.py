"""All dialects, in the order in which their words count, and the reading of one object's labels and annotations."""

from collections.abc import Mapping

from scheduler.kube.dialects import controllers, kai, koordinator, kueue, native, scheduler_plugins, volcano, yunikorn
from scheduler.kube.dialects.record import NOTHING, Dialect, Hearing, Key, Texts, Understood
from scheduler.kube.wire import PodSpec

DIALECTS: tuple[Dialect, ...] = (
    kueue.DIALECT,
    volcano.DIALECT,
    kai.DIALECT,
    koordinator.DIALECT,
    yunikorn.DIALECT,
    scheduler_plugins.DIALECT,
    *controllers.DIALECTS,
)
"""Own keys go before all of them, and what a pod's spec says (`native`) before these."""

NO_SPEC = PodSpec()

_BY_LABEL: Mapping[str, tuple[int, Key]] = {
    key.key: (at, key) for at, dialect in enumerate(DIALECTS) for key in dialect.keys if key.place == "label"
}
_BY_ANNOTATION: Mapping[str, tuple[int, Key]] = {
    key.key: (at, key) for at, dialect in enumerate(DIALECTS) for key in dialect.keys if key.place == "annotation"
}


def understand(texts: Texts, spec: PodSpec = NO_SPEC) -> Understood:
    """What all dialects but our own say on an object."""
    found = [
        *((*_BY_LABEL[key], text) for key, text in texts.labels.items() if key in _BY_LABEL),
        *((*_BY_ANNOTATION[key], text) for key, text in texts.annotations.items() if key in _BY_ANNOTATION),
    ]
    if not found and spec.scheduling_group is None and spec.workload_ref is None:
        return NOTHING
    hear = Hearing(texts)
    names = [native.NAME] if native.hear_spec(spec, hear) else []
    spoken = {at for at, _, _ in found}
    for at, dialect in enumerate(DIALECTS):
        if at not in spoken:
            continue
        names.append(dialect.name)
        here = {(key.place, key.key): text for of, key, text in found if of == at}
        for key in dialect.keys:
            text = here.get((key.place, key.key))
            if text is not None:
                _hear(key, text, hear)
        if dialect.together is not None:
            dialect.together(texts, hear)
    return hear.understood(names)


def _hear(key: Key, text: str, hear: Hearing) -> None:
    if not key.heard:
        hear.note(key.where, text, key.means)
    elif key.field is not None and key.read is not None:
        value = key.read(text)
        if value is None:
            hear.refuse(key.where, text, key.allowed)
        else:
            hear.say(key.field, value, key.where)
