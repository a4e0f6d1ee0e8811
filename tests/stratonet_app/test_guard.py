"""Who may ask: the browser that was opened, from a page of the app itself."""

import re

import pytest

from stratonet_app.guard import MOST_BYTES


def test_a_ticket_is_good_for_one_use(stranger, keys, addresses):
    address = keys.address
    opened = stranger.get(address, follow_redirects=False)
    location = opened.headers["location"]
    assert (opened.status_code, location) == (303, f"{keys.home}/")
    cookie = opened.headers["set-cookie"]
    assert re.search("HttpOnly", cookie) and re.search("(?i)samesite=strict", cookie)
    # Another server of this machine gets no cookie: it is of addresses none can guess.
    assert f"Path={keys.home};" in cookie and len(keys.home) > 40
    assert stranger.get("/app.css").status_code == 403
    stranger.cookies.clear()
    assert stranger.get(f"{keys.home}/").status_code == 403
    assert stranger.get(address).status_code == 403
    # Who has the terminal gets another one.
    assert addresses == [keys.address] != [address]
    assert stranger.get(addresses[0]).status_code == 200


def test_each_start_has_keys_of_its_own(keys):
    from stratonet_app.guard import Keys

    other = Keys(8766, print)
    assert other.address.partition("=")[2] != keys.address.partition("=")[2]
    # Cookies do not know ports: two apps do not overwrite each other's.
    assert other.cookie != keys.cookie
    assert len(keys.address.partition("=")[2]) >= 32


@pytest.mark.parametrize(
    "address", ["/", "/app.css", "/app.js", "/draft/x/images", "/run/x", "/report-x/a"]
)
def test_without_a_key_nothing_is_told(stranger, address):
    answer = stranger.get(address)
    assert answer.status_code == 403 and "terminal" in answer.text


@pytest.mark.parametrize("ticket", ["", "x", "%00", "é", "a&ticket=b"])
def test_wrong_tickets(stranger, ticket):
    assert stranger.get(f"/?ticket={ticket}").status_code == 403


def test_a_ticket_opens_the_first_page_alone(stranger, keys):
    ticket = keys.address.partition("?")[2]
    assert stranger.get(f"{keys.home}/?{ticket}").status_code == 403
    assert stranger.get(f"/app.css?{ticket}").status_code == 403
    origin = {"Origin": keys.origin}
    assert stranger.post(f"/?{ticket}", headers=origin).status_code == 403


@pytest.mark.parametrize("cookie", ["stratonet-8765=x", "stratonet-8765", "=;;", "é=1"])
def test_wrong_cookies(stranger, cookie):
    headers = {"Cookie": cookie.encode("latin-1")}
    assert stranger.get("/", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "localhost:8765",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.1.evil.example:8765",
        "[::1]:8765",
        "",
    ],
)
def test_another_name_for_this_machine_is_refused(client, host):
    """A page of another name may be made to lead here: DNS rebinding."""
    assert client.get("/", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1:8765"],
)
def test_requests_of_other_pages_are_refused(client, origin, tmp_path):
    headers = {"Origin": origin}
    assert client.get("/", headers=headers).status_code == 403
    form = {"path": str(tmp_path)}
    assert client.post("/choose", data=form, headers=headers).status_code == 403


def test_a_form_must_say_where_it_is_from(client, desk):
    del client.headers["Origin"]
    assert client.get("/").status_code == 200
    assert client.post("/choose", data={"path": "/"}).status_code == 403
    assert not desk.drafts


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_other_pages_load_is_refused(client, site):
    """Same-site is another server of this machine, on another port."""
    assert client.get("/", headers={"Sec-Fetch-Site": site}).status_code == 403


def test_large_forms_are_refused(client):
    form = {"path": "x" * MOST_BYTES}
    assert client.post("/choose", data=form).status_code == 413
    endless = client.post("/choose", content=iter([b"path=x"]))
    assert endless.status_code == 411
    odd = client.post("/choose", headers={"Content-Length": "-1"})
    assert odd.status_code == 400


def test_browsers_are_told_to_load_nothing_else(client):
    for address in ("/", "/app.js", "/nothing"):
        headers = client.get(address).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        # With no-referrer browsers send no origin with forms.
        assert headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods(client, method):
    assert client.request(method, "/choose").status_code in (403, 405)
