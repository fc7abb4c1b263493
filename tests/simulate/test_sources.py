"""What others reported of their schedulers is a scenario here: the list of it and the scenarios name each other."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SCENARIOS = {path.stem: path for path in sorted((TESTS / "scenarios").glob("*.yaml"))}
LIST = (TESTS / "scenarios" / "README.md").read_text(encoding="utf-8")
ISSUE = re.compile(r"#\d+|YUNIKORN-\d+")
REPORTED = TESTS.parents[1] / "shared" / "reference" / "peers.md"


def rows() -> list[tuple[set[str], list[str], list[str]]]:
    """Of each row of the list that names scenarios or tests: the issues, the scenarios, the tests."""
    found: list[tuple[set[str], list[str], list[str]]] = []
    for line in LIST.splitlines():
        parts = [part.strip() for part in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(parts) == 3 and parts[0] != "issue":
            tests = re.findall(r"`([\w/]+\.py(?:::\w+)?)`", parts[2])
            found.append((set(ISSUE.findall(parts[0])), re.findall(r"\]\(([\w-]+)\.yaml\)", parts[2]), tests))
    return found


def test_what_the_list_names_is_there() -> None:
    assert len(rows()) > 50
    for issues, scenarios, tests in rows():
        assert scenarios or tests, issues
        assert set(scenarios) <= set(SCENARIOS), issues
        for named in tests:
            file, _, test = named.partition("::")
            assert f"def {test}" in (TESTS / file).read_text(encoding="utf-8"), named


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_issues_that_a_scenario_names_are_listed_with_it(name: str) -> None:
    said = "".join(re.findall(r"^#.*\n", SCENARIOS[name].read_text(encoding="utf-8"), re.MULTILINE))
    listed = {issue for issues, scenarios, _ in rows() if name in scenarios for issue in issues}
    assert set(ISSUE.findall(said)) <= listed


@pytest.mark.skipif(not REPORTED.exists(), reason="no reports of other schedulers lie beside this checkout")
def test_every_report_is_listed() -> None:
    text = REPORTED.read_text(encoding="utf-8")
    section = text[text.index("\n## 2") : text.index("\n## 3")]
    assert set(ISSUE.findall(section)) <= set(ISSUE.findall(LIST))
