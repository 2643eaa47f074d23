"""The registry client against what registries do: log-ins, redirects, failures, lies and floods."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.registry import INDEX_TYPE, OciRegistry
from pipeline.adapters.registry_copy import ImageCopier
from pipeline.adapters.registry_evidence import DigestLocks
from pipeline.adapters.registry_http import Call, allowed
from pipeline.adapters.registry_referrers import Artifact, Referrers
from pipeline.errors import ConfigurationError, StuckError, UnavailableError, UndecidedError
from pipeline.model.digest import Digest, ImageRef
from tests.fakes.registry_images import push_image
from tests.fakes.registry_server import LOGIN, RegistryServer, Traits, registry_server

LOGGED_IN = dict(zip(("username", "password"), LOGIN, strict=True))
Start = Callable[..., RegistryServer]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda **traits: stack.enter_context(registry_server(Traits(**traits)))


def client(login: dict[str, str] | None = None, **settings: Any) -> OciRegistry:
    return OciRegistry(lambda: login, pause=lambda _: None, **settings)


class Login:
    """Gives the log-in, and counts how often it was asked to."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> dict[str, str]:
        self.times += 1
        return LOGGED_IN


def unlocked(_: str) -> AbstractContextManager[None]:
    return nullcontext()


def artifact(number: int = 0) -> Artifact:
    return Artifact("application/vnd.test", b"%d" % number)


def in_registry(server: RegistryServer, name: str = "shop") -> ImageRef:
    return ImageRef(f"{server.host}/{name}", Digest(server.push_image(name)))


@pytest.mark.parametrize("login", ["basic", "bearer"])
def test_a_registry_that_asks_for_a_log_in_gets_one(start: Start, login: str) -> None:
    server = start(login=login)
    image = in_registry(server)
    registry = client(LOGGED_IN)
    assert registry.resolve(image.repository, "build-1") == image.digest
    Referrers(registry, unlocked).attach(image, artifact())
    assert len(Referrers(registry, unlocked).listed(image)) == 1


@pytest.mark.parametrize("login", ["basic", "bearer"])
def test_a_wrong_or_missing_log_in_is_said_so(start: Start, login: str) -> None:
    image = in_registry(start(login=login))
    for wrong in (None, {"username": "robot", "password": "wrong"}):
        with pytest.raises(UnavailableError, match="401") as refused:
            client(wrong).resolve(image.repository, "build-1")
        assert "log in" in refused.value.hint


def test_the_log_in_is_asked_for_once_and_not_at_every_request(start: Start) -> None:
    asked = Login()
    image = in_registry(start(login="basic"))
    registry = OciRegistry(asked)
    for _ in range(5):
        registry.resolve(image.repository, "build-1")
    assert asked.times == 1


def test_an_open_registry_is_never_shown_a_credential(start: Start) -> None:
    image = in_registry(start())
    OciRegistry(lambda: pytest.fail("nobody asked")).resolve(image.repository, "build-1")


def test_a_token_that_has_run_out_is_renewed(start: Start) -> None:
    server = start(login="bearer", token_uses=3)
    image = in_registry(server)
    registry = client(LOGGED_IN)
    for _ in range(10):
        assert registry.resolve(image.repository, "build-1") == image.digest
    assert 3 < len(server.state.tokens) < 6


def test_a_basic_log_in_that_has_run_out_is_renewed_though_the_registry_says_forbidden(start: Start) -> None:
    server = start(login="basic")
    image = in_registry(server)
    asked = Login()
    registry = OciRegistry(asked)
    registry.resolve(image.repository, "build-1")
    server.traits.fail = [("GET", "manifests", 403)]
    assert registry.resolve(image.repository, "build-1") == image.digest
    assert asked.times == 2


@pytest.mark.parametrize("login", ["", "basic", "bearer"])
def test_what_is_forbidden_stays_so(start: Start, login: str) -> None:
    server = start(login=login)
    image = in_registry(server)
    registry = client(LOGGED_IN)
    registry.resolve(image.repository, "build-1")
    server.traits.fail = [("GET", "manifests", 403)] * 2
    with pytest.raises(UnavailableError, match="403") as refused:
        registry.resolve(image.repository, "build-1")
    assert "ask for the right" in refused.value.hint


