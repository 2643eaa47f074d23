"""The HTML pages, clicked through as a person would."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
import requests


class Page(HTMLParser):
    """Links, form fields and text of a page."""

    def __init__(self, answer: requests.Response) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fields: set[str] = set()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(answer.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what can be clicked or filled in."""
        attributes = dict(attrs)
        self.tags.add(tag)
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"] or "")
        if tag in ("input", "select") and attributes.get("name"):
            self.fields.add(attributes["name"] or "")

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.text += data


class Browser:
    """Opens pages and sends forms."""

    def __init__(self, base_url: str, session: requests.Session) -> None:
        self._base_url = base_url
        self._session = session
        self.path = ""

    def open(self, path: str, status: int = 200, form: dict[str, str] | None = None) -> Page:
        """The page at `path`, after redirects; with `form`, sent there."""
        method = "GET" if form is None else "POST"
        answer = self._session.request(method, f"{self._base_url}{path}", data=form, timeout=10)
        assert answer.status_code == status, answer.text
        assert answer.headers["Content-Type"].startswith("text/html")
        self.path = answer.url.removeprefix(self._base_url)
        return Page(answer)


@pytest.fixture
def browser(base_url: str, session: requests.Session) -> Browser:
    return Browser(base_url, session)


def test_every_link_from_the_first_page_leads_somewhere(browser: Browser) -> None:
    seen: set[str] = set()
    waiting = ["/", "/owners/6"]
    while waiting and len(seen) < 40:
        path = waiting.pop()
        seen.add(path)
        waiting += [link for link in browser.open(path).links if link not in seen and link not in waiting]
    assert {
        "/",
        "/owners/find",
        "/owners",
        "/owners/new",
        "/vets",
        "/owners/6/edit",
        "/owners/6/pets/new",
    } <= seen


def test_pages_load_nothing_from_elsewhere(base_url: str, session: requests.Session) -> None:
    page = session.get(base_url, timeout=5)
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page.text)
    style = session.get(f"{base_url}/static/style.css", timeout=5)
    assert style.status_code == 200
    assert "url(" not in style.text
    assert "@import" not in style.text
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]


def test_a_person_registers_an_owner_with_a_pet_and_a_visit(
    browser: Browser, new_owner: dict[str, str]
) -> None:
    assert browser.open("/owners/new").fields == set(new_owner)
    browser.open("/owners/new", form=new_owner)
    owner = browser.path
    assert re.fullmatch(r"/owners/\d+", owner)
    browser.open(f"{owner}/pets/new", form={"name": "Kiki", "birth_date": "2020-02-02", "type_id": "5"})
    assert browser.path == owner
    (visits,) = [link for link in browser.open(owner).links if link.endswith("/visits/new")]
    page = browser.open(visits, form={"date": "2024-03-03", "description": "wing clipped"})
    assert browser.path == owner
    for text in (new_owner["last_name"], "Kiki", "bird", "2020-02-02", "2024-03-03", "wing clipped"):
        assert text in page.text


def test_a_search_with_one_hit_opens_the_owner(browser: Browser, owner: Any) -> None:
    browser.open(f"/owners?last_name={owner['last_name']}")
    assert browser.path == f"/owners/{owner['id']}"


def test_a_search_with_several_hits_lists_them(browser: Browser) -> None:
    text = browser.open("/owners?last_name=davis").text
    assert "Betty Davis" in text
    assert "Harold Davis" in text
    assert "Franklin" not in text


def test_a_search_without_a_hit_says_so(browser: Browser, new_owner: dict[str, str]) -> None:
    assert "No owner of that name" in browser.open(f"/owners?last_name={new_owner['last_name']}").text


def test_an_invalid_form_comes_back_with_the_reason_and_what_was_typed(
    base_url: str, session: requests.Session, new_owner: dict[str, str]
) -> None:
    form = {**new_owner, "telephone": "call me"}
    answer = session.post(f"{base_url}/owners/new", data=form, timeout=5)
    assert answer.status_code == 422
    assert 'id="telephone-error"' in answer.text
    assert f'value="{new_owner["last_name"]}"' in answer.text


def test_an_edited_owner_shows_the_change(browser: Browser, owner: Any, new_owner: dict[str, str]) -> None:
    page = browser.open(f"/owners/{owner['id']}/edit", form={**new_owner, "city": "Oslo"})
    assert "Oslo" in page.text


def test_markup_in_a_record_is_shown_as_text(browser: Browser, new_owner: dict[str, str]) -> None:
    nasty = "<script>alert('x')</script>"
    page = browser.open("/owners/new", form={**new_owner, "address": nasty})
    assert nasty in page.text
    assert "script" not in page.tags
    again = browser.open("/owners/new", 422, form={**new_owner, "city": '"><script>', "telephone": "x"})
    assert "script" not in again.tags


@pytest.mark.parametrize(
    "path", ["/owners/999999999", "/owners/none", "/nowhere", "/owners/1/pets/999999999/visits/new"]
)
def test_a_page_that_is_not_there_is_a_readable_404(browser: Browser, path: str) -> None:
    page = browser.open(path, 404)
    assert "Not Found" in page.text
    assert "/" in page.links


def test_the_vets_are_listed(browser: Browser) -> None:
    text = browser.open("/vets").text
    assert "Linda Douglas" in text
    assert "dentistry, surgery" in text
