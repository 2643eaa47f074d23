"""The gates as pipeline.toml tells them. What a gate does not name of the earlier stages it asks for all the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.config import GateSettings, RequirementSettings, Settings
from pipeline.model.load import LoadLimits
from pipeline.model.policy import Approval, GatePolicy, Requirement, Trust
from pipeline.runner import Rules

STAGES = ("build", "integration", "staging", "prod")


def make_rules(settings: Settings, trust: Sequence[Trust]) -> Rules:
    """What opens each stage, and when a stage's own record still stands, by the keys of `trust`."""
    told = {name: getattr(settings.gate, name) for name in STAGES[1:]}
    gates = {name: _gate(settings, name, gate, tuple(trust)) for name, gate in told.items()}
    build = GatePolicy(
        "build",
        settings.app.name,
        (),
        trust=tuple(trust),
        revoked=frozenset(settings.gate.integration.revoked),
    )
    standing = {name: _standing(name, gates.get(name, build), gates) for name in STAGES}
    return Rules(gates, standing)


def load_limits(required: RequirementSettings) -> LoadLimits:
    """The limits on a stage's metrics, in all and by endpoint."""
    return LoadLimits(
        total={name: limit.value for name, limit in required.limits.items()},
        endpoints={
            endpoint: {name: limit.value for name, limit in limits.items()}
            for endpoint, limits in required.endpoints.items()
        },
    )


def _standing(name: str, gate: GatePolicy, gates: dict[str, GatePolicy]) -> GatePolicy:
    """What opened the stage must stand still, and its own record as the last gate asks for it.

    Approvals and freezes are left out: they are about rolling out, and what is reused is not rolled out.
    """
    asked = [requirement for later in gates.values() for requirement in later.requirements]
    own = next((requirement for requirement in reversed(asked) if requirement.stage == name), None)
    own = own or Requirement(name, environment=name, after=("staging",))
    return replace(gate, requirements=(*gate.requirements, own), approval=None, frozen=())


def _gate(settings: Settings, name: str, told: GateSettings, trust: tuple[Trust, ...]) -> GatePolicy:
    earlier = STAGES[: STAGES.index(name)]
    asked = [(stage, getattr(told, stage) or RequirementSettings()) for stage in earlier]
    requirements = tuple(
        Requirement(
            stage=stage,
            environment=required.environment or ("staging" if stage == "staging" else ""),
            max_age=required.max_age,
            after=required.after or STAGES[max(0, STAGES.index(stage) - 1) : STAGES.index(stage)],
            limits=load_limits(required).flat,
        )
        for stage, required in asked
    )
    return GatePolicy(
        gate=name,
        app=settings.app.name,
        requirements=requirements,
        environment=name if name in ("staging", "prod") else "",
        trust=trust,
        revoked=frozenset(told.revoked),
        approval=Approval(told.approval.max_age, told.approval.by) if told.approval else None,
        frozen=told.frozen,
    )
