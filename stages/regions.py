"""One environment in several regions: looked at in all of them first, rolled out wave by wave, judged as one.

A region here may as well be one of several services of a release, or a service in a region.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from typing import Any, TypeVar

from pipeline.errors import PipelineError, ShortCredentialError, UnfitError
from pipeline.fleet import Fleet, Unit, Voices, at_once
from pipeline.logbook import Ended, HalfwayInterrupt
from pipeline.model.digest import ImageRef
from pipeline.model.verdict import Outcome, Reason, Verdict
from pipeline.model.waves import (
    Fate,
    OnFailure,
    Part,
    Waves,
    end_of,
    facts_of,
    interrupted_reasons,
    reasons_of,
    undone,
)
from pipeline.ports import Candidate, Held, Progress
from stages.deployment import Deployed, Environment, Ready

_T = TypeVar("_T")

Kept = Callable[[ImageRef, Callable[[], tuple[Deployed, Ended]], Progress], Deployed]


@dataclass(frozen=True, slots=True)
class Regions:
    """An environment's regions, by name and in waves. See `stages.deployment.Target`.

    `on_failure` says what becomes of regions that had succeeded when another one has not. `kept` does something and
    keeps it in the deployment log as one deployment; `interrupt` makes all rollouts let go at their next pause. `kind`
    is what they are called; `front` is the one that suite and load are sent to, by default the first.
    """

    environments: Mapping[str, Environment]
    waves: Waves
    on_failure: OnFailure
    kept: Kept
    interrupt: Callable[[], None]
    kind: str = "region"
    front: str = ""

    @property
    def _first(self) -> Environment:
        return self.environments[self.waves[0][0]]

    @property
    def name(self) -> str:
        """The environment's name."""
        return self._first.name

    @property
    def shape(self) -> Mapping[str, Any]:
        """What of its settings makes another plan: the same in all regions, or each service's own."""
        if self.kind == "region":
            return self._first.shape
        return {"services": {name: dict(one.shape) for name, one in self.environments.items()}}

    def base_url(self) -> str:
        """The front's."""
        return self.environments[self.front].base_url() if self.front else self._first.base_url()

    @property
    def held(self) -> Callable[..., AbstractContextManager[Held]]:
        """Holds the environment's lease, which is one for all regions."""
        return self._first.held

    def deploy(self, candidate: Candidate, held: Held, progress: Progress) -> Deployed:
        """Rolls out in every region, or in none where one of them is not fit for it.

        What one region raises is told as its part. Raises UnfitError or ShortCredentialError with the regions it is of.
        """
        foreseen = self._foreseen(candidate, progress)
        if isinstance(foreseen, Deployed):
            return foreseen
        made = self._each(lambda one, voice: one.ready(candidate, one.spec(candidate), held, voice), progress)
        if isinstance(made, Deployed):
            return made
        return self._logged(candidate, _Going(self, made, foreseen), self.waves, self.on_failure, progress)

    def _foreseen(
        self, candidate: Candidate, progress: Progress
    ) -> Mapping[str, Mapping[str, Any]] | Deployed:
        """What is expected of every region, looked at in all at once; how it ends where one keeps all from beginning.

        All mistakes are told, of all regions.
        """
        looking = at_once({name: partial(one.look, candidate) for name, one in self.environments.items()})
        voices, foreseen = Voices(progress), dict[str, Mapping[str, Any]]()
        refused, errors, longest = dict[str, Deployed](), dict[str, PipelineError](), dict[str, float]()
        for name, future in looking.items():
            try:
                seen = future.result()
                if isinstance(seen, Deployed):
                    refused[name] = seen
                    continue
                longest[name] = seen.at_most
                foreseen[name] = seen.admitted(self._until(name, longest), voices.of(name).note)
            except PipelineError as error:
                errors[name] = error
        if errors:
            return self._not_begun(errors)
        return self._refused(refused) if refused else foreseen

    def _until(self, name: str, longest: Mapping[str, float]) -> float:
        """Seconds until all waves before that of a region are over, by the `longest` that each region takes."""
        earlier = takewhile(lambda wave: name not in wave, self.waves)
        return sum(max(longest.get(region, 0.0) for region in wave) for wave in earlier)

    def go_back(
        self, candidate: Candidate, definitions: Mapping[str, str], held: Held, progress: Progress
    ) -> Deployed:
        """Goes back in all regions at once, each by its own definition. One that fails does not keep the others."""

        def ready(one: Environment, voice: Progress) -> Ready:
            spec = one.backwards(candidate, definitions.get(one.region, ""), supersedes=True)
            return one.ready(candidate, spec, held, voice)

        made = self._each(ready, progress)
        if isinstance(made, Deployed):
            return made
        return self._logged(candidate, _Going(self, made), self._at_once, OnFailure.STOP, progress)

    def restore(self, candidate: Candidate, definition: str, held: Held, progress: Progress) -> Deployed:
        """Rolls out in all at once what ran here before. See `Environment.restore`."""

        def ready(one: Environment, voice: Progress) -> Ready:
            return one.ready(candidate, one.backwards(candidate, definition, supersedes=False), held, voice)

        made = self._each(ready, progress)
        if isinstance(made, Deployed):
            return made
        return self._logged(candidate, _Going(self, made), self._at_once, self.on_failure, progress)

    @property
    def _at_once(self) -> Waves:
        return (tuple(name for wave in self.waves for name in wave),)

    def serves(self, candidate: Candidate) -> Verdict:
        """Whether every region serves the candidate; the first that does not is named."""
        return self._all(lambda one: one.serves(candidate))

    def runs(self, candidate: Candidate) -> Verdict:
        """Whether every running task everywhere runs the candidate; the first region where not is named."""
        return self._all(lambda one: one.runs(candidate))

    def _all(self, asked: Callable[[Environment], Verdict]) -> Verdict:
        for name, environment in self.environments.items():
            verdict = asked(environment)
            if not verdict.passed:
                return _of(name, verdict)
        return Verdict(self.name, Outcome.PASSED)

    def _each(
        self, look: Callable[[Environment, Progress], _T], progress: Progress
    ) -> Mapping[str, _T] | Deployed:
        """The same of every region, one after the other; how it ends at once where one of them raises."""
        voices = Voices(progress)
        found: dict[str, _T] = {}
        errors: dict[str, PipelineError] = {}
        for name, environment in self.environments.items():
            try:
                found[name] = look(environment, voices.of(name))
            except PipelineError as error:
                errors[name] = error
        return self._not_begun(errors) if errors else found

    def _not_begun(self, errors: Mapping[str, PipelineError]) -> Deployed:
        first = next(iter(errors.values()))
        for family in (UnfitError, ShortCredentialError):
            if all(isinstance(error, family) for error in errors.values()):
                text = "\n".join(f"{name}: {error.message}" for name, error in errors.items())
                raise family(text, hint=first.hint)
        reasons = tuple(Reason(f"{name}: {error.message}", error.hint) for name, error in errors.items())
        return Deployed(Verdict(self.name, Outcome.UNDECIDED, reasons), first.exit_code, {}, began=False)

    def _refused(self, refused: Mapping[str, Deployed]) -> Deployed:
        reasons = tuple(r for name, one in refused.items() for r in _of(name, one.verdict).reasons)
        facts = {f"{self.kind}s": {name: dict(one.facts) for name, one in refused.items()}}
        first = next(iter(refused.values()))
        return Deployed(Verdict(self.name, first.verdict.outcome, reasons), None, facts, began=False)

    def _logged(
        self, candidate: Candidate, going: _Going, waves: Waves, on_failure: OnFailure, progress: Progress
    ) -> Deployed:
        parts: dict[str, Part] = {}

        def act() -> tuple[Deployed, Ended]:
            try:
                Fleet(going.units, waves, on_failure, self.interrupt).run(parts, progress)
                going.settle(parts, progress)
            except KeyboardInterrupt as interrupt:
                end = end_of(parts)
                if not end.began:
                    raise
                with suppress(KeyboardInterrupt):  # a second one waits for nothing more
                    going.settle(parts, progress)
                facts = facts_of(waves, parts, end, self.kind)
                raise HalfwayInterrupt(Ended(end.word, interrupted_reasons(parts), facts)) from interrupt
            end = end_of(parts)
            reasons = reasons_of(parts, end, self.kind)
            facts = facts_of(waves, parts, end, self.kind)
            verdict = Verdict(self.name, end.outcome, reasons)
            return Deployed(verdict, end.code, facts, began=end.began), Ended(end.word, reasons, facts)

        return self.kept(candidate.ref, act, progress)


