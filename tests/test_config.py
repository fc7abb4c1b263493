from pathlib import Path

import pytest

from scheduler.config import Settings, SettingsError, load_settings


def test_without_a_file_the_defaults_hold() -> None:
    assert load_settings(None) == Settings()


def test_a_file_sets_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("nominate: never\nwriteConcurrency: 8\n")
    assert load_settings(path) == Settings(nominate="never", write_concurrency=8)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("nominat: never", "nominat", id="unknown key"),
        pytest.param("nominate: perhaps", "perhaps", id="unknown word"),
        pytest.param("writeConcurrency: many", "int", id="wrong kind"),
        pytest.param("writeConcurrency: 0", "writeConcurrency", id="out of range"),
        pytest.param("- a\n- b", "object", id="no mapping"),
        pytest.param("a: [", "no YAML", id="no YAML"),
        pytest.param("renewPeriodS: 8", "renewPeriodS 8.0 must be less", id="periods in the wrong order"),
        pytest.param("migRepartition: idle", "migConfigMap ''; allowed: the MIG manager's", id="no ConfigMap"),
        pytest.param(
            "migRepartition: always", "migRepartition is 'always'; allowed: idle or never", id="more than idle nodes"
        ),
        pytest.param(
            "onFailingDevices: move", "onFailingDevices is 'move'; allowed: replan or report", id="no such policy"
        ),
        pytest.param("assumeLinks: maybe", "assumeLinks is 'maybe'; allowed: true or false", id="neither yes nor no"),
        pytest.param("migSettleS: -1", "migSettleS is -1: Expected `float` >= 0.0", id="its value too"),
        pytest.param("arrivalTimeoutS: -1", "arrivalTimeoutS", id="negative time"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.yaml"):
        load_settings(tmp_path / "absent.yaml")