def test_the_credentials_of_one_registry_are_not_shown_to_another(start: Start) -> None:
    image = in_registry(start(login="basic"))
    with pytest.raises(UnavailableError, match="401"):
        client(LOGGED_IN, host="registry.example.test").resolve(image.repository, "build-1")


def test_a_blob_elsewhere_is_fetched_without_the_credential(start: Start) -> None:
    server = start(login="basic", redirect_blobs=True)
    image = in_registry(server)
    assert client(LOGGED_IN).image_facts(image).platform == "linux/amd64"
    assert len(server.state.elsewhere_headers) == 1
    assert not any(name.lower() == "authorization" for name in server.state.elsewhere_headers[0])


def test_a_credential_in_a_netrc_file_is_not_sent_unasked(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("default login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    server = start(login="basic", redirect_blobs=True)
    assert client(LOGGED_IN).image_facts(in_registry(server)).size == 5


def test_a_proxy_is_not_asked_for_what_is_on_this_machine(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = in_registry(start())
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert client().resolve(image.repository, "build-1") == image.digest


@pytest.mark.parametrize(
    "url", ["http://example.test/x", "ftp://example.test/x", "http://127.0.0.1:80/latest"]
)
def test_no_registry_leads_us_away_from_https(url: str) -> None:
    with pytest.raises(UnavailableError, match="not HTTPS"):
        allowed(url, "registry.example.test")


@pytest.mark.parametrize("host", ["registry.example.test", "127.example.test:80", "localhost.example.test"])
def test_a_host_that_is_not_this_machine_is_spoken_to_in_https_only(host: str) -> None:
    assert Call("GET", f"{host}/team/shop", "manifests/v1").url == f"https://{host}/v2/team/shop/manifests/v1"


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 0])
def test_what_passes_by_itself_is_tried_again(start: Start, status: int) -> None:
    server = start(fail=[("GET", "manifests", status)] * 3)
    image = in_registry(server)
    assert client().resolve(image.repository, "build-1") == image.digest
    assert len(server.state.log) == 4


def test_what_does_not_pass_is_given_up_after_four_attempts(start: Start) -> None:
    server = start(fail=[("GET", "manifests", 503)] * 10)
    with pytest.raises(UnavailableError, match="503"):
        client().resolve(in_registry(server).repository, "build-1")
    assert len(server.state.log) == 4


def test_the_pauses_between_attempts_grow(start: Start) -> None:
    pauses: list[float] = []
    server = start(fail=[("GET", "manifests", 503)] * 10)
    with pytest.raises(UnavailableError):
        OciRegistry(lambda: None, pause=pauses.append).resolve(in_registry(server).repository, "build-1")
    assert pauses == sorted(pauses)
    assert len(pauses) == 3
    assert 0 < pauses[0] < pauses[-1]


def test_what_changes_something_at_every_call_is_not_repeated(start: Start) -> None:
    server = start(fail=[("POST", "uploads", 503)])
    with pytest.raises(UnavailableError, match="503"):
        client().put_blob(f"{server.host}/shop", b"content")
    assert [method for method, _ in server.state.log].count("POST") == 1


def test_a_registry_that_is_not_there_is_named(start: Start) -> None:
    server = start()
    server.close()
    with pytest.raises(UnavailableError, match=server.host) as gone:
        client().resolve(f"{server.host}/shop", "v1")
    assert gone.value.hint


def test_a_manifest_or_blob_with_other_bytes_is_not_taken(start: Start) -> None:
    server = start()
    image = in_registry(server)
    kind, content = server.state.manifests["shop", str(image.digest)]
    config = Digest(json.loads(content)["config"]["digest"])
    server.state.blobs[str(config)] += b" "
    with pytest.raises(UnavailableError, match="other bytes"):
        client().image_facts(image)
    server.state.manifests["shop", str(image.digest)] = (kind, content + b" ")
    with pytest.raises(UnavailableError, match="other bytes"):
        client().resolve(image.repository, str(image.digest))


def test_a_blob_with_other_bytes_is_not_copied(start: Start) -> None:
    source, target = start(), start()
    image = in_registry(source)
    layer = json.loads(source.state.manifests["shop", str(image.digest)][1])["layers"][0]["digest"]
    source.state.blobs[layer] = b"HELLO"
    with pytest.raises(UnavailableError, match="other bytes"):
        ImageCopier(client(), client(), unlocked).copy(image, f"{target.host}/shop")
    assert layer not in target.state.blobs
    assert not target.state.manifests


def test_a_second_copy_sends_nothing(start: Start) -> None:
    source, target = start(login="bearer"), start(login="basic")
    image = in_registry(source)
    registry = client(LOGGED_IN)
    for number in range(4):
        Referrers(registry, unlocked).attach(image, artifact(number))
    copier = ImageCopier(registry, client(LOGGED_IN), unlocked)
    first = copier.copy(image, f"{target.host}/shop", tag="promoted")
    received = target.state.received
    assert first.sent > 0
    assert copier.copy(image, f"{target.host}/shop", tag="promoted").sent == 0
    assert target.state.received == received
    assert target.referrers("shop", str(image.digest)) == source.referrers("shop", str(image.digest))


@pytest.mark.parametrize("answer", ["404", "xml", "400", "405", "html"])
def test_every_way_to_have_no_referrers_api_leads_to_the_kept_list(start: Start, answer: str) -> None:
    server = start(referrers=answer)
    image = in_registry(server)
    referrers = Referrers(client(), unlocked)
    digests = [referrers.attach(image, artifact(number)) for number in range(3)]
    assert list(referrers.listed(image)) == digests
    tag = f"sha256-{image.digest.hex}"
    kept = json.loads(server.state.manifests["shop", server.state.tags["shop", tag]][1])
    assert kept["mediaType"] == INDEX_TYPE
    assert [entry["digest"] for entry in kept["manifests"]] == [str(digest) for digest in digests]
    assert {entry["artifactType"] for entry in kept["manifests"]} == {"application/vnd.test"}


def test_where_there_is_an_api_no_tag_is_written(start: Start) -> None:
    server = start(immutable=True)
    image = in_registry(server)
    referrers = Referrers(client(), unlocked)
    for number in range(3):
        referrers.attach(image, artifact(number))
    assert set(server.state.tags) == {("shop", "build-1")}
    assert len(referrers.listed(image)) == 3


@pytest.mark.parametrize("status", [401, 403, 500])
def test_no_answer_about_referrers_is_not_taken_for_none(start: Start, status: int) -> None:
    server = start(fail=[("GET", "referrers", status)] * 4)
    with pytest.raises(UnavailableError, match=str(status)):
        Referrers(client(), unlocked).listed(in_registry(server))


def test_a_page_that_fails_is_not_taken_for_the_last(start: Start) -> None:
    server = start(page=2)
    image = in_registry(server)
    referrers = Referrers(client(), unlocked)
    for number in range(5):
        referrers.attach(image, artifact(number))
    server.traits.fail = [("GET", "from=2", 404)]
    with pytest.raises(UnavailableError, match="404"):
        referrers.listed(image)
    assert len(referrers.listed(image)) == 5


def test_a_list_that_lags_behind_is_asked_again(start: Start) -> None:
    image = in_registry(start(lag=2))
    pauses: list[float] = []
    referrers = Referrers(client(), unlocked, pause=pauses.append)
    digest = referrers.attach(image, artifact())
    assert referrers.listed(image) == (digest,)
    assert len(pauses) == 3


def test_what_a_registry_takes_and_never_lists_is_not_attached(start: Start) -> None:
    image = in_registry(start(lag=100))
    with pytest.raises(UnavailableError, match="does not list it"):
        Referrers(client(), unlocked, pause=lambda _: None).attach(image, artifact())


def test_immutable_tags_are_explained(start: Start) -> None:
    image = in_registry(start(referrers="404", immutable=True))
    referrers = Referrers(client(), unlocked)
    referrers.attach(image, artifact(0))
    with pytest.raises(ConfigurationError, match="TAG_INVALID") as refused:
        referrers.attach(image, artifact(1))
    assert "exclude `sha256-*` from tag immutability" in refused.value.hint
    assert len(referrers.listed(image)) == 1


def test_a_tag_in_use_cannot_be_taken_where_tags_are_immutable(start: Start) -> None:
    source, target = start(), start(immutable=True)
    image = in_registry(source)
    target.push_image(text="another", tag="promoted")
    with pytest.raises(ConfigurationError, match="promoted") as refused:
        ImageCopier(client(), client(), unlocked).copy(image, f"{target.host}/shop", tag="promoted")
    assert "choose a tag" in refused.value.hint


def flood(server: RegistryServer, image: ImageRef, count: int) -> None:
    kind = "application/vnd.oci.image.manifest.v1+json"
    subject = {"mediaType": kind, "digest": str(image.digest), "size": 1}
    entries = []
    for number in range(count):
        manifest = {
            "schemaVersion": 2,
            "mediaType": kind,
            "layers": [],
            "subject": subject,
            "annotations": {"n": str(number)},
        }
        entries.append({"mediaType": kind, "digest": server.push_manifest("shop", manifest), "size": 1})
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries}
    server.push_manifest("shop", index, f"sha256-{image.digest.hex}")


