"""Runs the stages in order: asks the gate before each, records evidence after each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from pipeline.errors import PipelineError
from pipeline.model.evidence import Evidence, Statement
from pipeline.model.gate import Judgement, judge
from pipeline.model.policy import GatePolicy, Requirement
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


@dataclass(frozen=True, slots=True)
class Rules:
    """What opens each stage (`gates`, by stage name), and when its own record still stands (`standing`)."""

    gates: Mapping[str, GatePolicy]
    standing: Mapping[str, Requirement]


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One stage being run: since when, by which plan, and on which records the gate admitted it."""

    stage: Stage
    candidate: Candidate
    plan: str
    started: datetime
    admitted: Mapping[str, Evidence]


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

    def run(self, candidate: Candidate, *, only: Sequence[str] = (), fresh: bool = False) -> RunReport:
        """Runs `only` those stages (all when empty), in order, up to the first that does not pass."""
        reports: list[StageReport] = []
        for stage in self.stages:
            if only and stage.name not in only:
                continue
            report, candidate = self._stage(stage, candidate, fresh=fresh)
            reports.append(report)
            self.observer.end(report)
            if report.outcome is not Outcome.PASSED:
                break
        return RunReport(self.run_id, tuple(reports), candidate.image)

    def admission(self, stage: str, candidate: Candidate) -> Judgement:
        """What the gate of `stage` says of the candidate now. The build's gate is always open."""
        policy = self.rules.gates.get(stage)
        if policy is None:
            return Judgement(Verdict(stage, Outcome.PASSED))
        return self._judge(candidate, policy)

    def _stage(self, stage: Stage, candidate: Candidate, *, fresh: bool) -> tuple[StageReport, Candidate]:
        started = self.clock.now()
        progress = self.observer.begin(stage.name)
        try:
            plan = stage.plan(candidate).hash
            if not fresh and (reused := self._reuse(stage, plan, candidate, started)):
                return reused
            judgement = self.admission(stage.name, candidate)
        except PipelineError as error:
            return self._undecided(stage, started, error), candidate
        if not judgement.verdict.passed:
            return self._report(stage, started, judgement.verdict), candidate
        return self._attempt(_Attempt(stage, candidate, plan, started, judgement.accepted), progress)

    def _attempt(self, attempt: _Attempt, progress: Progress) -> tuple[StageReport, Candidate]:
        try:
            result = attempt.stage.run(attempt.candidate, progress)
        except PipelineError as error:
            report = self._undecided(attempt.stage, attempt.started, error)
            return self._recorded(report, attempt, attempt.candidate), attempt.candidate
        candidate = replace(attempt.candidate, image=result.image or attempt.candidate.image)
        report = replace(
            self._report(attempt.stage, attempt.started, result.verdict),
            facts=result.facts,
            metrics=result.metrics,
            error_code=result.error_code,
        )
        return self._recorded(report, attempt, candidate), candidate

    def _reuse(
        self, stage: Stage, plan: str, candidate: Candidate, now: datetime
    ) -> tuple[StageReport, Candidate] | None:
        """The report of a stage that need not run: its record stands for this digest, plan and limits."""
        image = candidate.image or self.builds.find(plan)
        if image is None:
            return None
        known = replace(candidate, image=image)
        evidence = self._own_record(stage, plan, known)
        if evidence is None or not stage.standing(known).passed:
            return None
        statement = evidence.statement
        reason = Reason(f"same image, plan and limits: PASSED at {statement.finished:%Y-%m-%d %H:%M:%S} UTC")
        report = replace(
            self._report(stage, now, Verdict(stage.name, Outcome.PASSED, (reason,))),
            reused=True,
            facts=statement.facts,
            metrics=statement.metrics,
            evidence=evidence.id,
        )
        return report, known

    def _own_record(self, stage: Stage, plan: str, candidate: Candidate) -> Evidence | None:
        own = replace(self.rules.standing[stage.name], plan=plan)
        gate = self.rules.gates.get(stage.name)
        before = gate.requirements if gate else ()
        judgement = self._judge(candidate, GatePolicy(stage.name, self.app, (*before, own)))
        return judgement.accepted[stage.name] if judgement.verdict.passed else None

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
            evidence = self.evidence.attach(candidate.image, self._statement(report, attempt))
            if report.name == "build" and report.outcome is Outcome.PASSED:
                self.builds.remember(attempt.plan, candidate.image)
        except PipelineError as error:
            reasons = (*report.reasons, Reason(f"not recorded: {error.message}", error.hint))
            return replace(report, outcome=Outcome.UNDECIDED, reasons=reasons, error_code=error.exit_code)
        return replace(report, evidence=evidence)

    def _statement(self, report: StageReport, attempt: _Attempt) -> Statement:
        return Statement(
            app=self.app,
            stage=report.name,
            environment=report.environment,
            result=_RESULTS[report.outcome],
            plan=attempt.plan,
            run=self.run_id,
            started=report.started,
            finished=report.finished,
            inputs={name: evidence.id for name, evidence in attempt.admitted.items()},
            metrics=report.metrics,
            facts=report.facts,
            reasons=report.reasons,
        )
