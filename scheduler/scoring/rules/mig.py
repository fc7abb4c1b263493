"""Whether MIG instances can stand beside each other on a GPU, for the checker: plain counting, unit by unit."""

from collections import Counter
from collections.abc import Sequence

from scheduler.model.mig import ENGINES, MigModel, Profile
from scheduler.model.node import MigInstance
from scheduler.scoring.rules.node import is_model
from scheduler.scoring.sharing.mig_tables import mig_models


def broken_layout(product: str, instances: Sequence[MigInstance], told: Sequence[MigModel] = ()) -> list[str]:
    """Everything that is wrong with these instances on one GPU of a product, in sentences.

    `told`: the geometries that the driver of its node tells; of other products, what is known of them counts.
    """
    if not instances:
        return []
    known = [m for m in mig_models().values() if any(is_model(name, product) for name in m.products)]
    model = next(iter([m for m in told if product in m.products] + known), None)
    if model is None:
        return [f"{product or 'a GPU of no known model'} cannot be divided"]
    broken: list[str] = []
    taken: Counter[int] = Counter()
    engines: Counter[str] = Counter()
    profiles: list[Profile] = []
    for one in instances:
        profile = profile_of(model, one.profile)
        if profile is None:
            broken.append(f"it has no slices {one.profile}")
            continue
        if one.start not in profile.starts:
            broken.append(f"a slice {profile.name} may not begin at {one.start}")
        profiles.append(profile)
        taken.update(range(one.start, one.start + profile.size))
        for engine in ENGINES:
            engines[engine] += getattr(profile, engine) or 0
    broken += [f"memory unit {unit} is given to {n} slices" for unit, n in sorted(taken.items()) if n > 1]
    broken += [
        f"{n} slices {profile.name}, of at most {profile.most}"
        for profile, n in Counter(profiles).items()
        if n > profile.most
    ]
    for engine in ENGINES:
        has = max(getattr(profile, engine) or 0 for profile in model.profiles)
        if engines[engine] > has:
            broken.append(f"{engines[engine]} of its {has} {engine} engines are given out")
    return broken


def profile_of(model: MigModel, name: str) -> Profile | None:
    """The profile of that name, in which the device plugin's resources have a dot for the plus."""
    return next((p for p in model.profiles if name.replace("+", ".") == p.name.replace("+", ".")), None)
