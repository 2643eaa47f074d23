"""The one DynamoDB table of an app: leases and the deployment log. Written by condition, read consistently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from pipeline.adapters.aws_errors import aws_errors
from pipeline.errors import ConfigurationError

Value = str | int
Item = Mapping[str, Value]
"""An item, its keys `pk` and `sk` with it."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with the text keys `pk` and `sk` (pipeline/templates/shared.yaml). `client` is boto3's of DynamoDB.

    Every method raises UnavailableError when the API cannot be reached, and ConfigurationError when there is no such
    table (with the command that makes it) or it may not be used.
    """

    client: Any
    name: str
    app: str

    def get(self, pk: str, sk: str) -> Item | None:
        """The item as every write that was answered has left it; None when there is none."""
        with self._errors("GetItem"):
            answer = self.client.get_item(
                TableName=self.name, Key=_encoded({"pk": pk, "sk": sk}), ConsistentRead=True
            )
        found = answer.get("Item")
        return _decoded(found) if found else None

    def put(self, item: Item, expected: Item | None) -> bool:
        """Writes the whole item where the one in its place has the `expected` values, or there is none (None).

        False: that was not so, and nothing was written. After a lost answer the client asks again, so that False may
        also mean that the first attempt had arrived: whoever must know reads what is there now.
        """
        condition, names, values = _condition(expected)
        told: dict[str, Any] = {"ExpressionAttributeNames": names, "ExpressionAttributeValues": values}
        try:
            with self._errors("PutItem"):
                self.client.put_item(
                    TableName=self.name,
                    Item=_encoded(item),
                    ConditionExpression=condition,
                    **{key: value for key, value in told.items() if value},
                )
        except _ConditionFailed:
            return False
        return True

    def newest(self, pk: str, limit: int) -> list[Item]:
        """At most `limit` items of `pk`, the greatest `sk` first, paged as far as needed."""
        found: list[Item] = []
        after: dict[str, Any] = {}
        while len(found) < limit:
            with self._errors("Query"):
                answer = self.client.query(
                    TableName=self.name,
                    KeyConditionExpression="pk = :pk",
                    ExpressionAttributeValues=_encoded({":pk": pk}),
                    ScanIndexForward=False,
                    ConsistentRead=True,
                    Limit=limit - len(found),
                    **after,
                )
            found += map(_decoded, answer.get("Items", ()))
            if not answer.get("LastEvaluatedKey"):
                break
            after = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
        return found

    @contextmanager
    def _errors(self, call: str) -> Iterator[None]:
        with aws_errors(f"{call} on table {self.name}"):
            try:
                yield
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code", "")
                if code == "ConditionalCheckFailedException":
                    raise _ConditionFailed from error
                if code == "ResourceNotFoundException":
                    raise ConfigurationError(
                        f"there is no DynamoDB table {self.name} for leases and the deployment log",
                        hint=f"make it: {self.creation}",
                    ) from error
                raise

    @property
    def creation(self) -> str:
        """The command that makes the table."""
        meta = self.client.meta
        own = "" if "amazonaws.com" in meta.endpoint_url else f" --endpoint-url {meta.endpoint_url}"
        return (
            f"aws dynamodb create-table --table-name {self.name} --region {meta.region_name}{own} "
            "--billing-mode PAY_PER_REQUEST "
            "--attribute-definitions AttributeName=pk,AttributeType=S AttributeName=sk,AttributeType=S "
            "--key-schema AttributeName=pk,KeyType=HASH AttributeName=sk,KeyType=RANGE "
            f"--tags Key=onedigest:app,Value={self.app}"
        )


class _ConditionFailed(Exception):
    """What was to be replaced is not what was expected."""


def _condition(expected: Item | None) -> tuple[str, dict[str, str], dict[str, Any]]:
    if expected is None:
        return "attribute_not_exists(pk)", {}, {}
    names = {f"#{number}": key for number, key in enumerate(expected)}
    values = _encoded({f":{number}": value for number, value in enumerate(expected.values())})
    return " AND ".join(f"{name} = :{name[1:]}" for name in names), names, values


def _encoded(item: Item) -> dict[str, dict[str, str]]:
    return {key: {"N": str(value)} if isinstance(value, int) else {"S": value} for key, value in item.items()}


def _decoded(item: Mapping[str, Mapping[str, str]]) -> Item:
    """Texts and numbers; other types are not ours and are left out."""
    found = {key: value.get("S") if "S" in value else value.get("N") for key, value in item.items()}
    return {
        key: int(value) if "N" in item[key] else value for key, value in found.items() if value is not None
    }
