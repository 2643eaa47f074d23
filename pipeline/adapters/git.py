"""What the work tree is: its commit, and what differs from it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pipeline.errors import UnavailableError, UndecidedError
from pipeline.model.order import Ancestry
from pipeline.ports import Command, CommandRunner, Finished, Source

_SECONDS = 30.0


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
        before, after = self._is_ancestor(ours, theirs), self._is_ancestor(theirs, ours)
        if before is None or after is None:
            return Ancestry.UNKNOWN
        return Ancestry.BEFORE if before else Ancestry.AFTER if after else Ancestry.APART

    def _is_ancestor(self, one: str, other: str) -> bool | None:
        """None where git does not know: a shallow clone, another repository, or no git at all."""
        try:
            done = self._git("merge-base", "--is-ancestor", one, other)
        except UnavailableError:
            return None
        return {0: True, 1: False}.get(done.exit_code)

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
