import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.exporter.simulated.faults import FIELDS, FORMS, BadFaultError, Fault, Kind, check_fault, parse_fault

GPUS = st.integers(min_value=0, max_value=255)
NUMBERS = st.integers(min_value=0, max_value=1_000_000)
PLAIN = [kind for kind in Kind if FORMS[kind][0] == f"{kind.value}:GPU"]

FAULTS = st.one_of(
    st.builds(Fault, kind=st.sampled_from(PLAIN), gpu=GPUS),
    st.builds(
        Fault, kind=st.sampled_from([Kind.NVLINK, Kind.ECC, Kind.RECOVERY]), gpu=GPUS, number=st.none() | NUMBERS
    ),
    st.builds(Fault, kind=st.just(Kind.XID), gpu=GPUS, number=NUMBERS),
    st.builds(Fault, kind=st.just(Kind.HANG), gpu=st.none() | GPUS),
    st.just(Fault(kind=Kind.DRIVER)),
    st.builds(Fault, kind=st.just(Kind.FIELD), gpu=st.none() | GPUS, field=st.sampled_from(FIELDS)),
)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("lost:2", Fault(kind=Kind.LOST, gpu=2)),
        ("nvlink:3", Fault(kind=Kind.NVLINK, gpu=3)),
        ("nvlink:3.5", Fault(kind=Kind.NVLINK, gpu=3, number=5)),
        ("xid:4=79", Fault(kind=Kind.XID, gpu=4, number=79)),
        ("ecc:1", Fault(kind=Kind.ECC, gpu=1)),
        ("recovery:5=2", Fault(kind=Kind.RECOVERY, gpu=5, number=2)),
        ("hang", Fault(kind=Kind.HANG)),
        ("hang:2", Fault(kind=Kind.HANG, gpu=2)),
        (" driver ", Fault(kind=Kind.DRIVER)),
        ("field:memory-mib", Fault(kind=Kind.FIELD, field="memory-mib")),
        ("field:p2p:0", Fault(kind=Kind.FIELD, field="p2p", gpu=0)),
    ],
)
def test_what_people_write(text: str, want: Fault) -> None:
    assert parse_fault(text) == want


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("melted:1", 'fault "melted:1" is unknown; allowed: lost:GPU, absent:GPU, nvlink:GPU or nvlink:GPU.LINK, '),
        ("", 'fault "" is unknown; allowed: '),
        ("lost", 'fault "lost" cannot be read; it is written lost:GPU'),
        ("lost:", 'fault "lost:" cannot be read; '),
        ("lost:-1", 'fault "lost:-1" cannot be read; '),
        ("driver:1", 'fault "driver:1" cannot be read; it is written driver'),
        ("driver:", 'fault "driver:" cannot be read; '),
        ("xid:4", 'fault "xid:4" cannot be read; it is written xid:GPU=NUMBER'),
        ("nvlink:3.", 'fault "nvlink:3." cannot be read; it is written nvlink:GPU or nvlink:GPU.LINK'),
        ("lost:٣", 'fault "lost:٣" cannot be read; '),
        ("lost:256", 'fault "lost:256": 256 is too large; at most 255 is allowed'),
        ("xid:1=" + "9" * 50, "is too large; at most 1000000 is allowed"),
        ("field:colour", 'field "colour" is unknown; allowed: model, memory-mib, '),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(text: str, said: str) -> None:
    with pytest.raises(BadFaultError) as refused:
        parse_fault(text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@given(FAULTS)
def test_a_fault_is_read_back_from_how_it_is_written(fault: Fault) -> None:
    assert parse_fault(str(fault)) == fault


@given(st.text())
def test_any_text_is_a_fault_or_refused(text: str) -> None:
    try:
        fault = parse_fault(text)
    except BadFaultError:
        return
    assert parse_fault(str(fault)) == fault


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lost:4", 'fault "lost:4": tray has the GPUs 0 to 3'),
        ("nvlink:0.18", 'fault "nvlink:0.18": GPU 0 of tray has the NVLinks 0 to 17'),
        ("nvlink:3", 'fault "nvlink:3": GPU 3 of tray has no NVLinks'),
    ],
)
def test_a_machine_has_only_its_own_parts(text: str, said: str) -> None:
    with pytest.raises(BadFaultError) as refused:
        check_fault(parse_fault(text), machine="tray", links=[18, 18, 18, 0])
    assert str(refused.value) == said
