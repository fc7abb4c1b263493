"""What pods ask of nodes, as far as packing goes by it."""

import msgspec

from scheduler.model.resources import MILLI_GPU


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False, order=True):
    """What one pod asks of a node; equal requests are priced together.

    `share_milli` of each of `devices` GPUs: 1000 is a whole one. Memory is in the unit of whoever reads it: bytes in a
    cluster, MiB in a trace. `models` are the names of the products that are accepted; empty accepts any.
    """

    milli_cpu: int = 0
    memory: int = 0
    devices: int = 0
    share_milli: int = MILLI_GPU
    models: tuple[str, ...] = ()

    @property
    def milli_gpu(self) -> int:
        """All of its devices' shares together."""
        return self.devices * self.share_milli


class Kind(msgspec.Struct, frozen=True, gc=False):
    """A kind of request, and which part of all requests of late it is; parts are whole numbers above 0."""

    request: Request
    weight: int