@dataclass(frozen=True, slots=True)
class _Going:
    """Rollouts that may begin, by region, and what was foreseen of each."""

    regions: Regions
    ready: Mapping[str, Ready]
    foreseen: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def units(self) -> dict[str, Unit]:
        return {name: self._unit(name) for name in self.ready}

    def _unit(self, name: str) -> Unit:
        environment, ready = self.regions.environments[name], self.ready[name]

        def go(progress: Progress) -> Part:
            result = ready.rollout.deploy(ready.image, ready.spec, progress)
            return Part.of(result, {**environment.facts(result), **self.foreseen.get(name, {})})

        def back(part: Part, why: Reason, progress: Progress) -> Part:
            assert part.done is not None, "only what has succeeded is put back"
            outcome, reason = ready.rollout.undo(part.done, ready.spec, why, progress)
            return undone(outcome, reason, part)

        return Unit(go, back)

    def settle(self, parts: Mapping[str, Part], progress: Progress) -> None:
        """Tells of every region that runs it now, once no other one can take that back any more.

        After an interrupt too: what serves there must not expire, and the local cloud must bring it back.
        """
        for name, part in parts.items():
            if part.fate is Fate.SUCCEEDED and part.done is not None:
                environment, release = self.regions.environments[name], self.ready[name].release
                environment.settled(release, part.done, progress.note)


def _of(region: str, verdict: Verdict) -> Verdict:
    reasons = tuple(Reason(f"{region}: {reason.text}", reason.remedy) for reason in verdict.reasons)
    return Verdict(verdict.gate, verdict.outcome, reasons)
