"""Values that nobody would expect in a manifest, and the places where they can stand."""

from hypothesis import strategies as st

from scheduler.migrate.records import Value

ODD: st.SearchStrategy[Value] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["8", "-1", "1h", "3m"]),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=6), inside, max_size=3),
    max_leaves=6,
)


def places(value: Value) -> list[list[str | int]]:
    """The way to everything in a document."""
    found: list[list[str | int]] = []
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inside in entries:
        found += [[key], *([key, *way] for way in places(inside))]
    return found
