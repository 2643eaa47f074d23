"""Runs the stages in order: asks the gate before each, records evidence after each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from pipeline.errors import (
    BusyError,
    DetachedInterrupt,
    ExitCode,
    PipelineError,
    ShortCredentialError,
    UnfitError,
)
from pipeline.logbook import HalfwayInterrupt
from pipeline.model.evidence import Evidence, Statement
from pipeline.model.gate import Judgement, judge, judge_rollback
from pipeline.model.policy import GatePolicy, Override, Requirement
from pipeline.model.run import RunReport, StageReport
from pipeline.model.verdict import Outcome, Reason, Verdict
from pipeline.ports import BuildIndex, Candidate, Clock, EvidenceStore, Progress, Stage

_RESULTS = {Outcome.PASSED: "PASSED", Outcome.REFUSED: "FAILED", Outcome.UNDECIDED: "UNDECIDED"}


class Observer(Protocol):
    """Watches a run on behalf of a person."""

    def begin(self, stage: str) -> Progress:
        """A stage is looked at now."""
        ...

    def end(self, report: StageReport) -> None:
        """It is done with, in whatever way."""
        ...


class RunInterrupt(KeyboardInterrupt):
    """Ctrl-C or SIGTERM during a run. `report` is what there is of it; its last stage is the one broken off."""

    def __init__(self, report: RunReport) -> None:
        super().__init__()
        self.report = report


@dataclass(frozen=True, slots=True)
class Rules:
    """What opens each stage (`gates`, by stage name), and when its own record still stands (`standing`).

    The policy in `standing` asks for the stage's own record beside what its gate asks for.
    """

    gates: Mapping[str, GatePolicy]
    standing: Mapping[str, GatePolicy]


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One stage being run: since when, by which plan, and on which records the gate admitted it.

    `facts` says by which rules, and whether somebody went past them.
    """

    stage: Stage
    candidate: Candidate
    plan: str
    started: datetime
    admitted: Mapping[str, Evidence] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    forced: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class _Gatekeeper:
    """Asks the gates, each with the plans that hold today."""

    stages: Sequence[Stage]
    rules: Rules
    evidence: EvidenceStore
    clock: Clock

    def admission(self, stage: str, candidate: Candidate) -> Judgement:
        """What the gate of `stage` says of the candidate now. The build's gate is always open."""
        policy = self.rules.gates.get(stage)
        if policy is None:
            return Judgement(Verdict(stage, Outcome.PASSED))
        return self._judge(candidate, policy)

    def admit(self, asked: _Attempt, override: Override | None) -> _Attempt | Verdict:
        """The attempt with what the gate says of it now, else its refusal."""
        judgement = self.admission(asked.stage.name, asked.candidate)
        verdict, firm = judgement.verdict, judgement.firm
        if not verdict.passed and (override is None or firm):
            reasons = (*firm, *verdict.reasons) if override else verdict.reasons
            return replace(verdict, reasons=tuple(dict.fromkeys(reasons)))
        attempt = replace(asked, admitted=judgement.accepted, facts=_facts_of(judgement), forced=())
        return _forced(attempt, override, verdict) if not verdict.passed and override else attempt

    def own_record(self, stage: Stage, plan: str, candidate: Candidate) -> Judgement:
        policy = self.rules.standing[stage.name]
        requirements = tuple(
            replace(requirement, plan=plan) if requirement.stage == stage.name else requirement
            for requirement in policy.requirements
        )
        return self._judge(candidate, replace(policy, requirements=requirements))

    def back_to(self, candidate: Candidate, policy: GatePolicy) -> Judgement:
        """Whether `policy`'s environment may go back to the candidate."""
        collected = self.evidence.collect(candidate.ref)
        return judge_rollback(candidate.ref.digest, collected, policy, self.clock.now())

    def _judge(self, candidate: Candidate, policy: GatePolicy) -> Judgement:
        collected = self.evidence.collect(candidate.ref)
        wanted = tuple(self._with_plan(requirement, candidate) for requirement in policy.requirements)
        return judge(candidate.ref.digest, collected, replace(policy, requirements=wanted), self.clock.now())

    def _with_plan(self, requirement: Requirement, candidate: Candidate) -> Requirement:
        """A build is not held to today's plan: an older digest may be promoted. Tests and load are."""
        stage = next((stage for stage in self.stages if stage.name == requirement.stage), None)
        if stage is None or requirement.stage == "build" or requirement.plan:
            return requirement
        return replace(requirement, plan=stage.plan(candidate).hash)


