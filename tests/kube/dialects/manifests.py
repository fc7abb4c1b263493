"""Manifests of objects that describe gangs, read as the service reads them, and what they should say."""

import json

import yaml
from msgspec.structs import replace

from scheduler.kube.dialects.kinds import GROUP_KINDS, kind_of
from scheduler.model.names import WorkloadKey
from scheduler.model.workload import GangClaim
from scheduler.state.events import GroupSeen


def read(text: str) -> GroupSeen:
    """The object of a manifest; it is `a/train`, uid `u`, where the manifest does not say so."""
    document = yaml.safe_load(text)
    group, _, version = document["apiVersion"].partition("/")
    document["metadata"] = {"name": "train", "namespace": "a", "uid": "u", **document.get("metadata", {})}
    (foreign,) = (
        kind
        for kind in GROUP_KINDS
        if (kind.group, kind.plural) == (group, f"{document['kind'].lower()}s") and version in kind.versions
    )
    sighting = kind_of(foreign, version).read(json.dumps(document).encode())
    assert (sighting.key, sighting.identity) == ("a/train", "u")
    assert isinstance(sighting.event, GroupSeen)
    return sighting.event


def seen(name: str, kind: str, **fields: object) -> GroupSeen:
    return replace(GroupSeen(uid="u", key=WorkloadKey(f"gang:a/{name}"), kind=kind), **fields)


def claim(**fields: object) -> GangClaim:
    return replace(GangClaim(name=""), **fields)
