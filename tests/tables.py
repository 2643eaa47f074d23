"""Tables as the shared template makes them, each new, in the emulator's DynamoDB."""

from __future__ import annotations

import uuid
from typing import Any

from pipeline.adapters.table import Table


def make_table(client: Any) -> Table:
    """An empty table of its own."""
    name = f"onedigest-{uuid.uuid4().hex[:12]}"
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
    )
    return Table(client, name, "shop")
