from __future__ import annotations

from tests.e2e.conftest import ANY_ORDER, Copy, Done
from tests.system.steady_load import VISITORS, SteadyLoad


def test_production_goes_forward_and_back_without_losing_a_request(changed: Copy, released: Done) -> None:
    first = released.answer["digest"]
    assert changed.pipeline("run").code == 0, "whatever other tests have left on record of it"
    assert changed.serves("prod") == first
    changed.change("app/__init__.py", '"""', '# under load\n"""', count=1)
    second = changed.pipeline("--json", "run", "--until", "staging").answer["digest"]
    with SteadyLoad(changed.url("prod"), rate=100, mix=VISITORS) as load:
        forward = changed.pipeline("--json", "promote", second, "prod", *ANY_ORDER)
        back = changed.pipeline("--json", "promote", first, "prod", *ANY_ORDER)

    assert (forward.code, back.code) == (0, 0)
    assert load.tally.failed == 0, load.tally.errors
    assert set(load.tally.kinds) == {"GET kept", "GET new", "POST kept", "POST new"}
    assert (forward.answer["previous"], back.answer["previous"]) == (first, second)
    for answer in (forward.answer, back.answer):
        assert answer["deployment"]["outcome"] == "succeeded"
        assert answer["deployment"]["healthy_at"]
        assert answer["deployment"]["drained_at"]
        assert answer["probe"]["failed"] == 0
        assert answer["probe"]["sent"] > 10
    assert f"probe: {forward.answer['probe']['sent']} requests, 0 failed" in forward.said
    assert changed.serves("prod") == first


def test_what_already_runs_sends_no_requests(project: Copy, released: Done) -> None:
    again = project.pipeline("--json", "promote", project.serves("prod"), "prod", "--fresh")
    assert again.code == 0
    assert again.answer["probe"] is None
    assert again.stages["prod"]["facts"]["deployment"]["already"]
