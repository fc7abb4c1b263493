"""The one change that has to be made to an object in the API server's own encoding: one finalizer more.

A ResourceClaim may carry configuration that the API server stores byte by byte as it came. In JSON it is handed out
without spaces between words, and so comes back with every update; where there were such spaces the update is refused
as a change of the spec, which is immutable. Clients that write JSON with spaces, as the Kubernetes client for Python
does, make such claims and templates. In protobuf the bytes stay as they are.

Formats: k8s.io/apimachinery v0.36.3, pkg/runtime/generated.proto (`Unknown`: 2 is the object) and
pkg/apis/meta/v1/generated.proto (`ObjectMeta`: 14 is a finalizer); every object has its metadata as field 1. Where an
embedded message comes twice, a reader merges both, so that what is to be added is written after the rest.
"""

PROTOBUF = "application/vnd.kubernetes.protobuf"

_MAGIC = b"k8s\x00"
_OBJECT = 2
_METADATA = 1
_FINALIZER = 14

_VARINT, _BYTES = 0, 2


def with_finalizer(encoded: bytes, finalizer: str) -> bytes:
    """An object with one finalizer more.

    Raises:
        ValueError: this is no object as the API server encodes it.
    """
    if not encoded.startswith(_MAGIC):
        raise ValueError(f"the API server's answer begins with {encoded[:4]!r} and not with {_MAGIC!r}")
    added = _field(_METADATA, _field(_FINALIZER, finalizer.encode()))
    parts = [_MAGIC]
    at = len(_MAGIC)
    while at < len(encoded):
        key, start = _number(encoded, at)
        length, start = _number(encoded, start) if key & 7 == _BYTES else (0, start)
        if key & 7 == _VARINT:
            _, start = _number(encoded, start)
        elif key & 7 != _BYTES or start + length > len(encoded):
            raise ValueError(f"the API server's answer cannot be read at byte {at}")
        end = start + length
        parts.append(_field(_OBJECT, encoded[start:end] + added) if key >> 3 == _OBJECT else encoded[at:end])
        at = end
    return b"".join(parts)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _number(encoded: bytes, at: int) -> tuple[int, int]:
    """The number that begins at `at`, and where it has ended."""
    value = shift = 0
    while at < len(encoded):
        byte = encoded[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("the API server's answer ends inside a number")
