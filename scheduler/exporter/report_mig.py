"""How a GPU is divided, and where more instances could be made."""

from collections.abc import Iterator, Sequence

from msgspec import UNSET, UnsetType

from scheduler.exporter.reading import MigInstance, MigProfile, Told, Unread
from scheduler.kube.wire_report import ReportInstance, ReportPlacement, ReportProfile


def profile_name(name: Told[str] | UnsetType, number: int) -> str:
    """The name as the driver has it; an old driver has none, and then it is the number."""
    return name if isinstance(name, str) else f"profile-{number}"


def profiles_of(offered: Sequence[MigProfile]) -> Iterator[ReportProfile]:
    """Those of which it is known where an instance may begin."""
    for one in offered:
        if not isinstance(one.size, Unread) and not isinstance(one.starts, Unread):
            yield ReportProfile(
                profile=UNSET if isinstance(one.name, Unread) else one.name,
                profile_id=one.id,
                starts=one.starts,
                size=one.size,
                max=one.most,
                compute_slices=one.slices,
                multiprocessors=one.sm,
                memory_mib=one.memory_mib,
                decoders=one.decoders,
                encoders=one.encoders,
                jpeg=one.jpeg,
                ofa=one.ofa,
                copy_engines=one.copy_engines,
            )


def instances(made: Sequence[MigInstance]) -> Iterator[ReportInstance]:
    """The instances, by where they begin."""
    for one in sorted(made, key=lambda one: one.start):
        found = ReportInstance(
            profile=profile_name(one.profile, one.profile_id), profile_id=one.profile_id, start=one.start, size=one.size
        )
        yield (
            found
            if isinstance(one.uuid, Unread)
            else ReportInstance(
                profile=found.profile, profile_id=found.profile_id, start=found.start, size=found.size, uuid=one.uuid
            )
        )


def free_placements(offered: Sequence[ReportProfile], made: Sequence[ReportInstance]) -> Iterator[ReportPlacement]:
    """Where one more instance could be made: on free memory units, below the profile's limit, with engines to spare.

    The whole GPU has as many of each engine as the profile that takes most of them.
    """
    known = {profile.profile_id: profile for profile in offered}
    taken = {unit for one in made for unit in range(one.start, one.start + one.size)}
    used = [_engines(known[one.profile_id]) for one in made if one.profile_id in known]
    have = [max(counts) for counts in zip(*map(_engines, offered), strict=True)]
    left = [total - sum(counts) for total, counts in zip(have, zip(*used, strict=True), strict=True)] if used else have
    for profile in offered:
        if sum(one.profile_id == profile.profile_id for one in made) >= profile.max:
            continue
        if any(need > spare for need, spare in zip(_engines(profile), left, strict=True)):
            continue
        for start in profile.starts:
            if taken.isdisjoint(range(start, start + profile.size)):
                yield ReportPlacement(
                    profile=profile_name(profile.profile, profile.profile_id),
                    profile_id=profile.profile_id,
                    start=start,
                    size=profile.size,
                )


def _engines(profile: ReportProfile) -> tuple[int, ...]:
    return (profile.decoders, profile.jpeg, profile.ofa, profile.copy_engines)
