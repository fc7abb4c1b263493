"""Kinds of objects of other groups that describe gangs: where the API has them, and how each becomes a `GroupSeen`.

None of them has to be there.
"""

from collections.abc import Callable

import msgspec

from scheduler.kube.dialects.classes import PRIORITY_CLASS
from scheduler.kube.dialects.record import NOTHING, Texts, Understood
from scheduler.kube.dialects.table import understand
from scheduler.kube.dialects.words import class_of, queue_of
from scheduler.kube.translate_values import LARGEST_GANG
from scheduler.kube.wire import Meta, Wire
from scheduler.model.names import QueueName, gang_key
from scheduler.model.workload import GangClaim, Problem, RoleMinimums
from scheduler.state.events import Event, GroupGone, GroupSeen

NAMED_NOWHERE = "default"
"""What other schedulers fill in where nobody named a queue."""


class ForeignKind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind that is read where discovery lists it, in the first of its `versions` that is served.

    `read` raises ValueError on an object that cannot be read. `gone`: what the end of that with a uid means. `query`:
    which of them are listed.
    """

    group: str
    plural: str
    versions: tuple[str, ...]
    read: Callable[[bytes | msgspec.Raw], tuple[Meta, Event]]
    gone: Callable[[str], Event] = lambda uid: GroupGone(uid=uid)
    query: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """As kubectl names it."""
        return f"{self.plural}.{self.group}"


class Draft:
    """A `GroupSeen` in the making: what its metadata say goes before what its spec says."""

    def __init__(self, kind: str, prefix: str, meta: Meta, *, extra: dict[str, str] | None = None) -> None:
        """`extra` are annotations to be read as if they stood there."""
        self.kind = kind
        self.prefix = prefix
        self.meta = meta
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self.said: Understood = NOTHING
        self._class: tuple[str, str] | None = None
        if meta.labels or meta.annotations:
            self.said = understand(Texts(labels=meta.labels, annotations={**meta.annotations, **(extra or {})}))

    def refuse(self, field: str, value: object, allowed: str) -> None:
        """A field of the spec that cannot be kept."""
        self.problems.append(
            Problem(where=f"{field} of {self.kind} {self.meta.name}", value=str(value)[:200], allowed=allowed)
        )

    def note(self, field: str, value: object, sentence: str) -> None:
        """A field of the spec that is read and not honoured."""
        if value:
            self.notes.append(
                f"{field} of {self.kind} {self.meta.name} ({str(value)[:80]!r}) is not honoured: {sentence}"
            )

    def priority(self, field: str, name: str) -> None:
        """A field of the spec that names a PriorityClass, or is empty."""
        if name:
            self._class = (f"{PRIORITY_CLASS} {name}", f"{field} of {self.kind} {self.meta.name}")

    def group(self, claim: GangClaim, *, queue: str = "", **fields: object) -> GroupSeen:
        """The whole, with what was understood of the spec."""
        said = self.said
        claim = self._possible(claim)
        named, where = queue_of(self.meta.labels, said)
        if named is None and queue and queue != NAMED_NOWHERE:
            named, where = QueueName(queue), f"spec.queue of {self.kind} {self.meta.name}"
        priority_class, priority_key = class_of(said)
        if not priority_class and self._class:
            priority_class, priority_key = self._class
        known = {name: value for name, value in fields.items() if value is not None}
        plain = GroupSeen(
            uid=self.meta.uid,
            key=gang_key(self.meta.namespace, self.prefix + self.meta.name),
            kind=self.kind,
            claim=claim,
            queue=named,
            queue_key=where,
            priority_class=priority_class,
            priority_key=priority_key,
            preemptible=said.preemptible,
            topology_required=said.topology_required,
            topology_preferred=said.topology_preferred,
            topology_slices=said.topology_slices,
            problems=(*said.problems, *self.problems),
            notes=(*said.notes, *self.notes),
        )
        unsaid = {name: value for name, value in known.items() if not getattr(plain, name) or name == "form"}
        return msgspec.structs.replace(plain, **unsaid)

    def _possible(self, claim: GangClaim) -> GangClaim:
        """The claim without numbers of pods that no cluster has."""
        most = max(claim.size or 0, claim.least or 0, sum(number for _, number in claim.role_least))
        if most <= LARGEST_GANG:
            return claim
        self.refuse("number of pods", most, f"at most {LARGEST_GANG}")
        return GangClaim(name=claim.name)


def minimums(pairs: dict[str, int]) -> RoleMinimums:
    """Roles that need any pods, by name."""
    return tuple(sorted((role, number) for role, number in pairs.items() if role and number > 0))


class TopologyKey(Wire, frozen=True, kw_only=True):
    """An entry of a list of topology constraints that names a node label."""

    key: str = ""
