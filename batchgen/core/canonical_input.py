"""The canonical form of an input: what stays the same although bytes of it differ.

Two inputs with one canonical form are one job. What no reader can see does not count (how accents
are composed, blanks around a text, U+FEFF), nor does what a storage signs anew every night. The
canonical form is compared and never sent.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_plus

_MARK = "\ufeff"
"""Written before a text by some editors; it has no width."""
_ADDRESS = re.compile(r"https?://[^\s?#]+\?\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningScheme:
    """The words that one way of signing puts into the query of an address, in lower case."""

    proof: tuple[frozenset[str], ...]
    """One word of each of these must be there; otherwise the address is not signed in this way."""
    words: frozenset[str] = frozenset()
    """The words that do not count then."""
    prefix: str = ""
    """The beginning of further words that do not count."""

    def signs(self, words: frozenset[str]) -> bool:
        """Return whether an address with these words is signed in this way."""
        by_prefix = any(word.startswith(self.prefix) for word in words) if self.prefix else True
        return by_prefix and all(not words.isdisjoint(one) for one in self.proof)

    def owns(self, word: str) -> bool:
        """Return whether a word belongs to the signature."""
        return word in self.words or (bool(self.prefix) and word.startswith(self.prefix))


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _one(proof: str, words: str = "", prefix: str = "") -> SigningScheme:
    """Return a scheme: `proof` names words that must all be there, `a|b` means one of them."""
    needed = tuple(frozenset(one.split("|")) for one in proof.split())
    return SigningScheme(proof=needed, words=_words(words), prefix=prefix)


SCHEMES = (
    _one("", prefix="x-amz-"),  # S3 v4, and what speaks its language
    _one("", prefix="x-goog-"),  # Google Cloud Storage v4
    # S3 v2, Google v2 and Cloud CDN, CloudFront, Alibaba v1, Huawei, and frameworks of the web.
    _one(
        "expires signature",
        "expires signature key-pair-id awsaccesskeyid googleaccessid ossaccesskeyid accesskeyid"
        " keyname security-token x-obs-security-token",
    ),
    _one("signature key-pair-id", "expires policy signature key-pair-id hash-algorithm"),
    _one(  # Azure's shared access signature
        "sig se|sv|si",
        "sig sv se st sp sr si spr sip skoid sktid skt ske sks skv ss srt ses sdd saoid suoid scid"
        " skdutid sduoid",
    ),
    # Not by their prefix: the same storages take orders such as x-oss-process in the query.
    _one(
        "x-oss-signature",
        "x-oss-signature x-oss-signature-version x-oss-credential x-oss-date x-oss-expires"
        " x-oss-security-token x-oss-additional-headers",
    ),
    _one(
        "x-tos-signature",
        "x-tos-signature x-tos-algorithm x-tos-credential x-tos-date x-tos-expires"
        " x-tos-signedheaders x-tos-signedqueries x-tos-security-token",
    ),
    _one(  # Tencent
        "q-signature",
        "q-signature q-sign-algorithm q-ak q-sign-time q-key-time q-header-list q-url-param-list"
        " x-cos-security-token",
    ),
    _one("ex is hm", "ex is hm"),  # Discord's attachments
)


def canonical(value: object) -> object:
    """Return the canonical form of a value of an input: `1`, `1.0` and `1,0` are the same input."""
    if isinstance(value, str):
        return canonical_address(text) if "://" in (text := canonical_text(value)) else text
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return _with_canonical_names({key: canonical(item) for key, item in value.items()})
    if isinstance(value, list):
        return [canonical(item) for item in value]
    return value


def _with_canonical_names(values: dict[str, object]) -> dict[str, object]:
    """Return the values under their names in canonical form, unless two would have one name."""
    if all(map(str.isascii, values)):
        return values
    named = {canonical_text(name): value for name, value in values.items()}
    return named if len(named) == len(values) else values


def literal(value: object) -> object:
    """Return the value with whole numbers as int, its texts as they are written."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: literal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [literal(item) for item in value]
    return value


def canonical_text(text: str) -> str:
    """Return a text in Unicode NFC, without outer blanks and without U+FEFF."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.replace(_MARK, ""))
    return text.strip()


def canonical_address(text: str) -> str:
    """Return an address without what signs it for a limited time; any other text as it is."""
    if _ADDRESS.fullmatch(text) is None:
        return text
    before, _, rest = text.partition("?")
    query, hash_, fragment = rest.partition("#")
    pairs = query.split("&")
    counts = _counting(tuple(pair.partition("=")[0] for pair in pairs))
    if all(counts):
        return text
    kept = [pair for pair, does in zip(pairs, counts, strict=True) if does and pair]
    return before + ("?" if kept else "") + "&".join(kept) + hash_ + fragment


@lru_cache(maxsize=1024)  # the addresses of a batch have the same few words
def _counting(names: tuple[str, ...]) -> tuple[bool, ...]:
    """Return for each name in the query of an address whether it counts."""
    words = [unquote_plus(name).lower() for name in names]
    signing = [scheme for scheme in SCHEMES if scheme.signs(frozenset(words))]
    return tuple(not any(scheme.owns(word) for scheme in signing) for word in words)
