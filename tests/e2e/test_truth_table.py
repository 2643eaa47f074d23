"""What serves, what is said, what is recorded, and with which exit code, whatever goes wrong with a promotion."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.contenders import built, contest
from tests.chaos.project import Mayhem, open_mayhem
from tests.chaos.rows import Row, rows, run

QUICK = [row for row in rows(throttled=5.0, silent=4.0) if row.quick]


@pytest.fixture(scope="module")
def mayhem(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mayhem]:
    with open_mayhem(tmp_path_factory.mktemp("mayhem") / "project") as made:
        yield made


@pytest.mark.parametrize("row", QUICK, ids=lambda row: row.name.replace(" ", "-"))
def test_whatever_goes_wrong_the_truth_is_told(mayhem: Mayhem, row: Row) -> None:
    assert run(row, mayhem).wrong() == []


def test_promotions_at_the_same_time_take_turns(mayhem: Mayhem) -> None:
    found = contest(mayhem, built(mayhem, 4))
    assert found.wrong == ()
