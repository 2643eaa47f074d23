"""The figures this code base holds itself to, measured on its own source."""

from __future__ import annotations

import ast
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline.cli import COMMANDS

ROOT = Path(__file__).parents[2]
PRODUCT = ("pipeline", "stages", "app", "loadtests")
FUNCTION, TYPICAL_FUNCTION, MODULE, CLASS, PATCHES_PER_TEST = 60, 9, 400, 200, 0.1
VAGUE = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}
HEAVY = ("boto3", "botocore", "docker", "requests", "rich", "pydantic", "testcontainers", "locust")
PATCH = re.compile(
    r"\b(?:monkeypatch\.(?:setattr|setitem|delattr|delitem|setenv|delenv)|mocker\.\w+|patch(?:\.\w+)?|\w*Mock)\("
)
REASON = re.compile(r"# noqa: PLC0415 [-–] \w")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def nodes(*folders: str) -> Iterator[tuple[Path, ast.AST]]:
    for path in sources(*folders):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            yield path, node


def length(node: Function | ast.ClassDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def place(path: Path, line: int = 1) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_the_measures_see_the_product() -> None:
    assert len(list(sources(*PRODUCT))) > 50


def test_no_function_is_longer_than_a_screen() -> None:
    found = [(p, n) for p, n in nodes(*PRODUCT) if isinstance(n, Function)]
    assert [place(p, n.lineno) for p, n in found if length(n) > FUNCTION] == []
    assert statistics.median(length(n) for _, n in found) <= TYPICAL_FUNCTION


def test_no_class_is_longer_than_two_hundred_lines() -> None:
    found = [(p, n) for p, n in nodes(*PRODUCT) if isinstance(n, ast.ClassDef)]
    assert [place(p, n.lineno) for p, n in found if length(n) > CLASS] == []


def test_no_module_is_longer_than_four_hundred_lines() -> None:
    long = {
        place(path): count
        for path in sources(*PRODUCT)
        if (count := len(path.read_text("utf-8").splitlines())) > MODULE
    }
    assert long == {}


def test_no_function_changes_its_module() -> None:
    assert [place(p, n.lineno) for p, n in nodes(*PRODUCT) if isinstance(n, ast.Global)] == []


def test_modules_are_named_after_what_they_are() -> None:
    folders = (*PRODUCT, "tests", "bench", "scripts")
    assert [place(path) for path in sources(*folders) if VAGUE & {path.stem, path.parent.name}] == []


def test_no_folder_shadows_the_docker_package() -> None:
    assert not (ROOT / "docker").exists()


def test_imports_inside_functions_are_for_a_fast_start_only() -> None:
    lazy = {"cli.py", "terminal.py"}
    found = [
        place(path, inner.lineno)
        for path, node in nodes(*PRODUCT)
        if isinstance(node, Function)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
        and path.parent.name != "commands"
        and path.name not in lazy
        and not REASON.search(path.read_text("utf-8").splitlines()[inner.lineno - 1])
    ]
    assert found == []


def test_tests_work_on_what_is_rather_than_on_patches() -> None:
    own = Path(__file__)
    texts = [path.read_text("utf-8") for path in sources("tests") if path != own]
    tests = sum(len(re.findall(r"^\s*(?:async )?def test_", text, re.MULTILINE)) for text in texts)
    patches = sum(len(PATCH.findall(text)) for text in texts)
    assert tests > 0
    assert patches / tests <= PATCHES_PER_TEST


WITHOUT_A_BROWSER = "tests/system/test_report_in_browser.py"
"""The one place that may skip: a browser only looks at reports. Where everything must be real, it must be there too."""


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    marks = {"skip", "skipif", "xfail", "importorskip"}
    found = [
        place(p, n.lineno) for p, n in nodes("tests") if isinstance(n, ast.Attribute) and n.attr in marks
    ]
    assert [where.partition(":")[0] for where in found] == [WITHOUT_A_BROWSER]


def command_lines() -> list[list[str]]:
    groups = {
        "stage": ("build", "integration", "staging", "prod"),
        "local": ("up", "down", "status", "reset"),
    }
    found: list[list[str]] = [[], *([name] for name in COMMANDS)]
    return [*found, *([group, name] for group, names in groups.items() for name in names)]


def test_help_of_every_command_imports_nothing_heavy() -> None:
    code = (
        "import json, sys\nfrom pipeline.cli import main\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    code = main([*words, '--help'])\n"
        "    print(json.dumps([words, code, sorted(sys.modules)]), file=sys.stderr)\n"
    )
    asked = command_lines()
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(asked)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    answers = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(words, code) for words, code, _ in answers] == [(words, 0) for words in asked]
    loaded = {" ".join(words): sorted(set(HEAVY) & set(modules)) for words, _, modules in answers}
    assert loaded == {" ".join(words): [] for words in asked}
    assert done.stdout.count("Usage: python -m pipeline") == len(asked)