@pytest.mark.parametrize("referrers", ["api", "404"])
def test_ten_thousand_junk_referrers_cost_little_and_are_said(start: Start, referrers: str) -> None:
    server = start(referrers=referrers, page=100)
    image = in_registry(server)
    flood(server, image, 10_000)
    with pytest.raises(UndecidedError, match="more than 200") as refused:
        Referrers(client(), unlocked).listed(image)
    assert "remove" in refused.value.hint
    assert len(server.state.log) <= 3


def test_a_full_list_is_not_written_beyond_what_is_read(start: Start) -> None:
    server = start(referrers="404")
    image = in_registry(server)
    flood(server, image, 200)
    referrers = Referrers(client(), unlocked)
    assert len(referrers.listed(image)) == 200
    with pytest.raises(StuckError, match="200 referrers"):
        referrers.attach(image, artifact())
    assert len(referrers.listed(image)) == 200


def test_something_else_under_the_lists_tag_is_neither_read_nor_overwritten(start: Start) -> None:
    server = start(referrers="404")
    image = in_registry(server)
    tag = f"sha256-{image.digest.hex}"
    server.state.tags["shop", tag] = str(image.digest)
    with pytest.raises(StuckError, match="no index"):
        Referrers(client(), unlocked).listed(image)
    with pytest.raises(StuckError, match=tag):
        Referrers(client(), unlocked).attach(image, artifact())
    assert server.state.tags["shop", tag] == str(image.digest)


