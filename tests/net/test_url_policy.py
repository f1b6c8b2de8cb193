"""The rules for URLs from outside."""

from __future__ import annotations

import pytest

from batchgen.core.api_base import parse_base_url
from batchgen.net.url_policy import Forbidden, UrlPolicy, is_private, without_query

PUBLIC = UrlPolicy.for_outputs(
    parse_base_url("https://model-api.runcomfy.net/v1"), ("CDN.me", "*.own.org")
)
LOCAL = UrlPolicy.for_outputs(parse_base_url("http://127.0.0.1:8000/v1"))
ANY_PUBLIC_HOST = UrlPolicy()


@pytest.mark.parametrize(
    "url",
    [
        "https://playgrounds-storage-public.runcomfy.net/a%3D/b%3D/output/1_output.mp4",
        "https://x.runcomfy.com/a.png",
        "https://model-api.runcomfy.net/files/a",
        "https://cdn.me/a",
        "https://a.b.own.org/a",
    ],
)
def test_allowed(url: str) -> None:
    """The API's own hosts and those that the user named; byte for byte as given."""
    assert str(PUBLIC.check(url)) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://files.runcomfy.net/a.png",
        "https://evil.example/a.png",
        "https://runcomfy.net.evil.example/a.png",
        "https://evilruncomfy.net/a.png",
        "https://user:pw@files.runcomfy.net/a.png",
        "https://127.0.0.1\\@files.runcomfy.net/x",
        "https://10.0.0.1/a.png",
        "https://[::1]/a.png",
        "https://own.org.evil.example/a",
        "file:///etc/passwd",
        "ftp://files.runcomfy.net/a",
        "https://files.runcomfy.net/a b",
        "https://files.runcomfy.net/a\nHost: x",
        "https://",
        "",
    ],
)
def test_forbidden(url: str) -> None:
    """Other hosts, other schemes, user names, private addresses, and tricks with parsers."""
    with pytest.raises(Forbidden):
        PUBLIC.check(url)


def test_loopback_only_beside_a_loopback_api() -> None:
    """The sandbox may serve its files over http from this machine."""
    assert LOCAL.check("http://127.0.0.1:9000/files/1.png")
    with pytest.raises(Forbidden):
        PUBLIC.check("http://127.0.0.1:9000/files/1.png")
    with pytest.raises(Forbidden, match=r"output\.hosts"):
        LOCAL.check("http://other.example/1.png")


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0177.0.0.1", "１２７.1"])
def test_addresses_in_a_form_that_only_sockets_take(host: str) -> None:
    """They would reach this machine without ever being resolved."""
    with pytest.raises(Forbidden):
        ANY_PUBLIC_HOST.check(f"https://{host}/a")


def test_no_message_repeats_a_signature() -> None:
    """What is in the query stays there."""
    for url in ("https://[/a?sig=s3cret", "https://h/a b?sig=s3cret", "ftp://h/a?sig=s3cret"):
        with pytest.raises(Forbidden) as refused:
            ANY_PUBLIC_HOST.check(url)
        assert "s3cret" not in str(refused.value)


def test_a_url_without_its_query() -> None:
    """Nor its fragment, whichever comes first."""
    assert without_query("https://h/a?b#c?d") == "https://h/a"
    assert without_query("https://h/a#c?d") == "https://h/a"


def test_names_are_no_addresses() -> None:
    """And public addresses are not private."""
    assert not is_private("example.com")
    assert not is_private("8.8.8.8")
    assert not is_private("2001:4860:4860::8888")


def test_an_address_inside_an_address_decides() -> None:
    """IPv6 forms of an IPv4 address reach that one, public or private."""
    assert not is_private("::ffff:8.8.8.8")
    assert is_private("::ffff:10.0.0.1")
    assert is_private("2002:a00:1::")
    assert is_private("64:ff9b::a00:1")
    assert not is_private("64:ff9b::808:808")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:9/a", True),
        ("http://[::1]:9/a", True),
        ("http://localhost:9/a", True),
        ("https://example.com/a", True),
        ("http://example.com/a", False),
        ("http://192.168.0.1/a", False),
        ("https://10.0.0.1/a", False),
        ("https://169.254.169.254/a", False),
    ],
)
def test_loopback_opens_no_other_private_network(url: str, *, allowed: bool) -> None:
    """A sheet on this machine may redirect to this machine or a public host, and nowhere else."""
    policy = UrlPolicy(loopback=True)
    if allowed:
        assert str(policy.check(url)) == url
        return
    with pytest.raises(Forbidden):
        policy.check(url)


def test_a_name_that_resolves_into_a_private_network_is_refused_beside_loopback() -> None:
    """The resolved address is checked by the same rule."""
    policy = UrlPolicy(loopback=True)
    policy.check_address("127.0.0.1")
    policy.check_address("::1")
    with pytest.raises(Forbidden, match="private network"):
        policy.check_address("192.168.0.1")
