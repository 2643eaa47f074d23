from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import Copy, Done

VETS = "    return await clinic.vets()"


def test_a_failing_integration_test_stops_before_staging(changed: Copy) -> None:
    staging = changed.serves("staging")
    suite = changed.root / "tests" / "integration" / "test_greeting.py"
    suite.write_text(
        "import requests\n\n\n"
        "def test_the_clinic_greets_in_german(base_url):\n"
        "    assert 'Guten Tag' in requests.get(base_url + '/', timeout=5).text\n"
    )
    refused = changed.pipeline("--json", "run")
    assert refused.code == 1
    assert list(refused.stages) == ["build", "integration"]
    assert refused.stages["build"]["reused"]
    assert "test_the_clinic_greets_in_german" in refused.said
    assert "app | {" in refused.said, "the container's last lines are on screen"
    report = Path(refused.answer["report"]).read_text("utf-8")
    assert "integration did not pass: refused, exit code 1." in report
    assert "test_greeting::test_the_clinic_greets_in_german" in report
    assert changed.serves("staging") == staging


def test_a_suite_without_tests_is_undecided(changed: Copy) -> None:
    changed.change("pipeline.toml", 'tests = "tests/integration"', 'tests = "tests/none"')
    folder = changed.root / "tests" / "none"
    folder.mkdir()
    (folder / "test_nothing.py").write_text("")
    assert changed.pipeline("run").code == 4


def test_a_slow_endpoint_is_refused_by_staging_and_production_stays(changed: Copy, released: Done) -> None:
    production = changed.serves("prod")
    changed.change("app/api.py", VETS, "    await __import__('asyncio').sleep(1)\n" + VETS)
    refused = changed.pipeline("--json", "run")
    assert refused.code == 1
    assert list(refused.stages) == ["build", "integration", "staging"]
    assert "p95" in refused.said
    assert refused.answer["digest"] != released.answer["digest"]
    assert changed.serves("prod") == production


def test_a_locustfile_that_does_not_import_is_a_mistake_in_the_configuration(
    changed: Copy, released: Done
) -> None:
    staging = changed.serves("staging")
    (changed.root / "loadtests" / "locustfile.py").write_text("import nothing_of_that_name\n")
    refused = changed.pipeline("run")
    assert refused.code == 3
    assert "nothing_of_that_name" in refused.said
    assert changed.serves("staging") == staging


def test_an_image_that_ends_at_once_is_refused_with_its_last_words(changed: Copy) -> None:
    staging = changed.serves("staging")
    changed.change(
        "app/__main__.py", "from __future__ import annotations", "raise SystemExit('no licence file')"
    )
    refused = changed.pipeline("run")
    assert refused.code == 1
    assert "no licence file" in refused.said
    assert changed.serves("staging") == staging
