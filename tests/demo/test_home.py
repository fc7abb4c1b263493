from pathlib import Path

import pytest

from scheduler.demo.home import fresh
from scheduler.localcluster import InputError, Quiet


def test_an_empty_or_missing_folder_is_taken(tmp_path: Path) -> None:
    with fresh(tmp_path / "a" / "b", Quiet()):
        assert (tmp_path / "a" / "b").is_dir()


def test_what_an_earlier_demo_left_is_emptied_and_links_are_not_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "demo", tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    with fresh(folder, Quiet()):
        (folder / "logs").mkdir()
        (folder / "logs" / "etcd.log").touch()
        (folder / "report.json").touch()
        (folder / "link").symlink_to(outside)
    with fresh(folder, Quiet()):
        assert sorted(entry.name for entry in folder.iterdir()) == [".bayplan-demo", "demo.lock"]
    assert (outside / "kept").exists()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="holds files that no demo made"), fresh(tmp_path, Quiet()):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(InputError, match="is no folder"), fresh(tmp_path / "f", Quiet()):
        pass


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        fresh(tmp_path, Quiet()),
        pytest.raises(InputError, match="another demo is at work"),
        fresh(tmp_path, Quiet()),
    ):
        pass
