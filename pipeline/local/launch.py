"""What the cloud tells the emulator's launcher: one small file in the state directory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

CLOUD_LABEL = "dev.onedigest.cloud"
PART_LABEL = "dev.onedigest.part"
CONFIG_LABEL = "dev.onedigest.config"
APP_TAG = "onedigest:app"
ENVIRONMENT_TAG = "onedigest:environment"
IDENTITY_PATH = "/_onedigest/identity"
ACCOUNT = "000000000000"


@dataclass(frozen=True, slots=True)
class LaunchSettings:
    """How the emulator runs: its port, the tasks' network, and where the balancer listens for orders.

    `backends` maps `app/environment@region` to the balancer's backend. `code` is the fingerprint of the code the
    emulator runs with, so that a newer version of the product does not talk to an older one's emulator.
    """

    cloud: str
    port: int
    region: str
    network: str
    balancer_port: int
    backends: Mapping[str, str]
    code: str = ""

    def save(self, state: Path) -> None:
        """Writes the file that `load` reads."""
        replace_text(settings_file(state), json.dumps(asdict(self), indent=1))

    @classmethod
    def load(cls, state: Path) -> LaunchSettings:
        """Reads what `save` wrote. Raises OSError or ValueError when it is missing or broken."""
        return cls(**json.loads(settings_file(state).read_text("utf-8")))


def code_fingerprint() -> str:
    """Changes when what the launcher runs changes."""
    here = Path(__file__).parent
    files = [
        here / "emulator.py",
        here / "balancer.py",
        here / "launch.py",
        *sorted((here / "emulation").glob("*.py")),
    ]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def settings_file(state: Path) -> Path:
    """Where the settings lie."""
    return state / "launch.json"


def replace_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Writes `text` so that a reader sees the old file or the new one, never half of either."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    temporary.touch(mode=mode)
    temporary.chmod(mode)
    temporary.write_text(text, "utf-8")
    temporary.replace(path)
