"""How dialects say which gang a pod is in: a group's name, and beside it how many pods are enough or there are."""

import msgspec

from scheduler.kube.dialects import texts
from scheduler.kube.dialects.record import Hearing, Key, Texts
from scheduler.model.workload import GangClaim


class GroupKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of one dialect: the group's name, how many pods are enough, how many there are.

    `by_owner`: without a name the pods of one owner are the group.
    """

    prefix: str
    name: tuple[Key, ...]
    least: tuple[Key, ...] = ()
    size: tuple[Key, ...] = ()
    by_owner: bool = False


def claim(keys: GroupKeys, said: Texts, hear: Hearing) -> None:
    """Say the gang that the object is in, if it is in one; what cannot be read is refused."""
    group = said.first(keys.name)
    least, size = _number(said, keys.least, hear), _number(said, keys.size, hear)
    stated = least or size
    if group is not None:
        name = texts.name(group[1])
        if name is None:
            hear.refuse(*group, texts.NAME_ALLOWED)
            return
        number, total = least and least[1], size and size[1]
        if number and total and number > total and least is not None and size is not None:
            hear.refuse(least[0], str(number), f"at most {size[0]}, {total}")
            number = None
        hear.say("gang", GangClaim(name=keys.prefix + name, size=total, least=number), group[0])
    elif stated is not None and keys.by_owner and said.owner:
        gang = GangClaim(name=said.owner, size=size and size[1], least=least and least[1])
        hear.say("gang", gang, stated[0])
    elif stated is not None:
        owned = ", or on pods that have an owner" if keys.by_owner else ""
        hear.refuse(stated[0], str(stated[1]), f"only beside the {keys.name[0].where}{owned}")


def _number(said: Texts, keys: tuple[Key, ...], hear: Hearing) -> tuple[str, int] | None:
    found = said.first(keys)
    if found is None:
        return None
    number = texts.count(found[1])
    if number is None:
        hear.refuse(*found, texts.COUNT_ALLOWED)
        return None
    return found[0], number