@dataclass(frozen=True, slots=True)
class Runner:
    """The loop over the stages, for one app and one run."""

    stages: Sequence[Stage]
    rules: Rules
    evidence: EvidenceStore
    builds: BuildIndex
    clock: Clock
    observer: Observer
    app: str
    run_id: str

    def run(
        self,
        candidate: Candidate,
        *,
        only: Sequence[str] = (),
        fresh: bool = False,
        override: Override | None = None,
    ) -> RunReport:
        """Runs `only` those stages (all when empty), in order, up to the first that does not pass.

        `override` goes past a gate that refuses, and is written into the record; not past one that bars the image, or
        that knows of nobody trusted who built it. Raises RunInterrupt on Ctrl-C.
        """
        reports: list[StageReport] = []
        for stage in self.stages:
            if only and stage.name not in only:
                continue
            with _interruptible(self, reports, stage, candidate):
                report, candidate = self._stage(stage, candidate, override, fresh=fresh)
            reports.append(report)
            self.observer.end(report)
            if report.outcome is not Outcome.PASSED:
                break
        return _whole(self.run_id, reports, candidate)

    def roll_back(self, stage: Stage, candidate: Candidate, policy: GatePolicy) -> RunReport:
        """Runs a rollback's stage, where `policy` (that of the environment's gate) lets it go back to the candidate."""
        started = self.clock.now()
        progress = self.observer.begin(stage.name)
        try:
            with _interruptible(self, (), stage, candidate), stage.hold(candidate):
                report = self._rolled_back(stage, candidate, policy, started, progress)
        except PipelineError as error:
            report = self._undecided(stage, started, error)
        self.observer.end(report)
        return _whole(self.run_id, [report], candidate)

    def _rolled_back(
        self, stage: Stage, candidate: Candidate, policy: GatePolicy, started: datetime, progress: Progress
    ) -> StageReport:
        judgement = self._gates.back_to(candidate, policy)
        if not judgement.verdict.passed:
            return self._report(stage, started, judgement.verdict)
        plan, facts = stage.plan(candidate).hash, _facts_of(judgement)
        attempt = _Attempt(stage, candidate, plan, started, judgement.accepted, facts)
        return self._attempt(attempt, progress)[0]

    def refused(self, stage: str, environment: str, reasons: tuple[Reason, ...]) -> RunReport:
        """A run that was refused before any stage could begin."""
        now = self.clock.now()
        self.observer.begin(stage)
        report = StageReport(stage, environment, Outcome.REFUSED, now, now, reasons=reasons)
        self.observer.end(report)
        return RunReport(self.run_id, (report,))

    def admission(self, stage: str, candidate: Candidate) -> Judgement:
        """What the gate of `stage` says of the candidate now. The build's gate is always open."""
        return self._gates.admission(stage, candidate)

    @property
    def _gates(self) -> _Gatekeeper:
        return _Gatekeeper(self.stages, self.rules, self.evidence, self.clock)

    def foresee(
        self, stage: str, candidate: Candidate, *, fresh: bool = False, override: Override | None = None
    ) -> StageReport | None:
        """What `run` would report of a stage without running it: reused, refused or undecided; None: it would run."""
        found = next(one for one in self.stages if one.name == stage)
        before = self._before(found, candidate, override, fresh=fresh)
        return None if isinstance(before, _Attempt) else before[0]

    def _stage(
        self, stage: Stage, candidate: Candidate, override: Override | None, *, fresh: bool
    ) -> tuple[StageReport, Candidate]:
        progress = self.observer.begin(stage.name)
        before = self._before(stage, candidate, override, fresh=fresh)
        if not isinstance(before, _Attempt):
            return before
        try:
            with stage.hold(candidate):
                return self._held(before, override, progress)
        except PipelineError as error:  # nothing was begun
            return self._undecided(stage, before.started, error), candidate

    def _held(
        self, attempt: _Attempt, override: Override | None, progress: Progress
    ) -> tuple[StageReport, Candidate]:
        """Runs it and records how it ended. Whoever was waited for may have changed what the gate says."""
        if attempt.stage.environment:
            again = self._gates.admit(attempt, override)
            if isinstance(again, Verdict):
                return self._report(attempt.stage, attempt.started, again), attempt.candidate
            attempt = again
        if attempt.forced:
            progress.note(attempt.forced[0].text)
        return self._attempt(attempt, progress)

    def _before(
        self, stage: Stage, candidate: Candidate, override: Override | None, *, fresh: bool
    ) -> tuple[StageReport, Candidate] | _Attempt:
        """How the stage ends without being run, else what is to be run."""
        started = self.clock.now()
        try:
            plan = stage.plan(candidate).hash
            if not fresh and (reused := self._reuse(stage, plan, candidate, started)):
                return reused
            admitted = self._gates.admit(_Attempt(stage, candidate, plan, started), override)
        except PipelineError as error:
            return self._undecided(stage, started, error), candidate
        if isinstance(admitted, Verdict):
            return self._report(stage, started, admitted), candidate
        return admitted

    def _attempt(self, attempt: _Attempt, progress: Progress) -> tuple[StageReport, Candidate]:
        try:
            result = attempt.stage.run(attempt.candidate, progress)
        except (BusyError, UnfitError, ShortCredentialError) as error:
            # it never began, so it takes nothing away from what is on record
            return self._undecided(attempt.stage, attempt.started, error), attempt.candidate
        except PipelineError as error:
            report = self._undecided(attempt.stage, attempt.started, error)
            report = replace(report, facts=attempt.facts, reasons=(*report.reasons, *attempt.forced))
            return self._recorded(report, attempt, attempt.candidate), attempt.candidate
        if not result.began:  # nor does this
            report = self._report(attempt.stage, attempt.started, result.verdict)
            return replace(report, facts=result.facts, error_code=result.error_code), attempt.candidate
        candidate = replace(attempt.candidate, image=result.image or attempt.candidate.image)
        report = replace(
            self._report(attempt.stage, attempt.started, result.verdict),
            reasons=(*result.verdict.reasons, *attempt.forced),
            facts={**result.facts, **attempt.facts},
            metrics=result.metrics,
            error_code=result.error_code,
        )
        return self._recorded(report, attempt, candidate), candidate

    def _reuse(
        self, stage: Stage, plan: str, candidate: Candidate, now: datetime
    ) -> tuple[StageReport, Candidate] | None:
        """The report of a stage that need not run: its record stands for this digest, plan and limits.

        A barred image is reported as refused: the same source is not built again to get around that.
        """
        image = candidate.image or self.builds.find(plan)
        if image is None:
            return None
        known = replace(candidate, image=image)
        judgement = self._gates.own_record(stage, plan, known)
        if judgement.barred:
            return self._report(stage, now, Verdict(stage.name, Outcome.REFUSED, judgement.barred)), known
        if not judgement.verdict.passed or not stage.standing(known).passed:
            return None
        evidence = judgement.accepted[stage.name]
        statement = evidence.statement
        reason = Reason(f"same image, plan and limits: PASSED at {statement.finished:%Y-%m-%d %H:%M:%S} UTC")
        report = replace(
            self._report(stage, now, Verdict(stage.name, Outcome.PASSED, (reason,))),
            reused=True,
            facts=statement.facts,
            metrics=statement.metrics,
            evidence=evidence.id,
            inputs=statement.inputs,
        )
        return report, known

    def _undecided(self, stage: Stage, started: datetime, error: PipelineError) -> StageReport:
        verdict = Verdict(stage.name, Outcome.UNDECIDED, (Reason(error.message, error.hint),))
        return replace(self._report(stage, started, verdict), error_code=error.exit_code)

    def _report(self, stage: Stage, started: datetime, verdict: Verdict) -> StageReport:
        finished = self.clock.now()
        return StageReport(
            stage.name, stage.environment, verdict.outcome, started, finished, reasons=verdict.reasons
        )

    def _recorded(self, report: StageReport, attempt: _Attempt, candidate: Candidate) -> StageReport:
        """The report with its record. What cannot be recorded does not count, whatever the stage found."""
        if candidate.image is None:
            return report
        try:
            statement = _statement(self, report, attempt)
            evidence = self.evidence.attach(candidate.image, statement)
            if report.name == "build" and report.outcome is Outcome.PASSED:
                self.builds.remember(attempt.plan, candidate.image)
        except PipelineError as error:
            reasons = (*report.reasons, Reason(f"not recorded: {error.message}", error.hint))
            return replace(report, outcome=Outcome.UNDECIDED, reasons=reasons, error_code=error.exit_code)
        return replace(report, evidence=evidence, inputs=statement.inputs)


