"""Static filters, by table as kube-scheduler's own tests have them, and against the checker's reading of the rules."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.flavors import model_matches
from scheduler.model.node import Node, Taint
from scheduler.model.workload import HostPort, PodShape, Requirement, Toleration
from scheduler.scoring.filters import ports_clash, static_mask, tolerates, tolerates_cordon
from scheduler.scoring.fleet import Fleet
from scheduler.scoring.room import Room
from scheduler.scoring.rules.node import is_model, why_not_on
from tests.planning.build import node, shape, snapshot


def accepted(each: Node, wanted: PodShape) -> bool:
    """Whether the filters let a pod onto the only node of a cluster; the checker has to say the same."""
    snap = snapshot([each])
    room = Room(snap, Fleet(snap))
    accepts = bool((static_mask(room.fleet, wanted) & room.open_to(wanted))[0])
    assert accepts == (why_not_on(wanted, each) == [])
    return accepts


def requires(key: str, operator: str, *values: str, on_name: bool = False) -> Requirement:
    return Requirement(key=key, operator=operator, values=values, on_name=on_name)  # type: ignore[arg-type]


LABELLED = node("n1", labels={"disk": "ssd", "gen": "12", "odd": "012", "text": "x", "empty": ""})


@pytest.mark.parametrize(
    ("terms", "want"),
    [
        pytest.param((), True, id="nothing asked"),
        pytest.param(((),), False, id="an empty term matches no node"),
        pytest.param(((requires("disk", "In", "hdd", "ssd"),),), True, id="In"),
        pytest.param(((requires("disk", "In", "hdd"),),), False, id="In, another value"),
        pytest.param(((requires("none", "In", "a"),),), False, id="In, label absent"),
        pytest.param(((requires("empty", "In", ""),),), True, id="In, the empty value"),
        pytest.param(((requires("disk", "NotIn", "ssd"),),), False, id="NotIn"),
        pytest.param(((requires("disk", "NotIn", "hdd"),),), True, id="NotIn, another value"),
        pytest.param(((requires("none", "NotIn", "a"),),), True, id="NotIn, label absent"),
        pytest.param(((requires("disk", "Exists"),),), True, id="Exists"),
        pytest.param(((requires("none", "Exists"),),), False, id="Exists, label absent"),
        pytest.param(((requires("disk", "DoesNotExist"),),), False, id="DoesNotExist"),
        pytest.param(((requires("none", "DoesNotExist"),),), True, id="DoesNotExist, label absent"),
        pytest.param(((requires("gen", "Gt", "11"),),), True, id="Gt"),
        pytest.param(((requires("gen", "Gt", "12"),),), False, id="Gt is strict"),
        pytest.param(((requires("gen", "Lt", "13"),),), True, id="Lt"),
        pytest.param(((requires("gen", "Lt", "12"),),), False, id="Lt is strict"),
        pytest.param(((requires("gen", "Gt", "9"),),), True, id="Gt compares numbers, not text"),
        pytest.param(((requires("odd", "Lt", "13"),),), True, id="leading zeros are read"),
        pytest.param(((requires("gen", "Gt", "+11"),),), True, id="a sign is read"),
        pytest.param(((requires("text", "Gt", "1"),),), False, id="Gt, the label is no number"),
        pytest.param(((requires("none", "Lt", "1"),),), False, id="Lt, label absent"),
        pytest.param(((requires("gen", "Gt", "eleven"),),), False, id="Gt, the limit is no number"),
        pytest.param(((requires("gen", "Gt", "1", "2"),),), False, id="Gt takes one value"),
        pytest.param(((requires("gen", "Lt", "9223372036854775808"),),), False, id="beyond 64 bits"),
        pytest.param(((requires("disk", "Exists"), requires("gen", "Lt", "1")),), False, id="AND within a term"),
        pytest.param(((requires("gen", "Lt", "1"),), (requires("disk", "Exists"),)), True, id="OR between terms"),
        pytest.param(((requires("metadata.name", "In", "n1", on_name=True),),), True, id="matchFields In"),
        pytest.param(((requires("metadata.name", "In", "n2", on_name=True),),), False, id="matchFields In, other"),
        pytest.param(((requires("metadata.name", "NotIn", "n1", on_name=True),),), False, id="matchFields NotIn"),
        pytest.param(((requires("metadata.name", "NotIn", "n2", on_name=True),),), True, id="matchFields NotIn, other"),
        pytest.param(
            ((requires("metadata.name", "In", "n1", "n2", on_name=True),),), False, id="matchFields, two names"
        ),
        pytest.param(((requires("metadata.name", "Exists", on_name=True),),), False, id="matchFields Exists"),
    ],
)
def test_node_affinity(terms: tuple[tuple[Requirement, ...], ...], want: bool) -> None:
    assert accepted(LABELLED, shape(affinity=terms)) is want


@pytest.mark.parametrize(
    ("selector", "want"),
    [
        pytest.param((("disk", "ssd"),), True, id="equal"),
        pytest.param((("disk", "hdd"),), False, id="another value"),
        pytest.param((("none", ""),), False, id="absent is not empty"),
        pytest.param((("empty", ""),), True, id="empty"),
        pytest.param((("disk", "ssd"), ("gen", "11")), False, id="all have to hold"),
    ],
)
def test_node_selector(selector: tuple[tuple[str, str], ...], want: bool) -> None:
    assert accepted(LABELLED, shape(node_selector=selector)) is want


TAINT = Taint(key="team", value="red", effect="NoSchedule")


@pytest.mark.parametrize(
    ("toleration", "want"),
    [
        pytest.param(Toleration(key="team", value="red"), True, id="Equal"),
        pytest.param(Toleration(key="team", value="blue"), False, id="Equal, another value"),
        pytest.param(Toleration(key="team", operator="Exists"), True, id="Exists"),
        pytest.param(Toleration(key="other", operator="Exists"), False, id="another key"),
        pytest.param(Toleration(operator="Exists"), True, id="the empty key tolerates everything"),
        pytest.param(Toleration(operator="Exists", effect="NoSchedule"), True, id="of one effect"),
        pytest.param(Toleration(operator="Exists", effect="NoExecute"), False, id="another effect"),
        pytest.param(Toleration(key="team", value="red", effect="NoExecute"), False, id="Equal, another effect"),
    ],
)
def test_tolerations(toleration: Toleration, want: bool) -> None:
    assert tolerates(toleration, TAINT) is want
    assert accepted(node("n1", taints=(TAINT,)), shape(tolerations=(toleration,))) is want


@pytest.mark.parametrize(
    ("operator", "limit", "value", "want"),
    [
        ("Gt", "5", "6", True),
        ("Gt", "5", "5", False),
        ("Lt", "5", "4", True),
        ("Lt", "5", "5", False),
        ("Lt", "5", "-1", True),
        ("Gt", "5", "06", False),
        ("Gt", "05", "6", False),
        ("Gt", "+5", "6", False),
        ("Gt", "5", "x", False),
    ],
)
def test_numeric_tolerations_compare_canonical_numbers(operator: str, limit: str, value: str, want: bool) -> None:
    toleration = Toleration(key="k", operator=operator, value=limit)  # type: ignore[arg-type]
    assert tolerates(toleration, Taint(key="k", value=value)) is want
    assert accepted(node("n1", taints=(Taint(key="k", value=value),)), shape(tolerations=(toleration,))) is want


def test_only_hard_taints_keep_pods_off() -> None:
    assert accepted(node("n1", taints=(Taint(key="k", effect="PreferNoSchedule"),)), shape())
    assert not accepted(node("n1", taints=(Taint(key="k", effect="NoExecute"),)), shape())
    two = (Taint(key="a"), Taint(key="b"))
    assert not accepted(node("n1", taints=two), shape(tolerations=(Toleration(key="a", operator="Exists"),)))


def test_a_cordoned_node_takes_pods_that_tolerate_that() -> None:
    cordon = Toleration(key="node.kubernetes.io/unschedulable", operator="Exists", effect="NoSchedule")
    cordoned = node("n1", unschedulable=True)
    assert not accepted(cordoned, shape())
    assert accepted(cordoned, shape(tolerations=(cordon,)))
    assert accepted(cordoned, shape(tolerations=(Toleration(operator="Exists"),)))
    assert not accepted(node("n1", ready=False), shape(tolerations=(Toleration(operator="Exists"),)))
    assert not tolerates_cordon(shape(tolerations=(Toleration(key="other", operator="Exists"),)))


@pytest.mark.parametrize(
    ("wanted", "product", "want"),
    [
        ("H100", "NVIDIA-H100-80GB-HBM3", True),
        ("h100", "NVIDIA-H100-80GB-HBM3", True),
        ("A100-80GB", "NVIDIA-A100-SXM4-80GB", True),
        ("80GB-A100", "NVIDIA-A100-SXM4-80GB", False),
        ("A100-40GB", "NVIDIA-A100-SXM4-80GB", False),
        ("A10", "NVIDIA-A100-SXM4-80GB", False),
        ("NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-SXM4-80GB", True),
        ("80GB-80GB", "NVIDIA-A100-SXM4-80GB", False),
        ("", "NVIDIA-A100-SXM4-80GB", False),
        ("A100", "", False),
    ],
)
def test_models(wanted: str, product: str, want: bool) -> None:
    assert model_matches(wanted, product) is want
    assert is_model(wanted, product) is want
    assert accepted(node("n1", product=product), shape(models=(wanted,))) is want


def test_a_model_is_asked_of_pods_with_devices_only() -> None:
    assert accepted(node("n1", 0), shape(0, models=("H100",)))


@pytest.mark.parametrize(
    ("wanted", "taken", "want"),
    [
        pytest.param(HostPort(port=80), HostPort(port=80), True, id="same"),
        pytest.param(HostPort(port=80), HostPort(port=81), False, id="another port"),
        pytest.param(HostPort(port=80), HostPort(port=80, protocol="UDP"), False, id="another protocol"),
        pytest.param(HostPort(port=80, address="10.0.0.1"), HostPort(port=80), True, id="taken on every address"),
        pytest.param(HostPort(port=80), HostPort(port=80, address="10.0.0.1"), True, id="wanted on every address"),
        pytest.param(
            HostPort(port=80, address="10.0.0.1"), HostPort(port=80, address="10.0.0.2"), False, id="other addresses"
        ),
    ],
)
def test_host_ports(wanted: HostPort, taken: HostPort, want: bool) -> None:
    assert ports_clash([wanted], [taken]) is want
    snap = snapshot([node("n1")], ports={"n1": (taken,)})
    assert int(Room(snap, Fleet(snap)).view(shape(host_ports=(wanted,))).fits[0]) == (0 if want else 1)


words = st.sampled_from(["a", "b", "7", "12", "007"])
requirements = st.builds(
    Requirement,
    key=st.sampled_from(["k", "l", "absent"]),
    operator=st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]),
    values=st.lists(words, max_size=2).map(tuple),
    on_name=st.just(value=False),
)
tolerations = st.builds(
    Toleration,
    key=st.sampled_from(["", "a", "b"]),
    operator=st.sampled_from(["Exists", "Equal", "Gt", "Lt"]),
    value=words,
    effect=st.sampled_from(["", "NoSchedule", "NoExecute"]),
)
taints = st.builds(
    Taint,
    key=st.sampled_from(["a", "b"]),
    value=words,
    effect=st.sampled_from(["NoSchedule", "PreferNoSchedule", "NoExecute"]),
)


@settings(max_examples=300, deadline=None)
@given(
    labels=st.dictionaries(st.sampled_from(["k", "l"]), words),
    node_taints=st.lists(taints, max_size=2).map(tuple),
    terms=st.lists(st.lists(requirements, max_size=2).map(tuple), max_size=2).map(tuple),
    tolerated=st.lists(tolerations, max_size=2).map(tuple),
    selector=st.lists(st.tuples(st.sampled_from(["k", "l"]), words), max_size=1).map(tuple),
    cordoned=st.booleans(),
)
def test_filters_and_checker_agree(
    labels: dict[str, str],
    node_taints: tuple[Taint, ...],
    terms: tuple[tuple[Requirement, ...], ...],
    tolerated: tuple[Toleration, ...],
    selector: tuple[tuple[str, str], ...],
    cordoned: bool,
) -> None:
    wanted = shape(affinity=terms, tolerations=tolerated, node_selector=selector)
    accepted(node("n1", labels=labels, taints=node_taints, unschedulable=cordoned), wanted)


@given(st.text(string.ascii_lowercase + "-", max_size=6), st.text(string.ascii_lowercase + "-", max_size=10))
def test_both_readings_of_models_agree(wanted: str, product: str) -> None:
    assert model_matches(wanted, product) == is_model(wanted, product)
