"""What is found in manifests. Everything here is plain data; nothing is read and nothing written."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

Value: TypeAlias = "dict[str, Value] | list[Value] | str | int | float | bool | None"
"""What JSON can say."""

Body = Mapping[str, Value]

Kind = Literal["differs", "no equivalent", "unreadable"]
"""`differs`: it is understood, and does something else here. `no equivalent`: nothing here stands for it."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One Kubernetes object as it is written; `where` names the file and the document in it, or the cluster."""

    where: str
    body: Body

    @property
    def group(self) -> str:
        """The API group, empty for the core one."""
        return text_of(self.body.get("apiVersion")).rpartition("/")[0]

    @property
    def kind(self) -> str:
        """Its kind."""
        return text_of(self.body.get("kind"))

    @property
    def metadata(self) -> Body:
        """Its metadata."""
        return mapping_of(self.body.get("metadata"))

    @property
    def name(self) -> str:
        """Its name; where a name is generated, the beginning of it."""
        return text_of(self.metadata.get("name")) or text_of(self.metadata.get("generateName"))

    @property
    def namespace(self) -> str:
        """Its namespace; `default` where none is said."""
        return text_of(self.metadata.get("namespace")) or "default"


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """One value that does not mean the same here: where it stands, what it is, and why."""

    kind: Kind
    path: str
    value: str
    why: str


class NewQueue(msgspec.Struct, frozen=True, kw_only=True):
    """A Queue of Bayplan: its name and specification, and the objects it stands for."""

    name: str
    spec: Body
    stands_for: tuple[str, ...] = ()


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One manifest and what was found in it.

    `dialect`: whose words it uses; empty: those of Kubernetes alone. `becomes`: what it is here, in a few words.
    `schedulers`: whom its pods name now; `queue`: the queue that they name, if any.
    """

    where: str
    kind: str
    name: str
    namespace: str = ""
    dialect: str = ""
    becomes: str = ""
    schedulers: tuple[str, ...] = ()
    queue: str = ""
    notes: tuple[Note, ...] = ()


class Translated(msgspec.Struct, frozen=True, kw_only=True):
    """What came of some manifests: the queues, and a finding for each manifest that was looked at."""

    queues: tuple[NewQueue, ...] = ()
    found: tuple[Found, ...] = ()


def text_of(value: Value) -> str:
    """A text or number as text; empty for anything else."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def mapping_of(value: Value) -> dict[str, Value]:
    """A mapping; an empty one for anything else."""
    return value if isinstance(value, dict) else {}
