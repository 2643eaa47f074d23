from __future__ import annotations

from tests.e2e.conftest import Copy

FAILS_THERE = """    if "_prod" in os.environ.get("DATABASE_URL", ""):
        sys.exit("cannot bear production")
    try:
"""


def test_a_release_that_fails_in_production_alone_is_put_back(changed: Copy) -> None:
    before = changed.serves("prod")
    changed.change("app/__main__.py", "    try:\n", FAILS_THERE)
    broken = changed.pipeline("--json", "run")
    assert broken.code == 5
    assert [stage["outcome"] for stage in broken.stages.values()] == ["passed", "passed", "passed", "refused"]
    assert "cannot bear production" in broken.said
    assert changed.serves("prod") == before
    facts = broken.stages["prod"]["facts"]["deployment"]
    assert facts["outcome"] == "rolled_back"
    assert before in facts["previous_digests"]
    status = changed.pipeline("--json", "status").answer["environments"][1]
    assert (status["digest"], status["drift"]) == (before, "")
