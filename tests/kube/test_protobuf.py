"""One finalizer more in an object as the API server encodes it; that the server takes it is in tests/cluster."""

import pytest

from scheduler.kube.protobuf import with_finalizer

FINALIZER = "resource.kubernetes.io/delete-protection"


def field(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def test_it_is_added_to_the_metadata_and_everything_else_stays_as_it_was() -> None:
    kind, metadata, spec = field(1, b"v1/ResourceClaim"), field(1, b"meta"), field(2, b'{"a":  1}')
    answer = b"k8s\x00" + kind + field(2, metadata + spec) + field(4, b"") + bytes([5 << 3, 7])
    wanted = field(1, field(14, FINALIZER.encode()))
    assert with_finalizer(answer, FINALIZER) == (
        b"k8s\x00" + kind + field(2, metadata + spec + wanted) + field(4, b"") + bytes([5 << 3, 7])
    )


def test_lengths_above_127_are_written_and_read() -> None:
    spec = b"x" * 300
    answer = b"k8s\x00" + b"\x12" + b"\xac\x02" + spec
    changed = with_finalizer(answer, FINALIZER)
    assert changed.startswith(b"k8s\x00\x12\xd8\x02" + spec)
    assert changed.endswith(FINALIZER.encode())


@pytest.mark.parametrize(
    "answer", [b"{}", b"", b"k8s\x00\x12", b"k8s\x00\x12\x05ab", b"k8s\x00\x12\x80", b"k8s\x00\x0d\x00"]
)
def test_what_is_no_object_is_refused(answer: bytes) -> None:
    with pytest.raises(ValueError, match="the API server's answer"):
        with_finalizer(answer, FINALIZER)