@contextmanager
def _interruptible(
    runner: Runner, done: Sequence[StageReport], stage: Stage, candidate: Candidate
) -> Iterator[None]:
    """Turns an interrupt of the stage into one that tells of the whole run so far."""
    started = runner.clock.now()
    try:
        yield
    except KeyboardInterrupt as interrupt:
        left = _broken_off(stage, started, runner.clock.now(), interrupt)
        raise RunInterrupt(_whole(runner.run_id, [*done, left], candidate)) from interrupt


def _whole(run_id: str, reports: Sequence[StageReport], candidate: Candidate) -> RunReport:
    return RunReport(run_id, tuple(reports), candidate.image, candidate.source.commit)


def _broken_off(stage: Stage, started: datetime, now: datetime, interrupt: KeyboardInterrupt) -> StageReport:
    """An interrupted stage; nothing was recorded of it, and it takes nothing from what is on record."""
    reasons: tuple[Reason, ...] = (_interrupted(detached=isinstance(interrupt, DetachedInterrupt)),)
    facts: Mapping[str, Any] = {}
    if isinstance(interrupt, HalfwayInterrupt):
        reasons, facts = interrupt.ended.reasons, {"deployment": interrupt.ended.facts}
    report = StageReport(stage.name, stage.environment, Outcome.UNDECIDED, started, now, reasons=reasons)
    return replace(report, facts=facts, error_code=ExitCode.INTERRUPTED)


