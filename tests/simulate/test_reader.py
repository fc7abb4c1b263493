"""Reading scenario files: strict, and every refusal names the place, the value and what is allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.simulate.document import ScenarioDoc, node_names
from scheduler.simulate.reader import read_scenario
from scheduler.simulate.refusal import Refused

SMALL = """
name: small
nodes: [{name: n, count: 2, gpus: 8, model: H100}]
queues: [{name: a, nominal: 16}]
workloads:
  - {name: w, queue: a, gang: true, pods: [{count: 2, gpus: 8}]}
"""


def refused(text: str) -> str:
    read = read_scenario(text)
    assert isinstance(read, Refused), read
    return str(read)


def test_a_scenario_is_read_whole() -> None:
    doc = read_scenario(SMALL)
    assert isinstance(doc, ScenarioDoc)
    assert node_names(doc.nodes[0]) == ["n-0", "n-1"]
    assert doc.workloads[0].least == 2
    assert doc.workloads[0].pods[0].gpus == 8


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: small", "nom: small", "nom: unknown key"),
        ("gpus: 8, model", "gpu: 8, model", "nodes[0].gpu: unknown key"),
        ("{count: 2, gpus: 8}]}", "{count: 2, foo: 8}]}", "workloads[0].pods[0].foo: unknown key"),
        ("name: n, ", "", "nodes[0].name: missing"),
        (
            "gpus: 8, model: H100",
            "gpus: lots, model: H100",
            "nodes[0].gpus: 'lots'; allowed: a whole number",
        ),
        ("count: 2, gpus: 8, model", "count: 0, gpus: 8, model", "nodes[0].count: 0; allowed: a whole number >= 1"),
        ("nominal: 16", "nominal: 1.5", "queues[0].nominal: 1.5; allowed: a whole number or nothing"),
        ("gang: true", "gang: 1", "workloads[0].gang: 1; allowed: true or false"),
        (
            "name: w,",
            "name: 7,",
            "workloads[0].name: 7; allowed: text (in quotes where it looks like a number)",
        ),
        (
            "model: H100",
            "labels: {rack: 1}",
            "nodes[0].labels.*: allowed: text (in quotes where it looks like a number)",
        ),
        ("gang: true", "linked: maybe", "workloads[0].linked: 'maybe'; allowed: required or preferred"),
        ("pods: [{count: 2, gpus: 8}]", "pods: []", "workloads[0].pods: []; allowed: a list of length >= 1"),
        ("queues: [{name: a, nominal: 16}]", "queues: a", "queues: 'a'; allowed: a list"),
        ("name: small", "expect: {runing: [w]}", "expect.runing: unknown key"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(old: str, new: str, said: str) -> None:
    assert old in SMALL
    assert refused(SMALL.replace(old, new, 1)) == said


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "allowed: a mapping"),
        ("- a", "allowed: a mapping"),
        ("name: [", "no readable YAML"),
        ("name: a\nname: b\nnodes: []", "line 2: the key 'name' stands twice in one mapping"),
        ("nodes: &n [*n]", "nodes[0]"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("name: !!python/object:os.system x", "no readable YAML"),
        ("name: 2001-99-99\nnodes: []", "no readable YAML"),
    ],
)
@pytest.mark.long
def test_what_is_no_scenario_at_all_is_refused(text: str, part: str) -> None:
    assert part in refused(text)
    assert "\n" not in refused(text)


@given(st.text())
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    read = read_scenario(text)
    assert not isinstance(read, Refused) or "\n" not in str(read)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "nodes", "workloads", "pods", "gpus", "count", "queues", "topology", "x"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_document_is_read_or_refused(value: object) -> None:
    import yaml  # noqa: PLC0415

    read = read_scenario(yaml.safe_dump(value))
    assert isinstance(read, (ScenarioDoc, Refused))
