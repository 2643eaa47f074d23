"""Production's release beside the candidate on staging: every service of it that the load is to reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.beside import Beside
from pipeline.errors import UndecidedError
from pipeline.fleet import Voices
from pipeline.model.baseline import Baseline
from pipeline.model.deployment import RolloutOutcome
from pipeline.model.digest import ImageRef
from pipeline.model.verdict import Reason, Verdict, combine
from pipeline.ports import Candidate, Held, Progress, Say
from pipeline.rollout import RolloutResult


@dataclass(frozen=True, slots=True)
class ReleaseBeside:
    """See `stages.side_by_side.Opponent`. A release that is one image is one service, without a name.

    `services` are all that may stand there, `of` gives one of them as it is when those that are named stand there too.
    `chosen` and `front` are asked by `choose` and `url`.
    """

    services: Sequence[str]
    of: Callable[[str, frozenset[str]], Beside]
    chosen: Callable[[Candidate], tuple[Baseline, Sequence[str]]]
    front: Callable[[], str]

    def choose(self, candidate: Candidate, say: Say) -> Baseline:
        """What the candidate is compared with, or why with nothing; says what people should know of that."""
        found, said = self.chosen(candidate)
        for line in said:
            say(line)
        return found

    def url(self) -> str:
        """The front that leads to it."""
        return self.front()

    def begin(self, against: Baseline, held: Held, progress: Progress) -> None:
        """Has each service started; see `Beside.begin`."""
        for _, beside, voice in self._each(against, progress):
            beside.begin(_release(against), held, voice)

    def await_healthy(self, against: Baseline, held: Held, progress: Progress) -> Mapping[str, RolloutResult]:
        """How each service came up, by its name, up to the first that did not; see `Beside.await_healthy`."""
        found: dict[str, RolloutResult] = {}
        for name, beside, voice in self._each(against, progress):
            try:
                found[name] = beside.await_healthy(_release(against), held, voice)
            except UndecidedError as error:
                raise UndecidedError(_of(name, error.message), hint=error.hint) from error
            if found[name].outcome is not RolloutOutcome.SUCCEEDED:
                break
        return found

    def runs(self, against: Baseline) -> Verdict:
        """Whether each service runs its image, and nothing else; see `Beside.runs`."""
        placed = frozenset(against.beside)
        verdicts = {name: self.of(name, placed).runs(_release(against)) for name in against.beside}
        reasons = tuple(
            Reason(_of(name, reason.text), reason.remedy)
            for name, verdict in verdicts.items()
            for reason in verdict.reasons
        )
        return Verdict("baseline", combine(verdicts.values()), reasons)

    def end(self, held: Held, progress: Progress) -> None:
        """Scales all to zero, those too that stand there since another run; raises nothing. See `Beside.end`."""
        for name, voice in _voices(self.services, progress):
            self.of(name, frozenset()).end(held, voice)

    def _each(self, against: Baseline, progress: Progress) -> Iterator[tuple[str, Beside, Progress]]:
        placed = frozenset(against.beside)
        for name, voice in _voices(against.beside, progress):
            yield name, self.of(name, placed), voice


def _release(against: Baseline) -> ImageRef:
    assert against.image is not None, "only what there is stands beside the candidate"
    return against.image


def _voices(services: Sequence[str], progress: Progress) -> Iterator[tuple[str, Progress]]:
    """Each service and how it speaks: under its name, where it has one."""
    voices = Voices(progress)
    return ((name, voices.of(name) if name else progress) for name in services)


def _of(service: str, text: str) -> str:
    return f"{service}: {text}" if service else text
