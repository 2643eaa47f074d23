"""What the documentation says, compared with what the code does."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import click
import pytest
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from pipeline.cli import COMMANDS, group
from pipeline.commands.reporting import describe
from pipeline.config import Settings, load
from pipeline.errors import ExitCode
from pipeline.iam import policies
from pipeline.locations import places_of
from pipeline.model.policy import parse_duration
from pipeline.model.run import RunReport

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
CLI = (DOCS / "reference" / "cli.md").read_text("utf-8")
CONFIGURATION = (DOCS / "reference" / "configuration.md").read_text("utf-8")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


# -- command line -----------------------------------------------------------------------------------------------------


def test_the_table_of_exit_codes_is_the_enum() -> None:
    rows = re.findall(r"^\| (\d+) \| (\w+) \|", CLI, re.MULTILINE)
    assert rows == [(str(int(code)), code.name.lower()) for code in ExitCode]


def commands() -> Iterator[tuple[str, click.Command]]:
    for name in COMMANDS:
        command: click.Command = import_module(f"pipeline.commands.{name}").command
        yield name, command
        if isinstance(command, click.Group):
            for child, found in command.commands.items():
                yield f"{name} {child}", found


def test_every_command_has_its_section_and_nothing_else_has_one() -> None:
    section = CLI[CLI.index("## Commands") : CLI.index("## JSON")]
    told = [heading.strip("`") for heading in re.findall(r"^### (.+)$", section, re.MULTILINE)]
    assert sorted(told) == sorted(
        name for name, command in commands() if not isinstance(command, click.Group)
    )


def section_of(name: str) -> str:
    found = re.search(rf"^### `{re.escape(name)}`\n(.*?)(?=^##)", CLI, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1]


@pytest.mark.parametrize(
    ("name", "command"),
    [(n, c) for n, c in commands() if not isinstance(c, click.Group)],
    ids=str,
)
def test_a_commands_arguments_and_options_are_the_documented_ones(name: str, command: click.Command) -> None:
    section = section_of(name)
    options = {opt for p in command.params if isinstance(p, click.Option) for opt in p.opts}
    arguments = [p.name.upper() for p in command.params if isinstance(p, click.Argument) and p.name]
    told = set(re.findall(r"^- `(--?[\w-]+)", section, re.MULTILINE))
    assert told == options
    usage = re.search(r"^    python -m pipeline (.+)$", section, re.MULTILINE)
    assert usage
    assert re.findall(r"\b[A-Z]{3,}\b(?!\])", usage[1].split(" --")[0]) == arguments


def test_the_options_before_a_command_are_the_documented_ones() -> None:
    section = CLI[CLI.index("## Before the command") : CLI.index("## Commands")]
    told = set(re.findall(r"`(--?[\w-]+)(?: [A-Z]+)?`", section))
    assert told == {option for p in group.params for option in p.opts} | {"-h", "--help"}


def test_the_json_fields_of_a_run_are_the_documented_ones() -> None:
    found = describe(RunReport("r", ()), "run")
    section = CLI[CLI.index("## JSON") :]
    rows = re.findall(r"^\| `(\w+)` \| run", section, re.MULTILINE)
    assert set(rows) == {*found, "schema", "machine", "settings", "report"}


# -- configuration ----------------------------------------------------------------------------------------------------


def keys(model: type[BaseModel] = Settings, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Path, type and default of every key, as the reference writes them."""
    for name, field in model.model_fields.items():
        where = f"{path}.{name}".removeprefix(".")
        child, step = _child(field.annotation)
        if child:
            yield from keys(child, where + step)
        else:
            yield where, _type(field), _default(field)


def _child(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """The table under a key, and how its place is written."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    origin, inner = get_origin(annotation), [part for part in get_args(annotation) if part is not type(None)]
    if origin is dict:
        child, step = _child(inner[1])
        return child, ".NAME" + step
    if origin is tuple:
        return _child(inner[0])[0], "[]"
    if origin in (Union, types.UnionType):
        return _child(inner[0])
    return None, ""


def _type(field: FieldInfo) -> str:
    if any(isinstance(m, BeforeValidator) and m.func is parse_duration for m in field.metadata):
        return "duration"
    return _words(field.annotation)


def _words(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f'"{value}"' for value in inner)
    if origin is tuple:
        return "list of text"
    if origin is dict:
        return "table of text"
    if origin in (Union, types.UnionType):
        return _words(inner[0])
    if hasattr(annotation, "__metadata__"):
        return (
            "duration" if "parse_duration" in repr(annotation.__metadata__) else _words(annotation.__origin__)
        )
    return WORDS[annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{each}"' for each in value) + "]"
    if isinstance(value, dict):
        return "{}"
    return f'"{value:g}s"' if _type(field) == "duration" else f"{value:g}"


def documented_keys() -> list[tuple[str, str, str]]:
    """The keys, once for all environments, gates and required stages."""
    found = [(_place(path), kind, default) for path, kind, default in keys()]
    return list(dict.fromkeys(found))


def _place(path: str) -> str:
    path = re.sub(r"^environments\.(staging|prod)", "environments.ENV", path)
    path = re.sub(r"^gate\.\w+\.(?=approval|revoked|frozen)", "gate.GATE.", path)
    return re.sub(r"^gate\.(\w+)\.(build|integration|staging)\b", "gate.GATE.STAGE", path)


def test_every_key_is_documented_with_its_type_and_default() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| \S", CONFIGURATION, re.MULTILINE)
    told = [(path, kind.strip().replace("`", ""), default.strip().strip("`")) for path, kind, default in rows]
    assert sorted(told) == sorted(documented_keys())


def test_the_examples_in_the_documentation_are_right() -> None:
    from pipeline.config import parse  # noqa: PLC0415 – beside its only use

    examples = [
        text
        for page in PAGES
        for text in re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
        if "[app]" in text and "[cloud]" in text
    ]
    assert examples
    for text in examples:
        assert parse(text).app.name


# -- permissions ------------------------------------------------------------------------------------------------------


def test_the_policies_in_the_documentation_are_the_printed_ones() -> None:
    told = re.search(r"```json\n(.*?)```", (DOCS / "reference" / "iam.md").read_text("utf-8"), re.DOTALL)
    assert told
    assert json.loads(told[1]) == policies(load(ROOT), places_of(load(ROOT), ("staging", "prod")))


# -- all pages --------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(page.read_text("utf-8")))
    return {heading.strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for link in LINK.findall(text):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_is_in_the_index() -> None:
    index = DOCS / "README.md"
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text("utf-8"))}
    missing = [name_of(page) for page in DOCS.rglob("*.md") if page != index and page.resolve() not in linked]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_a_registry_host(page: Path) -> None:
    hosts = re.compile(
        r"\b(?:docker\.io|ghcr\.io|quay\.io|gcr\.io|public\.ecr\.aws|pypi\.org|registry\.npmjs\.org)\b"
    )
    assert hosts.findall(page.read_text("utf-8")) == []


def test_commands_in_the_documentation_exist() -> None:
    known = {name.split()[0] for name, _ in commands()}
    for page in PAGES:
        for word in re.findall(r"python -m pipeline (?:-\w \S+ |--\w+ )*([a-z]+)\b", page.read_text("utf-8")):
            assert word in known, f"{name_of(page)}: {word}"
