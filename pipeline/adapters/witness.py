"""Evidence in its store, and beside it what this machine recorded itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.model.digest import Digest, ImageRef
from pipeline.model.evidence import Collected, Statement
from pipeline.ports import EvidenceStore


@dataclass(frozen=True, slots=True)
class WitnessedStore:
    """See `pipeline.ports.EvidenceStore`. `store` is where evidence counts; `witness` keeps a copy on this machine.

    The copy is written first: a failure that the store then does not take is known here all the same.
    """

    store: EvidenceStore
    witness: EvidenceStore

    def attach(self, subject: ImageRef, statement: Statement) -> str:
        """See `pipeline.ports.EvidenceStore.attach`."""
        self.witness.attach(subject, statement)
        return self.store.attach(subject, statement)

    def collect(self, subject: ImageRef) -> Collected:
        """See `pipeline.ports.EvidenceStore.collect`; what the witness holds goes into `witnessed`."""
        return replace(self.store.collect(subject), witnessed=self.witness.collect(subject).accepted)

    def subjects(self) -> Sequence[Digest]:
        """See `pipeline.ports.EvidenceStore.subjects`; this machine's own come first."""
        return tuple(dict.fromkeys((*self.witness.subjects(), *self.store.subjects())))
