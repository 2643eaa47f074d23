"""Acting as a role: STS is asked by the source's credential, again before the role's ends, and refusals are told."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from pipeline.adapters.assumed_role import Role
from pipeline.adapters.aws import Access, Aws
from pipeline.errors import DeniedError

ROLE = "arn:aws:iam::111122223333:role/deploy"
GIVEN = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ROLEKEY{number:013}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>
<Expiration>{until}</Expiration></Credentials><AssumedRoleUser><Arn>arn:aws:sts::111122223333:assumed-role/deploy/onedigest
</Arn><AssumedRoleId>A:onedigest</AssumedRoleId></AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>"""
WHO = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:sts::111122223333:assumed-role/deploy/onedigest</Arn><UserId>A</UserId><Account>111122223333</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"""
DENIED = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>AccessDenied</Code><Message>not authorized to perform sts:AssumeRole</Message></Error></ErrorResponse>"""


class Sts(ThreadingHTTPServer):
    """Gives credentials that last `lasts` seconds, and keeps who asked for what."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.lasts = 3600.0
        self.denies = False
        self.assumed: list[dict[str, str]] = []
        self.keys: list[tuple[str, str]] = []

    @property
    def access(self) -> Access:
        url = f"http://127.0.0.1:{self.server_address[1]}"
        return Access("eu-west-1", endpoint=url, key="SOURCE", secret="x", role=Role(ROLE, "shop"))


class Answers(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        sts = self.server
        assert isinstance(sts, Sts)
        body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        asked = {key: values[0] for key, values in body.items()}
        found = re.search(r"Credential=(\w+)/", self.headers["Authorization"])
        assert found
        sts.keys.append((asked["Action"], found[1]))
        status, answer = 200, WHO
        if asked["Action"] == "AssumeRole":
            sts.assumed.append(asked)
            until = (datetime.now(UTC) + timedelta(seconds=sts.lasts)).isoformat()
            status, answer = (
                (403, DENIED) if sts.denies else (200, GIVEN.format(number=len(sts.assumed), until=until))
            )
        self.send_response(status)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def sts() -> Iterator[Sts]:
    with Sts() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


def test_calls_are_made_as_the_role_which_the_source_assumes_once(sts: Sts) -> None:
    aws = Aws(sts.access)
    assert aws.who().startswith("arn:aws:sts::111122223333:assumed-role/deploy")
    aws.who()
    (asked,) = sts.assumed
    assert (asked["RoleArn"], asked["ExternalId"], asked["RoleSessionName"]) == (ROLE, "shop", "onedigest")
    role = "ROLEKEY0000000000001"
    assert sts.keys == [("AssumeRole", "SOURCE"), ("GetCallerIdentity", role), ("GetCallerIdentity", role)]


def test_it_is_assumed_again_before_what_there_is_runs_out(sts: Sts) -> None:
    sts.lasts = 300.0
    aws = Aws(sts.access)
    aws.who()
    aws.who()
    assert len(sts.assumed) == 2
    assert sts.keys[-1] == ("GetCallerIdentity", "ROLEKEY0000000000002")


def test_nothing_is_asked_before_it_is_needed(sts: Sts) -> None:
    Aws(sts.access).client("ecs")
    assert sts.assumed == []


def test_a_role_that_may_not_be_assumed_says_which_and_what_would_let_it_be(sts: Sts) -> None:
    sts.denies = True
    with pytest.raises(DeniedError, match=f"sts:AssumeRole {ROLE}: not authorized") as caught:
        Aws(sts.access).who()
    assert "external id 'shop'" in caught.value.hint


def test_what_the_credential_lasts_is_its_sources(sts: Sts) -> None:
    credential = Aws(sts.access).credential()
    assert (credential.method, credential.expires, credential.temporary) == ("explicit", None, False)
