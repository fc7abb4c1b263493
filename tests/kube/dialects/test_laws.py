"""Whatever people write at keys of other schedulers, it is understood or refused; nothing else happens."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.kube.dialects.foreign import ForeignKind
from scheduler.kube.dialects.kinds import GROUP_KINDS, kind_of
from scheduler.kube.dialects.record import Texts, Understood
from scheduler.kube.dialects.table import DIALECTS, understand
from scheduler.kube.dialects.understood import understood
from scheduler.kube.translate_values import LARGEST_GANG, MOST_SLICES
from scheduler.state.events import GroupSeen

KEYS = {place: sorted(k.key for d in DIALECTS for k in d.keys if k.place == place) for place in ("label", "annotation")}
numbers = st.sampled_from(["0", "1", "2", "4", "150001", "-1", "1e3", "٤"])
words = st.sampled_from(
    ["", " ", "g", "true", "false", "hard", "soft", "Strict", "non-preemptible", "rack", "[]", "{}", "null"]
)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.sampled_from(["rack", "MustGather", "4", ""]),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("topology", "size", "name", "minMember", "gatherStrategy", "layer", "strategy"),
                    *("podCountMultiple", "spec", "podGroups", "replicatedJobs", "subGroups", "replicas"),
                    *("template", "containers", "metadata", "labels", "queue", "schedulingPolicy", "gang", "minCount"),
                    *("workerGroupSpecs", "leaderWorkerTemplate", "networkTopology", "mode", "topologyConstraint"),
                ]
            ),
            below,
            max_size=4,
        )
    ),
    max_leaves=12,
)
values = numbers | words | jsons.map(json.dumps) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
metas = st.tuples(
    st.dictionaries(st.sampled_from(KEYS["label"]), values, max_size=5),
    st.dictionaries(st.sampled_from(KEYS["annotation"]), values, max_size=5),
)


def holds(found: Understood) -> None:
    claim = found.gang
    if claim is not None:
        assert claim.name.partition("/")[2]
        numbers = [n for n in (claim.size, claim.least, *(n for _, n in claim.role_least)) if n is not None]
        assert all(1 <= number <= LARGEST_GANG for number in numbers)
    assert len(found.topology_slices) <= MOST_SLICES
    assert all(level and 1 < size <= LARGEST_GANG for level, size in found.topology_slices)
    assert all(text is None or text.strip() for text in (found.queue, found.topology_required, found.role))
    said = set(dict(found.where))
    assert all((getattr(found, field) is not None) == (field in said) for field in ("gang", "queue", "preemptible"))
    assert bool(found.dialects)


@pytest.mark.long
@settings(max_examples=500, deadline=None)
@given(metas, st.sampled_from(["", "Job", "PyTorchJob"]))
def test_any_text_is_understood_or_refused(meta: tuple[dict[str, str], dict[str, str]], owner: str) -> None:
    labels, annotations = meta
    found = understand(Texts(labels=labels, annotations=annotations, owner_kind=owner, owner_name=owner and "train"))
    if labels or annotations:
        holds(found)


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(GROUP_KINDS), metas, jsons)
def test_any_object_describes_a_gang_or_is_refused(
    foreign: ForeignKind, meta: tuple[dict[str, str], dict[str, str]], spec: object
) -> None:
    named = {"name": "x", "namespace": "a", "uid": "u", "labels": meta[0], "annotations": meta[1]}
    try:
        event = kind_of(foreign, foreign.versions[0]).read(json.dumps({"metadata": named, "spec": spec}).encode())
    except ValueError:
        return
    assert isinstance(event.event, GroupSeen)
    claim = event.event.claim
    assert max(claim.size or 1, claim.least or 1, *(n for _, n in claim.role_least), 1) <= LARGEST_GANG


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["apiVersion", "kind", "metadata", "spec", "template"]), jsons),
    st.sampled_from(GROUP_KINDS),
    st.booleans(),
)
def test_any_document_is_understood_or_has_nothing_to_do_with_it(
    document: dict[str, Any], foreign: ForeignKind, of_kind: bool
) -> None:
    kinds = {"podgroups": "PodGroup", "jobsets": "JobSet", "rayclusters": "RayCluster", "pytorchjobs": "PyTorchJob"}
    if of_kind:
        document |= {"kind": kinds.get(foreign.plural, "X"), "apiVersion": f"{foreign.group}/{foreign.versions[0]}"}
    found = understood(document)
    assert found is None or msgspec.json.encode(found)


@pytest.mark.parametrize(
    "key", ["kueue.x-k8s.io/podset-slice-required-topology-constraints", "yunikorn.apache.org/task-groups",
    "gang.scheduling.koordinator.sh/network-topology-spec"]
)  # fmt: skip
def test_what_is_nested_without_end_is_refused(key: str) -> None:
    deep = "[" * 100_000
    for text in (deep, f'[{{"x": {deep}', f'{{"gatherStrategy": [{{"x": {deep}', '{"a":' * 100_000):
        found = understand(Texts(labels={"applicationId": "a"}, annotations={key: text}))
        assert [problem.where for problem in found.problems] == [f"annotation {key}"]
