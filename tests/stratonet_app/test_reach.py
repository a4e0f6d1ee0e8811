"""What can be looked at: where browsing begins, and what was chosen."""

import os

import pytest

from stratonet_app.reach import OutOfReach, list_names, read_chosen_path, resolve_within


@pytest.fixture
def root(tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret.csv").touch()
    root = tmp_path / "root"
    (root / "plate" / "Images").mkdir(parents=True)
    (root / "plate" / "load_data.csv").touch()
    (root / "notes.doc").touch()
    (root / ".hidden").mkdir()
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "out.csv").symlink_to(tmp_path / "secret.csv")
    (root / "inside").symlink_to(root / "plate")
    return root


def test_folders_and_tables_are_named(root):
    listing = list_names(root)
    assert [name for name, _ in listing.folders] == ["inside", "plate"]
    assert listing.parent is None and not listing.tables
    below = list_names(root, "plate")
    assert below.folders == [("Images", "plate/Images")]
    assert below.tables == [("load_data.csv", "plate/load_data.csv")]
    assert below.parent == "."


@pytest.mark.parametrize(
    "path", ["..", "plate/../..", "/", "/etc", "out", "out/x", "plate/../../secret"]
)
def test_nothing_leads_out(root, path):
    with pytest.raises(OutOfReach, match="full path"):
        list_names(root, path)
    with pytest.raises(OutOfReach):
        resolve_within(root, "a\0b")


def test_a_folder_that_cannot_be_listed_is_named(root):
    with pytest.raises(FileNotFoundError, match="gone cannot be listed"):
        list_names(root, "gone")
    with pytest.raises(NotADirectoryError, match=r"notes.doc cannot be listed"):
        list_names(root, "notes.doc")


def test_of_many_names_the_first_are_shown(tmp_path):
    for number in range(310):
        (tmp_path / f"{number:03d}").mkdir()
    (tmp_path / "a.csv").touch()
    listing = list_names(tmp_path)
    assert len(listing.folders) == 300 and listing.n_left_out == 11


def test_a_path_that_is_typed_is_a_choice(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root))
    for text in ("plate", f" {root}/plate ", '"plate"', "./plate/", "~/plate"):
        assert read_chosen_path(text, root) == root / "plate"
    assert read_chosen_path("..", root) == root.parent


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "No path"),
        ("''", "No path"),
        ("s3://bucket/plate", "stratonet extract"),
        ("jump:source_8/J3/A1170384", "stratonet extract"),
        ("a\0b", "zero byte"),
        ("gone", "is not there"),
    ],
)
def test_what_is_no_path(root, text, reason):
    with pytest.raises((ValueError, FileNotFoundError), match=reason):
        read_chosen_path(text, root)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads all")
def test_a_folder_of_others(root):
    (root / "plate").chmod(0)
    with pytest.raises(PermissionError, match="plate cannot be listed"):
        list_names(root, "plate")
