"""What is asked of a rollout beside ECS: smoke checks, the traffic probe's figures, alarms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import UndecidedError
from pipeline.model.deployment import Check, DeploySpec
from pipeline.model.probe import Mark, Phase, ProbeSummary, judge_probe, summarise
from pipeline.model.rollout import Observation, RolloutPolicy
from pipeline.model.service import ServiceState, previous_of
from pipeline.model.verdict import Outcome, Reason
from pipeline.ports import Alarms, Clock, HttpAnswer, HttpProbe, RunningProbe, TrafficProbe
from pipeline.watching import Calls

ALARMS_EVERY = 5.0
"""Seconds between two questions for alarms; CloudWatch evaluates them every ten at most."""

_SMOKE = "the rollout completed, but its smoke checks fail: look at the application"
_SMOKE_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Who can tell of the service what ECS cannot: `http` asks smoke checks; None: that one is not asked."""

    http: HttpProbe
    traffic: TrafficProbe | None = None
    alarms: Alarms | None = None


@dataclass(slots=True)
class SmokeChecks:
    """Smoke checks, asked in rounds until they hold `agree` times in a row."""

    http: HttpProbe
    clock: Clock
    policy: RolloutPolicy
    base_url: str
    checks: Sequence[Check]
    digest: str
    _good: int = 0
    _wrong_since: float | None = None
    wrong: str = ""

    @property
    def agreed(self) -> bool:
        """Whether the latest rounds held, enough of them in a row; also where there is nothing to ask."""
        return not self.checks or self._good >= self.policy.agree

    def round(self) -> str:
        """Asks each once. What has failed for the policy's `verify` seconds without agreeing in between, else empty."""
        self.wrong = next(filter(None, map(self._ask, self.checks)), "")
        self._good = 0 if self.wrong else self._good + 1
        now = self.clock.monotonic()
        if self.agreed:
            self._wrong_since = None
        elif self.wrong and self._wrong_since is None:
            self._wrong_since = now
        long = self._wrong_since is not None and now - self._wrong_since >= self.policy.verify
        return self.wrong if long else ""

    def _ask(self, check: Check) -> str:
        url = self.base_url.rstrip("/") + check.path
        answer = self.http.get(url, timeout=_SMOKE_TIMEOUT)
        if answer.error or not answer.status:
            return f"{url} did not answer: {answer.error or 'no status'}"
        if answer.status != check.status:
            return f"{url} answered {answer.status}, not {check.status}: {answer.body[:120]}"
        if check.expect_digest and (shown := _digest_shown(answer)) != self.digest:
            return f"{url} shows digest {shown or 'none'}, not {self.digest}"
        return ""


def _digest_shown(answer: HttpAnswer) -> str:
    try:
        body = json.loads(answer.body)
    except ValueError:
        return ""
    return str(body.get("digest", "")) if isinstance(body, dict) else ""


@dataclass(slots=True)
class Traffic:
    """The probe of one rollout, and which phase it has been in since when. Off: it never starts."""

    probe: TrafficProbe | None
    spec: DeploySpec
    clock: Clock
    _running: RunningProbe | None = None
    _marks: list[Mark] = field(default_factory=list)
    _ended: ProbeSummary | None = None

    @property
    def phase(self) -> Phase | None:
        """The present one; None before it counts anything."""
        return self._marks[-1].phase if self._marks else None

    def enter(self, phase: Phase, since: float | None = None) -> None:
        """From now (or `since`) on it is `phase`. Starts the probe when it does not run."""
        if self.probe is None or not self.spec.base_url or self._ended:
            return
        self._marks.append(Mark(phase, self.clock.monotonic() if since is None else since))
        if self._running is None:
            self._running = self.probe.start(self.spec.base_url)

    def against(self) -> Reason | None:
        """What speaks against the rollout now."""
        verdict = judge_probe(self._summary(), self.spec.probe_limits)
        return verdict.reasons[0] if verdict.outcome is Outcome.REFUSED else None

    def _summary(self) -> ProbeSummary:
        if self._running is None:
            return ProbeSummary()
        return summarise(self._running.log(), self._marks, self.clock.monotonic())

    def end(self) -> ProbeSummary | None:
        """Stops the probe; its figures, or None where it never ran. Asking again changes nothing."""
        if self._running is not None and self._ended is None:
            log = self._running.stop()
            self._ended = summarise(log, self._marks, self.clock.monotonic(), self.clock.now())
        return self._ended


