"""`verify`: what a gate would say of a digest."""

from __future__ import annotations

import click

from pipeline.commands.targets import well_formed
from pipeline.errors import ExitCode
from pipeline.model.gate import Judgement
from pipeline.model.verdict import Outcome
from pipeline.ports import Candidate, Source
from pipeline.terminal import Invocation, Terminal

_CODES = {
    Outcome.PASSED: ExitCode.DONE,
    Outcome.REFUSED: ExitCode.REFUSED,
    Outcome.UNDECIDED: ExitCode.UNDECIDED,
}


@click.command("verify")
@click.argument("digest", callback=well_formed)
@click.argument(
    "environment",
    metavar="[ENVIRONMENT]",
    type=click.Choice(("integration", "staging", "prod")),
    default="prod",
)
@click.pass_obj
def command(invocation: Invocation, digest: str, environment: str) -> int:
    """Judges the evidence of DIGEST by the gate of ENVIRONMENT (prod when not given) and explains. Touches nothing."""
    from pipeline.wiring import Project

    project = Project.open(invocation.root, invocation.terminal)
    with project.session((), touch=False) as session:
        candidate = Candidate(Source(""), session.records.image(digest))
        judgement = session.runner.admission(environment, candidate)
    code = _CODES[judgement.verdict.outcome]
    _explain(invocation.terminal, judgement)
    verdict = judgement.verdict
    word = "may go to" if verdict.passed else "may not go to"
    invocation.terminal.answer(
        f"{candidate.ref.digest} {word} {environment}",
        {
            "command": "verify",
            "outcome": verdict.outcome.value,
            "exit_code": int(code),
            "digest": str(candidate.ref.digest),
            "environment": environment,
            "verdict": verdict.outcome.value,
            "reasons": [{"text": reason.text, "remedy": reason.remedy} for reason in verdict.reasons],
            "accepted": {
                stage: {"evidence": found.id, "finished": found.statement.finished.isoformat()}
                for stage, found in judgement.accepted.items()
            },
            "ignored": [{"id": ignored.id, "reason": ignored.reason} for ignored in judgement.ignored],
        },
    )
    return code


def _explain(terminal: Terminal, judgement: Judgement) -> None:
    for stage, evidence in judgement.accepted.items():
        statement = evidence.statement
        when = f"{statement.finished:%Y-%m-%d %H:%M:%S} UTC"
        terminal.say(f"{stage:<12}{statement.result}  {when}  {evidence.id[:19]}")
    for ignored in judgement.ignored:
        terminal.say(f"ignored     {ignored.id[:19]} {ignored.reason}")
    terminal.reasons(judgement.verdict.reasons)
