"""What the documentation promises of other schedulers' keys is what the tables have."""

from pathlib import Path

from scheduler.kube import keys
from scheduler.kube.dialects.kinds import CLASS_KINDS, FOREIGN_KINDS
from scheduler.kube.dialects.table import DIALECTS

PAGE = (Path(__file__).parents[3] / "docs" / "dialects.md").read_text(encoding="utf-8")


def test_every_key_is_documented_as_it_is_read() -> None:
    rows = [
        f"| {key.place} `{key.key}` | {key.means if key.heard else f'not honoured: {key.means}'} |"
        for dialect in DIALECTS
        for key in dialect.keys
    ]
    assert [row for row in rows if row not in PAGE] == []
    assert sum(line.startswith(("| label `", "| annotation `")) for line in PAGE.splitlines()) == len(rows)


def test_every_kind_and_every_rank_is_documented() -> None:
    kinds = [kind.plural.removesuffix("es" if kind in CLASS_KINDS else "s") for kind in FOREIGN_KINDS]
    assert [kind for kind in kinds if f"`{kind}`" not in PAGE.lower()] == []
    assert [key for key in keys.RANK_KEYS if f"`{key}`" not in PAGE] == []
