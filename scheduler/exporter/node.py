"""All that is known of a node at one moment: what the agent hands to the report."""

from collections.abc import Mapping

import msgspec

from scheduler.exporter.reading import DeviceFacts, DeviceState, DriverFacts, Pair, Told, Unread, Xid


class DeviceKnown(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A GPU: what was read of it, and what is remembered.

    `facts` and `state` are from now, or say why there are none now; `before` is what `facts` last were. `errors`: what
    the driver reported since the GPU was last initialised, oldest first, without repetitions. `links_up`: NVLinks that
    have been up since then.
    """

    uuid: str
    facts: Told[DeviceFacts]
    state: Told[DeviceState]
    before: DeviceFacts | None = None
    errors: tuple[Xid, ...] = ()
    links_up: frozenset[int] = frozenset()
    unwatched: bool = False

    @property
    def known(self) -> DeviceFacts | None:
        """The facts, though they may be from before."""
        return self.before if isinstance(self.facts, Unread) else self.facts

    @property
    def missing(self) -> Unread | None:
        """Why the GPU cannot be looked at now; None where it can."""
        if isinstance(self.state, Unread):
            return self.state
        return self.facts if isinstance(self.facts, Unread) and self.before is None else None


class HeldDevice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A device that a container holds through a ResourceClaim of the pod's namespace."""

    claim: str
    driver: str
    pool: str
    device: str
    share_id: str = ""


class Held(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one container holds of one resource: ids as the device plugin has them, or devices of claims.

    `resource` is the driver's name where the devices are claimed.
    """

    namespace: str
    pod: str
    container: str
    resource: str
    ids: tuple[str, ...] = ()
    claimed: tuple[HeldDevice, ...] = ()


class Sharing(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How the device plugin shares GPUs, by the node's labels. `strategy` by the names of the GPUNode; "": not at all.

    `replicas` is None where it is not told; `mig_strategy` is "" where it is not told.
    """

    strategy: str = ""
    replicas: int | None = None
    mig_strategy: str = ""


NO_SHARING = Sharing()


class NodeKnown(msgspec.Struct, frozen=True, kw_only=True):
    """A node. `pairs` by the two UUIDs, in order of the text. `problem`: why there is no driver to ask, if so.

    `offered`: ids of all devices that pods may get, as the device plugin has them; None where nobody tells.
    """

    driver: Told[DriverFacts]
    devices: tuple[DeviceKnown, ...]
    pairs: Mapping[tuple[str, str], Pair] = {}
    held: Told[tuple[Held, ...]] = ()
    offered: frozenset[str] | None = None
    sharing: Told[Sharing] = NO_SHARING
    simulated: bool = False
    problem: str = ""
