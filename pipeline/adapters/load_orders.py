"""How tasks that load are told when to begin: they ask one place again and again, which one of us writes to.

A task gets a ticket with its start: a request that reads one item of the app's table, signed beforehand. So it needs
neither a credential nor a permission of its own, and can read nothing else. AWS takes a signed request for five
minutes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from pipeline.adapters.aws import Aws
from pipeline.adapters.aws_errors import aws_errors
from pipeline.adapters.table import Table
from pipeline.errors import BusyError, UnavailableError

Ticket = Mapping[str, Any]
"""The request as JSON values: `url`, and where it is a POST `headers` and `body`.

It is answered by `{"Item": {"order": {"S": TEXT}}}`, and by anything else while there is no order.
"""


@dataclass(frozen=True, slots=True)
class Orders:
    """A place for one order at a time. `now` is its own clock, in seconds of the epoch and at most one second ahead.

    All raise UnavailableError when it does not answer.
    """

    ticket: Callable[[], Ticket]
    now: Callable[[], float]
    give: Callable[[str], None]


def table_orders(aws: Aws, table: Callable[[], Table], environment: str) -> Orders:
    """Orders in the app's table: the item `load#<environment>`, replaced by each load."""
    pk, sk = f"load#{environment}", "order"

    def ticket() -> Ticket:
        key = {"pk": {"S": pk}, "sk": {"S": sk}}
        body = {"TableName": table().name, "Key": key, "ConsistentRead": True}
        return aws.signed("dynamodb", "DynamoDB_20120810.GetItem", json.dumps(body))

    def now() -> float:
        at = table()
        with aws_errors(f"GetItem on table {at.name}"):
            answer = at.client.get_item(TableName=at.name, Key={"pk": {"S": pk}, "sk": {"S": sk}})
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
        try:
            return parsedate_to_datetime(date).timestamp() + 1.0
        except ValueError as error:
            raise UnavailableError(
                f"DynamoDB does not tell its time: {date!r}",
                hint="see what stands between us and AWS (a proxy?)",
            ) from error

    def give(order: str) -> None:
        at = table()
        item = {"pk": pk, "sk": sk, "order": order}
        if not at.put(item, at.get(pk, sk)) and at.get(pk, sk) != item:
            raise BusyError(
                f"somebody else gave an order to the load of {environment} at the same moment",
                hint="see with `python -m pipeline status` who is at it, then run the stage again",
            )

    return Orders(ticket, now, give)