def test_what_stands_in_the_list_already_stays_as_it_is(start: Start) -> None:
    server = start(referrers="404")
    image = in_registry(server)
    flood(server, image, 1)
    tag = f"sha256-{image.digest.hex}"
    before = json.loads(server.state.manifests["shop", server.state.tags["shop", tag]][1])["manifests"]
    Referrers(client(), unlocked).attach(image, artifact())
    after = json.loads(server.state.manifests["shop", server.state.tags["shop", tag]][1])["manifests"]
    assert after[:1] == before
    assert len(after) == 2


def test_writers_at_once_lose_nothing_under_the_lock(start: Start, tmp_path: Path) -> None:
    server = start(referrers="404")
    image = in_registry(server)
    attached: list[Digest] = []

    def write(writer: int) -> None:
        referrers = Referrers(client(), DigestLocks(tmp_path))
        attached.extend([referrers.attach(image, artifact(writer * 5 + number)) for number in range(5)])

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(attached) == 40
    assert set(Referrers(client(), unlocked).listed(image)) == set(attached)


def test_a_writer_that_knows_of_no_lock_does_not_make_us_lose_our_entry(start: Start) -> None:
    """Between our write and our look, the list is put back to what another writer had read before."""
    server = start(referrers="404")
    image = in_registry(server)
    flood(server, image, 1)
    tag = f"sha256-{image.digest.hex}"
    stale = server.state.tags["shop", tag]
    looks: list[float] = []

    def interfere(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            server.state.tags["shop", tag] = stale

    referrers = Referrers(client(), unlocked, pause=interfere)
    digest = referrers.attach(image, artifact())
    assert digest in referrers.listed(image)
    assert len(looks) == 3


def test_images_pushed_through_the_client_are_found(start: Start) -> None:
    server = start(login="bearer")
    image = push_image(client(LOGGED_IN), f"{server.host}/shop", "text", tag="v1")
    assert client(LOGGED_IN).resolve(image.repository, "v1") == image.digest
