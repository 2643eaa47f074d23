"""The files of a run, in `.pipeline/runs/<run-id>/`: what is written when it ends, and found again later."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.adapters.atomic_file import write_whole
from pipeline.adapters.junit import read_cases
from pipeline.errors import StuckError, UndecidedError, UsageError
from pipeline.model.suite import SuiteCase

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class RunFiles:
    """One run's folder."""

    directory: Path

    @property
    def report(self) -> Path:
        """The run as HTML, whether it is there or not."""
        return self.directory / "report.html"

    @property
    def document(self) -> Path:
        """The run as JSON, from which the report is made."""
        return self.directory / "run.json"

    def write_document(self, document: Mapping[str, Any]) -> None:
        """Writes run.json. Raises UnavailableError when it cannot be written."""
        write_whole(self.document, json.dumps({"schema": 1, **document}, indent=2).encode())

    def write_report(self, document: Mapping[str, Any]) -> None:
        """Writes report.html and junit.xml. Raises UnavailableError when they cannot be written."""
        # A start-up that ends in a help text, and a run that goes on, need none of this.
        from pipeline.report.html import page  # noqa: PLC0415 – when a run has ended
        from pipeline.report.junit import junit  # noqa: PLC0415 – when a run has ended

        cases = self._cases()
        write_whole(self.directory / "junit.xml", junit(document, cases))
        write_whole(self.report, page(document, cases).encode())

    def write_summary(self, document: Mapping[str, Any], environ: Mapping[str, str]) -> None:
        """Writes summary.md; in GitHub Actions (`environ` says so) the step's outputs and summary as well."""
        from pipeline.report.summary import github_outputs, markdown  # noqa: PLC0415 – when a run has ended

        summary = markdown(document)
        write_whole(self.directory / "summary.md", summary.encode())
        for variable, text in (("GITHUB_OUTPUT", github_outputs(document)), ("GITHUB_STEP_SUMMARY", summary)):
            if environ.get(variable):
                with Path(environ[variable]).open("a", encoding="utf-8") as stream:
                    stream.write(text)

    def rebuild(self) -> None:
        """Makes report.html and junit.xml anew out of run.json. Raises StuckError where that cannot be read."""
        try:
            document = json.loads(self.document.read_bytes())
        except (OSError, ValueError) as error:
            raise StuckError(
                f"{self.document} cannot be read: {error}",
                hint="the report is made of it; run the stages again for a new one",
            ) from error
        self.write_report(document if isinstance(document, dict) else {})

    def _cases(self) -> Sequence[SuiteCase]:
        """The integration tests of this very run; none where it ran none, or where they left no file in form."""
        try:
            return read_cases(self.directory / "integration" / "junit.xml")
        except UndecidedError:
            return ()


def find_run(state: Path, name: str = "") -> RunFiles:
    """The newest run on record, or the one whose id begins with `name`.

    Raises UsageError, with the ids there are, when there is none or more than one. A run that was killed left no
    run.json and counts as none.
    """
    known = sorted((path.parent.name for path in (state / "runs").glob("*/run.json")), reverse=True)
    if not known:
        raise UsageError(f"no run is on record in {state / 'runs'}", hint="start one: python -m pipeline run")
    if not name:
        return RunFiles(state / "runs" / known[0])
    found = [run for run in known if run == name] or [run for run in known if run.startswith(name)]
    if len(found) != 1:
        raise UsageError(_unknown(state, name, found), hint=f"runs on record: {_listed(found or known)}")
    return RunFiles(state / "runs" / found[0])


def _unknown(state: Path, name: str, found: Sequence[str]) -> str:
    if found:
        return f"{len(found)} runs begin with {name}"
    begun = any(path.name.startswith(name) for path in (state / "runs").glob("*"))
    return f"run {name} was broken off and left no record" if begun else f"no run is called {name}"


def _listed(runs: Sequence[str]) -> str:
    more = len(runs) - _SHOWN
    return ", ".join(runs[:_SHOWN]) + (f" and {more} older ones" if more > 0 else "")
