"""Geometry of MIG: which profiles GPUs of one model offer, and where instances of them may begin."""

from typing import Literal

import msgspec

ENGINES = ("decoders", "jpeg", "ofa", "copy")
"""Engines that instances take of a GPU, as fields of `Profile`."""


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A MIG profile. An instance begins at one of `starts` and takes `size` memory units; a GPU has at most `most`.

    Where slices were made beforehand and no others are made, there are no starts.

    `id` is the driver's number, `compute` the compute slices, `sm` the multiprocessors; engines and memory are None
    where no source tells.
    """

    name: str
    id: int
    starts: tuple[int, ...]
    size: int
    most: int
    compute: int
    sm: int | None = None
    memory_mib: int | None = msgspec.field(default=None, name="memoryMiB")
    decoders: int | None = None
    jpeg: int | None = None
    ofa: int | None = None
    copy: int | None = None

    @property
    def takes(self) -> tuple[int, ...]:
        """How many of each of `ENGINES` an instance takes; 0 where that is not known."""
        return (self.decoders or 0, self.jpeg or 0, self.ofa or 0, self.copy or 0)

    @property
    def resource(self) -> str:
        """The profile in the name of the device plugin's resource: `+` is not allowed there (`1g.10gb.me`)."""
        return self.name.replace("+", ".")


class MigModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A GPU model that can be divided: its memory units and profiles, the largest first.

    `placements`: whether starts were captured on such a GPU, inferred from its relatives, or reported by the very
    driver that makes the instances. `products`: names of the model; of what a driver reports the whole product's name.
    """

    products: tuple[str, ...]
    units: int
    placements: Literal["captured", "inferred", "reported"]
    source: str
    profiles: tuple[Profile, ...]

    def __hash__(self) -> int:
        """Quick, since answers on geometry are remembered by model."""
        return hash((self.products, self.units))

    def index(self, profile: str) -> int | None:
        """The position of a profile by its name, or by its name in a resource (`1g.10gb.me`); None for none of it."""
        return next((i for i, p in enumerate(self.profiles) if profile in {p.name, p.resource}), None)

    @property
    def makes(self) -> bool:
        """Whether instances can be made; where they were made beforehand, none begin anywhere anew."""
        return any(profile.starts for profile in self.profiles)

    @property
    def engines(self) -> tuple[int, ...]:
        """How many of each of `ENGINES` the whole GPU has: what the profile that is all of it takes."""
        return tuple(max(counts) for counts in zip(*(p.takes for p in self.profiles), strict=True))


def ordered(model: MigModel) -> MigModel:
    """The model with its profiles by memory, then compute slices, both descending; of equals the plain one first."""
    order = sorted(model.profiles, key=lambda p: (-p.size, -p.compute, len(p.name), p.name))
    return msgspec.structs.replace(model, profiles=tuple(order))
