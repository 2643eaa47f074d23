"""What has been done for the emulator that runs now: stacks made, environments brought back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pipeline.local.launch import replace_text


@dataclass(slots=True)
class Progress:
    """`boot` is the emulator's start this is about; after another start everything is to do again."""

    boot: str
    provisioned: dict[str, str] = field(default_factory=dict)
    restored: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, state: Path, boot: str) -> Progress:
        """What was done for this boot; nothing when the file is of another, or unreadable."""
        try:
            kept = cls(**json.loads((state / "progress.json").read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return cls(boot)
        return kept if kept.boot == boot else cls(boot)

    @staticmethod
    def drop(state: Path, environment: str) -> None:
        """The environment is no longer provisioned, in whichever emulator it was."""
        try:
            kept = Progress(**json.loads((state / "progress.json").read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return
        if kept.provisioned.pop(environment, None) is not None:
            kept.save(state)

    def save(self, state: Path) -> None:
        """Writes what `load` reads."""
        replace_text(state / "progress.json", json.dumps(asdict(self), indent=1))

    def to_restore(self, environments: Sequence[str]) -> list[str]:
        """The environments that were not looked after yet."""
        return [name for name in environments if name not in self.restored]
