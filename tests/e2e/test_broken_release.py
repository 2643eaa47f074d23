from __future__ import annotations

from tests.e2e.conftest import Copy, Done

FAILS_THERE = """    if "_prod" in os.environ.get("DATABASE_URL", ""):
        sys.exit("cannot bear production")
    try:
"""


def test_a_release_that_fails_in_production_alone_is_put_back(changed: Copy, released: Done) -> None:
    changed.change("app/__main__.py", "    try:\n", FAILS_THERE)
    broken = changed.pipeline("--json", "run")
    assert broken.code == 5
    assert [stage["outcome"] for stage in broken.stages.values()] == ["passed", "passed", "passed", "refused"]
    assert "cannot bear production" in broken.said
    assert changed.serves("prod") == released.answer["digest"]
    facts = broken.stages["prod"]["facts"]["deployment"]
    assert facts["outcome"] == "rolled_back"
    assert released.answer["digest"] in facts["previous_digests"]
    status = changed.pipeline("--json", "status").answer["environments"][1]
    assert (status["digest"], status["drift"]) == (released.answer["digest"], "")
