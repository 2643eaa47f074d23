"""Services that name each other by `{url.NAME}`."""

from __future__ import annotations

from pipeline.model.calls import named_in, reached_from, with_addresses

CALLS = {
    "web": frozenset({"api"}),
    "api": frozenset({"stock", "web"}),
    "stock": frozenset({"elsewhere"}),
    "mail": frozenset({"stock"}),
}


def test_a_word_gives_way_to_the_services_address_and_nothing_else_changes() -> None:
    text = "{url.api}/v1,{url.stock-2},{digest},{url}"
    assert (
        with_addresses(text, lambda name: f"http://{name}") == "http://api/v1,http://stock-2,{digest},{url}"
    )


def test_the_services_that_values_name() -> None:
    assert named_in(["{url.api}/v1 {url.mail}", "http://api", "{url.api}"]) == {"api", "mail"}


def test_what_is_reached_goes_on_from_service_to_service_and_round_in_circles() -> None:
    assert reached_from("web", CALLS) == {"web", "api", "stock"}
    assert reached_from("mail", CALLS) == {"mail", "stock"}
    assert reached_from("elsewhere", CALLS) == frozenset()
