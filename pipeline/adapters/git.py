"""What the work tree is: its commit, and what differs from it."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from pipeline.errors import UnavailableError, UndecidedError
from pipeline.model.order import Ancestry
from pipeline.ports import Command, CommandRunner, Finished, Source

_SECONDS = 30.0
_COMMIT = re.compile(r"[0-9a-f]{7,64}")

_ANCESTRY = {
    (True, True): Ancestry.APART,
    (True, False): Ancestry.AFTER,
    (False, True): Ancestry.BEFORE,
    (False, False): Ancestry.SAME,
}
"""By whether the one commit's history has something that the other's has not, and the other way round."""


class Git:
    """Reads a work tree through the `git` program."""

    def __init__(self, root: Path, runner: CommandRunner) -> None:
        self._root = root
        self._runner = runner

    def source(self) -> Source:
        """The source at the root. Outside git, before the first commit or without the program: no commit.

        Raises UndecidedError where there is a commit and git does not tell what differs from it: unknown is not clean.
        """
        commit = self._line("rev-parse", "HEAD")
        if not commit:
            return Source(commit="")
        changed = self._changes()
        when = self._line("show", "-s", "--format=%cI", "HEAD")
        return Source(
            commit=commit,
            changed=changed,
            committed_at=datetime.fromisoformat(when) if when else None,
            url=_without_credentials(self._line("config", "--get", "remote.origin.url")),
        )

    def ancestry(self, ours: str, theirs: str) -> Ancestry:
        """How commit `ours` stands to commit `theirs`; UNKNOWN where either is empty or not in this repository."""
        if not ours or not theirs:
            return Ancestry.UNKNOWN
        if ours == theirs:
            return Ancestry.SAME
        gained, lost = self.between(theirs, ours), self.between(ours, theirs)
        if gained is None or lost is None:
            return Ancestry.UNKNOWN
        return _ANCESTRY[bool(gained), bool(lost)]

    def between(self, older: str, newer: str) -> tuple[str, ...] | None:
        """Commits that `newer` has and `older` has not, newest first, each as `<short hash> <subject>`.

        None when git does not know both, or is not there: that says nothing about how they stand.
        """
        if not (_COMMIT.fullmatch(older) and _COMMIT.fullmatch(newer)):
            return None
        try:
            done = self._git("log", "--format=%h %s", f"{older}..{newer}")
        except UnavailableError:
            return None
        return tuple(done.output.splitlines()) if done.exit_code == 0 else None

    def _changes(self) -> tuple[str, ...]:
        done = self._git("status", "--porcelain=v1", "-z", "--no-renames")
        if done.exit_code != 0:
            raise UndecidedError(
                f"git does not tell what of {self._root} is not committed: {done.errors.strip()[:300]}",
                hint=f"see what `git -C {self._root} status` says, and mend that",
            )
        return tuple(entry[3:] for entry in done.output.split("\0") if len(entry) > 3)

    def _line(self, *arguments: str) -> str:
        return self._raw(*arguments).strip()

    def _raw(self, *arguments: str) -> str:
        try:
            done = self._git(*arguments)
        except UnavailableError:
            return ""
        return done.output if done.exit_code == 0 else ""

    def _git(self, *arguments: str) -> Finished:
        return self._runner.run(Command(("git", *arguments), cwd=self._root, timeout=_SECONDS))


def _without_credentials(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    return scheme + separator + rest.rsplit("@", 1)[-1]
