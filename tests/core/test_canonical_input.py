"""The canonical input: what is the same job although bytes of it differ."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.core.canonical_input import canonical, canonical_address, canonical_text
from batchgen.core.jobs import fingerprint, first_fingerprint
from tests.kit.first_version import first_digest

MODEL = "a/b/c"
PICTURE = "https://store.example.com/raw/1.jpg"
BLANKS = ("", " ", "\n", "\t", "\u00a0", "\ufeff", " \ufeff\u3000")

SIGNATURES = {
    "S3 v4": "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=M%2F{n}%2Fs3&X-Amz-Date={n}"
    "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=9d{n}",
    "S3 v4 in other letters": "x-amz-date={n}&x-amz-security-token=t{n}&x-amz-signature=9d{n}",
    "S3 v2": "AWSAccessKeyId=AKIA{n}&Expires=17{n}&Signature=a%2B{n}%3D&x-amz-security-token={n}",
    "Google v4": "X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Date={n}&X-Goog-Signature={n}",
    "Google v2": "GoogleAccessId=me%40x&Expires={n}&Signature=a{n}",
    "Google Cloud CDN": "Expires={n}&KeyName=key{n}&Signature=a{n}",
    "Azure": "sv=2024-11-04&st=2026-11-{n}&se=2026-12-{n}&sr=b&sp=r&spr=https&sip=1.1.1.1"
    "&skoid={n}&sktid={n}&skt={n}&ske={n}&sks=b&skv=2024&sig=a%2F{n}",
    "Azure by account": "sv=2024-11-04&ss=b&srt=o&sp=r&se={n}&sig={n}",
    "Azure by policy": "sv=2024-11-04&si=policy&sr=c&sig={n}",
    "CloudFront": "Expires={n}&Signature=a{n}&Key-Pair-Id=K{n}",
    "CloudFront by policy": "Policy=eyJ{n}&Signature=a{n}&Key-Pair-Id=K{n}",
    "Alibaba v1": "OSSAccessKeyId=L{n}&Expires={n}&Signature=a{n}&security-token=t{n}",
    "Alibaba v4": "x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-credential={n}&x-oss-date={n}"
    "&x-oss-expires=60&x-oss-security-token={n}&x-oss-signature={n}",
    "Huawei": "AccessKeyId=H{n}&Expires={n}&Signature=a{n}&x-obs-security-token=t{n}",
    "Tencent": "q-sign-algorithm=sha1&q-ak={n}&q-sign-time={n}&q-key-time={n}&q-header-list="
    "&q-url-param-list=&q-signature={n}&x-cos-security-token={n}",
    "Volcengine": "X-Tos-Algorithm=TOS4&X-Tos-Credential={n}&X-Tos-Date={n}&X-Tos-Expires=60"
    "&X-Tos-SignedHeaders=host&X-Tos-Signature={n}",
    "a framework of the web": "expires={n}&signature={n}",
    "Discord": "ex={n}&is={n}&hm={n}&",
}
NO_SIGNATURES = (
    "v={n}", "Expires={n}", "Signature={n}", "sig={n}", "sv={n}", "se={n}&sp=r", "Policy={n}",
    "Key-Pair-Id={n}", "x-oss-process=resize{n}", "X-Goog={n}", "token={n}", "hm={n}",
    "xX-Amz-Date={n}",
)  # fmt: skip


def same(one: object, other: object) -> bool:
    return fingerprint(MODEL, {"prompt": one}) == fingerprint(MODEL, {"prompt": other})  # type: ignore[dict-item]


@pytest.mark.parametrize("query", SIGNATURES.values(), ids=SIGNATURES)
@pytest.mark.parametrize("more", ["", "versionId=7&", "response-content-type=image%2Fpng&"])
def test_an_address_counts_without_its_signature(query: str, more: str) -> None:
    """Tonight's signature, last night's and none name one picture; the rest of the query counts."""
    tonight, earlier = (f"{PICTURE}?{more}{query.replace('{n}', n)}" for n in ("20", "3")
    )  # fmt: skip

    assert tonight != earlier
    assert same(tonight, earlier)
    assert same([tonight, "x"], [earlier, "x"])
    assert same({"frames": [tonight]}, {"frames": [earlier]})
    assert same(tonight, f"{PICTURE}?{more}".rstrip("?&"))
    assert same(tonight + "#page=1", earlier + "#page=1")


@pytest.mark.parametrize("query", SIGNATURES.values(), ids=SIGNATURES)
def test_another_picture_stays_another_picture(query: str) -> None:
    """Another host, path, fragment or part of the query that is no signature."""
    query = query.replace("{n}", "20")
    address = f"{PICTURE}?page=1&{query}"

    others = (
        address.replace("1.jpg", "2.jpg"), address.replace("page=1", "page=2"),
        address.replace("page=1", "Page=1"), address.replace("store.", "shop."),
        address.replace("page=1", "x-oss-process=small"), address + "#2",
    )  # fmt: skip
    assert len({canonical_address(one) for one in (address, *others)}) == len(others) + 1


@pytest.mark.parametrize("query", NO_SIGNATURES)
def test_words_alone_are_no_signature(query: str) -> None:
    """Without the rest of its scheme, a word of one is a part of the address like any other."""
    assert not same(
        f"{PICTURE}?{query.replace('{n}', '1')}", f"{PICTURE}?{query.replace('{n}', '2')}"
    )


def test_an_address_within_a_text_is_text() -> None:
    """Only a value that is an address as a whole is read as one."""
    text = f"Paint {PICTURE}?X-Amz-Date="

    assert not same(text + "1", text + "2")


texts = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")) | st.sampled_from("éäがﬁÅ\u0301"),
    max_size=12,
)


@given(text=texts, before=st.sampled_from(BLANKS), after=st.sampled_from(BLANKS))
def test_a_text_is_the_same_in_other_bytes(text: str, before: str, after: str) -> None:
    """Composed or decomposed, with blanks around it or not, with U+FEFF before, in or after it."""
    middle = len(text) // 2
    marked = text[:middle] + "\ufeff" + text[middle:]

    for form in ("NFC", "NFD"):
        other = before + unicodedata.normalize(form, text) + after
        assert same(text, other)
        assert same([text], [other])
        assert fingerprint(MODEL, {"größe": text}) == fingerprint(
            MODEL, {unicodedata.normalize(form, "größe"): other}
        )
    assert same(text, marked)


@given(one=texts, other=texts)
def test_texts_that_a_reader_tells_apart_are_two(one: str, other: str) -> None:
    """Nothing but composition, outer blanks and U+FEFF is overlooked."""

    def read(text: str) -> str:
        return unicodedata.normalize("NFC", text.replace("\ufeff", "")).strip()

    assert same(one, other) == (read(one) == read(other))


@given(value=st.recursive(
    texts | st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False)
    | st.sampled_from([f"{PICTURE}?a=1 &{query}" for query in SIGNATURES.values()]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
))  # fmt: skip
def test_a_canonical_input_is_its_own_canonical_input(value: object) -> None:
    """So a fingerprint of the first versions is never that of another input in this one."""
    assert canonical(canonical(value)) == canonical(value)
    assert first_fingerprint(MODEL, {"prompt": value}) == first_digest(MODEL, {"prompt": value})  # type: ignore[dict-item]
    assert first_digest(MODEL, {"p": canonical(value)}) == fingerprint(MODEL, {"p": value})  # type: ignore[dict-item]


def test_a_name_is_a_text_too() -> None:
    """As ids are compared."""
    assert canonical_text("\ufeffcafe\u0301 ") == "café"