def _interrupted(*, detached: bool) -> Reason:
    text = "interrupted" + (" – detached, still running: ECS goes on without us" if detached else "")
    return Reason(text, "run the same command again" + (", it follows the rollout" if detached else ""))


def _facts_of(judgement: Judgement) -> Mapping[str, Any]:
    return {"policy": judgement.policy} if judgement.policy else {}


def _forced(attempt: _Attempt, override: Override, verdict: Verdict) -> _Attempt:
    """The attempt with what was overridden, by whom and why: in its record and on screen."""
    refused = [reason.text for reason in verdict.reasons]
    said = {"reason": override.reason, "by": override.by, "refused": refused}
    text = f"forced by {override.by}: {override.reason}; the gate had refused: {'; '.join(refused)}"
    return replace(attempt, facts={**attempt.facts, "override": said}, forced=(Reason(text),))


def _statement(runner: Runner, report: StageReport, attempt: _Attempt) -> Statement:
    return Statement(
        app=runner.app,
        stage=report.name,
        environment=report.environment,
        result=_RESULTS[report.outcome],
        plan=attempt.plan,
        run=runner.run_id,
        started=report.started,
        finished=report.finished,
        inputs={name: evidence.id for name, evidence in attempt.admitted.items()},
        metrics=report.metrics,
        facts=report.facts,
        reasons=report.reasons,
    )
