"""Orders in a real table: what a task asks with its ticket, and is answered."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Mapping
from typing import Any

import pytest

from pipeline.adapters.aws import Access, Aws
from pipeline.adapters.load_orders import Orders, table_orders
from tests.bare_emulator import client
from tests.tables import make_table


@pytest.fixture
def orders(port: int) -> Orders:
    aws = Aws(Access("us-east-1", endpoint=f"http://127.0.0.1:{port}", key="test", secret="test"))
    table = make_table(client("dynamodb", port))
    return table_orders(aws, lambda: table, "staging")


def ask(ticket: Mapping[str, Any]) -> Any:
    request = urllib.request.Request(ticket["url"], ticket["body"].encode(), dict(ticket["headers"]))
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def test_a_ticket_reads_the_newest_order_and_nothing_before_there_is_one(orders: Orders) -> None:
    ticket = json.loads(json.dumps(orders.ticket()))
    assert "Item" not in ask(ticket)
    orders.give("first/1.5")
    assert ask(ticket)["Item"]["order"] == {"S": "first/1.5"}
    orders.give("second/2.5")
    assert ask(ticket)["Item"]["order"] == {"S": "second/2.5"}


def test_a_ticket_is_signed_for_this_one_question_and_holds_no_secret(orders: Orders) -> None:
    ticket = orders.ticket()
    authorization = ticket["headers"]["Authorization"]
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=test/")
    assert "x-amz-target" in authorization
    assert json.loads(ticket["body"])["Key"] == {"pk": {"S": "load#staging"}, "sk": {"S": "order"}}


def test_the_tables_own_clock_is_at_most_a_second_ahead(orders: Orders) -> None:
    before = time.time()
    told = orders.now()
    assert before - 0.01 <= told <= time.time() + 1.0
