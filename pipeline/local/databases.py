"""One PostgreSQL server for the cloud, with a database, a user and a password of its own for each environment."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UnavailableError
from pipeline.local.launch import replace_text
from pipeline.local.parts import Engine

READY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Passwords:
    """The server's own password, and each environment's."""

    server: str
    environments: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Passwords({', '.join(self.environments)})"


def passwords(state: Path, environments: Sequence[str]) -> Passwords:
    """The passwords, made at random the first time and kept in a file that only the owner reads."""
    file = state / "passwords.json"
    kept = json.loads(file.read_text("utf-8")) if file.exists() else {}
    known = {name: _new() for name in environments} | dict(kept.get("environments", {}))
    server = str(kept.get("server") or _new())
    if not kept or len(known) > len(kept["environments"]):
        replace_text(file, json.dumps({"server": server, "environments": known}, indent=1), mode=0o600)
    return Passwords(server, known)


def _new() -> str:
    return secrets.token_hex(16)


def database_name(app: str, environment: str) -> str:
    """The name of an environment's database and of its user."""
    return re.sub(r"[^a-z0-9]+", "_", f"{app}_{environment}".lower())


def database_urls(app: str, known: Passwords) -> dict[str, str]:
    """Environment → what its tasks connect to."""
    return {
        name: f"postgresql://{database_name(app, name)}:{password}@postgres:5432/{database_name(app, name)}"
        for name, password in known.environments.items()
    }


def set_up_sql(app: str, known: Passwords) -> str:
    """The script for psql that makes every role and database that is missing and sets the passwords.

    Names are of lower-case letters, digits and underscores, passwords of hex digits: nothing needs quoting.
    """
    lines = []
    for environment, password in known.environments.items():
        name = database_name(app, environment)
        no_role = f"NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}')"
        no_database = f"NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}')"
        lines += [
            f"SELECT 'CREATE ROLE {name}' WHERE {no_role} \\gexec",
            f"ALTER ROLE {name} LOGIN PASSWORD '{password}';",
            f"SELECT 'CREATE DATABASE {name} OWNER {name}' WHERE {no_database} \\gexec",
            f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC;",
        ]
    return "\n".join(lines) + "\n"


def set_up(engine: Engine, app: str, known: Passwords) -> None:
    """Waits until the server answers, then makes what is missing. Raises UnavailableError with the server's words."""
    deadline = time.monotonic() + READY_SECONDS
    while engine.execute("postgres", ["pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres"])[0] != 0:
        if time.monotonic() > deadline:
            raise _failed(engine.last_lines("postgres"))
        time.sleep(0.1)
    script = "/onedigest-set-up.sql"
    engine.put("postgres", {script: set_up_sql(app, known)})
    psql = ["psql", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "postgres", "-f", script]
    code, output = engine.execute("postgres", psql, user="postgres")
    engine.execute("postgres", ["rm", "-f", script])
    if code != 0:
        raise _failed(output)


def _failed(words: str) -> UnavailableError:
    return UnavailableError(
        f"the local PostgreSQL does not come up:\n{words}",
        hint="`python -m pipeline local reset` deletes its data and begins anew",
    )
