from __future__ import annotations

import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from pipeline.adapters.git import Git
from pipeline.adapters.process import Processes
from pipeline.errors import UnavailableError, UndecidedError
from pipeline.model.order import Ancestry
from pipeline.ports import Command, Finished, Source


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.test", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *identity, "-C", str(root), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def source(root: Path) -> Source:
    return Git(root, Processes()).source()


def test_a_clean_tree_is_its_commit_with_its_time(tree: Path) -> None:
    found = source(tree)
    assert found.commit == git(tree, "rev-parse", "HEAD")
    assert (found.changed, found.dirty, found.url) == ((), False, "")
    assert found.committed_at == datetime.fromisoformat(git(tree, "show", "-s", "--format=%cI", "HEAD"))


def test_changed_staged_new_and_moved_files_are_named_as_they_are(tree: Path) -> None:
    (tree / "b c ä").write_text("new")
    (tree / "a").rename(tree / "d")
    git(tree, "add", "-A")
    (tree / "e").write_text("untracked")
    assert set(source(tree).changed) == {"a", "b c ä", "d", "e"}


def test_the_remote_is_told_without_its_password(tree: Path) -> None:
    git(tree, "remote", "add", "origin", "https://me:secret@git.example.test/shop.git")
    assert source(tree).url == "https://git.example.test/shop.git"


def test_a_remote_in_ssh_form_stays_as_it_is(tree: Path) -> None:
    git(tree, "remote", "add", "origin", "git@git.example.test:shop.git")
    assert source(tree).url == "git@git.example.test:shop.git"


def test_before_the_first_commit_there_is_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert source(tmp_path) == Source(commit="")


def test_without_the_program_there_is_no_commit_and_no_error(tmp_path: Path) -> None:
    class Without:
        def run(self, command: Command) -> Finished:
            raise UnavailableError(f"program not found: {command.argv[0]}", hint="install it")

    assert Git(tmp_path, Without()).source() == Source(commit="")


def test_a_tree_of_which_git_does_not_tell_what_changed_is_not_called_clean(tree: Path) -> None:
    (tree / ".git" / "index").write_bytes(b"broken")
    with pytest.raises(UndecidedError, match="not committed"):
        source(tree)


def test_how_one_commit_stands_to_another(tree: Path) -> None:
    first = git(tree, "rev-parse", "HEAD")
    git(tree, "commit", "-q", "--allow-empty", "-m", "second")
    second = git(tree, "rev-parse", "HEAD")
    git(tree, "checkout", "-q", "-b", "aside", first)
    git(tree, "commit", "-q", "--allow-empty", "-m", "aside")
    aside = git(tree, "rev-parse", "HEAD")
    ancestry = Git(tree, Processes()).ancestry
    assert ancestry(first, second) is Ancestry.BEFORE
    assert ancestry(second, first) is Ancestry.AFTER
    assert ancestry(second, second) is Ancestry.SAME
    assert ancestry(second, aside) is Ancestry.APART


def test_commits_that_git_does_not_have_are_not_known(tree: Path, tmp_path: Path) -> None:
    first = git(tree, "rev-parse", "HEAD")
    ancestry = Git(tree, Processes()).ancestry
    assert ancestry(first, "1" * 40) is Ancestry.UNKNOWN
    assert ancestry("", first) is Ancestry.UNKNOWN
    assert ancestry(first, "") is Ancestry.UNKNOWN


def test_without_git_no_order_is_known() -> None:
    class NoGit:
        def run(self, command: Command) -> Finished:
            raise UnavailableError("program not found: git", hint="install git")

    assert Git(Path("/"), NoGit()).ancestry("1" * 40, "2" * 40) is Ancestry.UNKNOWN


def test_commits_between_two_are_those_the_newer_has(tree: Path) -> None:
    first = git(tree, "rev-parse", "HEAD")
    for number in (2, 3):
        (tree / "a").write_text(str(number))
        git(tree, "commit", "-qam", f"change {number}")
    last = git(tree, "rev-parse", "HEAD")
    found = Git(tree, Processes()).between(first, last)
    assert found is not None
    assert [line.split(" ", 1)[1] for line in found] == ["change 3", "change 2"]
    assert last.startswith(found[0].split(" ")[0])
    assert Git(tree, Processes()).between(last, first) == ()


@pytest.mark.parametrize("other", ["f" * 40, "", "HEAD", "--output=x"])
def test_a_commit_that_git_does_not_know_says_nothing(tree: Path, other: str) -> None:
    assert Git(tree, Processes()).between(git(tree, "rev-parse", "HEAD"), other) is None
    assert Git(tree, Processes()).between(other, git(tree, "rev-parse", "HEAD")) is None


def test_without_git_nothing_is_known_of_commits(tmp_path: Path) -> None:
    class Gone:
        def run(self, command: Command) -> Finished:
            raise UnavailableError("git is not there", hint="install it")

    assert Git(tmp_path, Gone()).between("a" * 40, "b" * 40) is None