@dataclass(slots=True)
class Verification:
    """All of it for one rollout of `digest`."""

    witnesses: Witnesses
    calls: Calls
    spec: DeploySpec
    digest: str
    traffic: Traffic = field(init=False)
    smoke: SmokeChecks = field(init=False)
    _looked: float = field(init=False)
    _alarms_at: float = field(init=False, default=0.0)
    _concluded: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        clock, spec = self.calls.clock, self.spec
        self.traffic = Traffic(self.witnesses.traffic, spec, clock)
        self.smoke = SmokeChecks(
            self.witnesses.http, clock, self.calls.policy, spec.base_url, spec.checks, self.digest
        )
        self._looked = clock.monotonic()

    def begin(self, live: ServiceState, ours: str = "") -> None:
        """Before anything is changed, or when a rollout of the definition `ours` is followed from midway on.

        Requests count from now on where something serves already, else from when the new tasks are healthy. Raises
        UndecidedError when an alarm that is to be asked later is not there.
        """
        self._firing()
        if live.running > 0 and previous_of(live, ours):
            self.traffic.enter(Phase.BEFORE)

    def seen(self, seen: Observation) -> Reason | None:
        """Asked after each look at the service: what speaks against the rollout now."""
        self._follow(seen)
        against = self.traffic.against()
        if against or seen.good_since is None:
            return against
        due = self.calls.clock.monotonic() - self._alarms_at >= ALARMS_EVERY
        return (self._alarmed() if due else None) or self._smoke()

    def _follow(self, seen: Observation) -> None:
        """The new tasks may have begun to serve right after the look before this one."""
        before, self._looked = self._looked, self.calls.clock.monotonic()
        if self.traffic.phase in (Phase.BAKE, Phase.DRAIN, Phase.BACK):
            return
        if seen.good_since is not None:
            self.traffic.enter(Phase.BAKE)
        elif self.traffic.phase is Phase.BEFORE and _ours_serve(seen):
            self.traffic.enter(Phase.SWITCH, before)

    def _smoke(self) -> Reason | None:
        if not self.spec.checks or self._concluded:
            return None
        complaint = self.smoke.round()
        return Reason(complaint, _SMOKE) if complaint else None

    def concluded(self) -> Reason | None:
        """When the bake is over: asks until the smoke checks agree; what speaks against the rollout, if anything."""
        clock, policy = self.calls.clock, self.calls.policy
        if self.spec.checks:
            self.calls.progress.step("asking the smoke checks")
        while True:
            if against := self._smoke() or self.traffic.against():
                return against
            if self.smoke.agreed:
                break
            clock.sleep(policy.poll if self.smoke.wrong else policy.poll / 5)
        if against := self._alarmed():
            return against
        self._concluded = True
        if self.traffic.phase is not None:
            self.traffic.enter(Phase.DRAIN)
        return None

    def _alarmed(self) -> Reason | None:
        """An alarm that was there when the rollout began and is not any more speaks against it: nobody would know."""
        try:
            firing = self._firing()
        except UndecidedError as error:
            return Reason(error.message, error.hint)
        if not firing:
            return None
        text = f"firing during the bake: {', '.join(firing)}"
        return Reason(text, "see what the alarm measures; the rollout is put back")

    def _firing(self) -> Sequence[str]:
        alarms, names = self.witnesses.alarms, self.spec.alarms
        self._alarms_at = self.calls.clock.monotonic()
        return self.calls.ask(lambda: alarms.firing(names)) if alarms and names else ()

    def back(self, *, serving: bool) -> None:
        """The way back begins; not `serving`: to nothing, so that requests say no more."""
        if serving:
            self.traffic.enter(Phase.BACK)
        else:
            self.traffic.end()

    def end(self) -> dict[str, Any] | None:
        """Stops what runs; says and returns the probe's figures as JSON values, or None where it never ran."""
        summary = self.traffic.end()
        if summary is None:
            return None
        self.calls.progress.note(f"probe: {summary.line}")
        verdict = judge_probe(summary, self.spec.probe_limits)
        said = {"outcome": verdict.outcome.value, "text": verdict.reasons[0].text}
        return {**summary.facts, "verdict": said}


def _ours_serve(seen: Observation) -> bool:
    """Whether the load balancer may send requests to a task of ours by now."""
    ours = {t.ip for t in seen.sight.tasks if t.task_definition == seen.aim.task_definition and t.alive}
    if seen.sight.targets is None:
        return bool(ours)
    return any(target.ip in ours and target.state == "healthy" for target in seen.sight.targets)
