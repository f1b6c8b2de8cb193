"""The code page of an eight-bit text: Western, or plainly another one.

Nearly every byte is a letter in nearly every page, so a page is judged by what it makes of the
text: words in one language's alphabet, capitals only at the beginning of words, characters that
are in common use. General detectors are made for whole web pages: on a table of a few rows they
take Chinese for Japanese and Turkish for Romanian, and so cannot name what the user should write.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial

WESTERN = "cp1252"
ENOUGH = 0.8
"""Share of the characters beyond ASCII that must make sense in a page."""
ENOUGH_WESTERN = 0.7
"""The same for Western, in which a line may have words of several languages."""
CLEARLY = 0.1
"""How much better than Western another page must fit."""
MAX_NAMED = 3
FEW = 4
"""Fewer bytes beyond ASCII say nothing about which other page it is."""

_ALPHABETS: dict[str, tuple[str, ...]] = {
    "cp1252": (
        "äöüßàéèêçñœ", "àâæçéèêëîïôœùûüÿö", "áéíóúüñçºª", "àçéèíïóòúüñ", "áâãàçéêíóôõúüñºª",
        "àèéìíîòóùúü", "åäöæøéèüàô", "åäöæøáéíóúýþð", "éëïöüèêç", "äöåõüšžé", "ëçéüö",
    ),
    "cp1250": (
        "áčďéěíňóřšťúůýžöü", "áäčďéíĺľňóôŕšťúýž", "ąćęłńóśźżéöü", "áéíóöőúüű", "ăâîşţșțé",
        "čćđšžéöü",
    ),
    "cp1254": ("çğıöşüâîûi̇",),
    "cp1257": ("ąčęėįšųūžé", "āčēģīķļņšūžō"),
}  # fmt: skip
"""The letters beyond ASCII of each language that writes in a page, with usual loans."""
_CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюяёєіїґўјљњћђџѓѕќ"
_CYRILLIC_PAGES = ("cp1251", "koi8_r", "koi8_u", "cp866", "iso8859_5", "mac_cyrillic")
_GREEK = "αβγδεζηθικλμνξοπρστυφχψωάέήίόύώςϊϋΐΰ"
_HEBREW = "".join(map(chr, range(0x5D0, 0x5EB)))
_ARABIC = "ابتثجحخدذرزسشصضطظعغفقكلمنهويىةءآأؤإئپچژگکی،؟"
_THAI = "กขคงจชซณดตถทนบปผพฟมยรลวศสษหอะาำิีึืฺุูเแโใไ่้๊๋์ัๆ็"
for _page in _CYRILLIC_PAGES:
    _ALPHABETS[_page] = (_CYRILLIC,)
_ALPHABETS |= {
    "cp1253": (_GREEK,), "iso8859_7": (_GREEK,), "cp1255": (_HEBREW,), "cp1256": (_ARABIC,),
    "cp874": (_THAI,), "mac_roman": _ALPHABETS["cp1252"], "cp850": _ALPHABETS["cp1252"],
    "cp852": _ALPHABETS["cp1250"],
}  # fmt: skip
_TELLING = {
    "cp1250": "čďěňřťůľĺŕąćęłńśźżőűăşţđ", "cp1254": "ğışĞİŞ", "cp1257": "ėįųūāēģīķļņą",
    "cp852": "čďěňřťůľąćęłńśźżőűăşţđ",
}  # fmt: skip
"""Letters that set a page apart from Western; without one of them the page is not plain."""
_ICELANDIC = frozenset("ðþý")
_WITH_ICELANDIC = frozenset("áéíóúæ")
"""Without any of these, `ð`, `þ` and `ý` are no Icelandic but Turkish read in the wrong page."""

_KANA = "".join(map(chr, range(0x3041, 0x30FF)))
_FREQUENT = {
    **dict.fromkeys(_CYRILLIC_PAGES, "оеаинтсрвлкмдпуяіь"),
    **dict.fromkeys(("cp1253", "iso8859_7"), "αοιετσνηυρπκμλςάέήίόύώ"),
    "cp1255": "יוהלאמרתבנשד", "cp1256": "اليمنوتربةعدسفهكقأ", "cp874": _THAI,
    "cp949": "이다는의에가을를은고하지한로도나사기리아인자서그어해시대정수일있보전들여라제오과색위",
    "gb18030": "的一是在不了有和人这中大为上个国我以要他时来用们生到地出分对成会可发年动同工也能下"
    "子说面而方后多定行学法所得经着等度家电力里如水化高自小物现实加都两体机点本去性好开合还前外天四日事平"
    "形相全表间样与新线内心明看气道变月情老头边流路图山手角花红白黑蓝绿黄金色夜海光画城雪树街春夏秋冬风格猫狗",
    "big5": "的一是在不了有和人這中大為上個國我以要他時來用們生到地出分對成會可發年動同工也能下"
    "子說面而方後多定行學法所得經著等度家電力裡如水化高自小物現實加都兩體機點本去性好開合還前外天四日事平"
    "形相全表間樣與新線內心明看氣道變月情老頭邊流路圖山手角花紅白黑藍綠黃金色夜海光畫城雪樹街春夏秋冬風格貓狗",
    "cp932": _KANA, "euc_jp": _KANA,
}  # fmt: skip
"""Characters that are frequent in the languages of a page: they decide between pages that fit."""

NAMES = {
    "cp1251": "windows-1251", "koi8_r": "koi8-r", "koi8_u": "koi8-u", "iso8859_5": "iso8859-5",
    "mac_cyrillic": "mac-cyrillic", "cp1253": "windows-1253", "iso8859_7": "iso8859-7",
    "cp1254": "windows-1254", "cp1250": "windows-1250", "cp1255": "windows-1255",
    "cp1256": "windows-1256", "cp1257": "windows-1257",
    "mac_roman": "mac-roman", "cp949": "euc-kr", "euc_jp": "euc-jp", "cp932": "shift_jis",
    "cp1252": "windows-1252",
}  # fmt: skip
"""What users call a page; Python knows these names too."""

_PUNCTUATION = frozenset(
    "‘’‚“”„–—…•«»‹›·¡¿\xa0©®™€£¥¢§°±×÷½¼¾²³¹ºªµ´№¶†‡⇒→、。「」『』（）・ー，！？：；《》"
)
_PAIRED = frozenset("«»“”„‘’‚–—…•·¡¿\xa0")
"""Signs of which several may follow one another."""
_IN_WORDS = frozenset("’·–—…´")
_RUN = re.compile(r"[^\x00-\x7f]+")
_WORD = re.compile(r"[^\W\d_]+")
_TOKEN = re.compile(r"[^\x00-\x20]+")


def reads_western(data: bytes) -> bool:
    """Return whether lines of Windows-1252 make sense, and no other page makes more of them."""
    return not _better_than_western(data) and _fit(data, WESTERN) >= ENOUGH_WESTERN


def likely_pages(data: bytes) -> tuple[str, ...]:
    """Return the pages that the lines are probably in, by the names that users give them."""
    found = _better_than_western(data)
    return tuple(NAMES.get(page, page) for page in found[:MAX_NAMED])


@cache
def _better_than_western(data: bytes) -> tuple[str, ...]:
    """Return the pages that fit plainly better than Western, the best ones first."""
    western = _fit(data, WESTERN)
    if western > 1 - CLEARLY or sum(byte > 0x7F for byte in data) < FEW:
        return ()
    fits = {page: fit for page in _PAGES if (fit := _fit(data, page)) >= ENOUGH}
    ranks = {
        page: fit + _share_of_frequent(data, page)
        for page, fit in fits.items()
        if fit > western + CLEARLY
    }
    best = max(ranks.values(), default=0.0)
    found = sorted((page for page in ranks if ranks[page] > best - 0.1), key=lambda p: -ranks[p])
    return tuple(dict.fromkeys(found))


def _share_of_frequent(data: bytes, page: str) -> float:
    """Return the share of the letters beyond ASCII that are frequent in the page's languages."""
    letters = [c for c in data.decode(page).lower() if c > "\x7f" and c not in _PUNCTUATION]
    frequent = set(_FREQUENT[page]) if page in _FREQUENT else set(letters)
    share = sum(c in frequent for c in letters) / len(letters) if letters else 0.0
    return 0.6 + 0.4 * share if page in _FITS else share


def _fit(data: bytes, page: str) -> float:
    """Return the share of the characters beyond ASCII that make sense in a page."""
    try:
        text = data.decode(page)
    except UnicodeDecodeError:
        return 0.0
    return _FITS[page](text) if page in _FITS else _fit_of_alphabets(text, page)


def _fit_of_alphabets(text: str, page: str) -> float:
    telling = _TELLING.get(page)
    if telling and not set(telling) & set(text.casefold() + text):
        return 0.0
    is_latin = page in _LATIN
    longest_run = 4 if telling else 2
    alphabets = [frozenset(letters) for letters in _ALPHABETS[page]]
    if is_latin and not _WITH_ICELANDIC & set(text.casefold()):
        alphabets = [letters - _ICELANDIC for letters in alphabets]
    good = total = 0
    for line in text.splitlines():
        signs = sum(c > "\x7f" for c in line)
        total += signs
        if signs:
            unfit = _out_of_place(line, is_latin=is_latin, longest_run=longest_run)
            good += max(_good_letters(line, letters) for letters in alphabets) - unfit
    return max(0, good) / total if total else 1.0


def _good_letters(line: str, letters: frozenset[str]) -> int:
    """Return the characters beyond ASCII that are signs or belong to an alphabet."""
    return sum(c > "\x7f" and (c in _PUNCTUATION or c.lower() in letters) for c in line)


def _out_of_place(line: str, *, is_latin: bool, longest_run: int) -> int:
    """Return how many characters beyond ASCII stand where no language puts them."""
    count = 0
    for word in _WORD.findall(line):
        high = sum(c > "\x7f" for c in word)
        has_case = word.swapcase() != word
        natural = word.islower() or word.isupper() or word[1:].islower() or not has_case
        if not natural or (not is_latin and high < len(word)):
            count += high
    for token in _TOKEN.findall(line):
        for run in _RUN.finditer(token):
            sign = run[0]
            if is_latin and len(sign) > longest_run and not _PAIRED.issuperset(sign):
                count += len(sign)
                continue
            around = token[: run.start()][-1:], token[run.end() :][:1]
            if all(map(str.isalpha, around)):
                count += sum(c in _PUNCTUATION and c not in _IN_WORDS for c in sign)
    return count


def _fit_of_pairs(text: str, is_common: Callable[[int], bool], encoding: str) -> float:
    """Return the share of the characters that a double-byte page has among its common ones.

    Signs count for nothing, because all of these pages have them.
    """
    good = total = 0
    for character in text:
        if character <= "\x7f" or character in _PUNCTUATION:
            continue
        code = int.from_bytes(character.encode(encoding), "big")
        if code >> 8 in (0xA1, 0xA2, 0xA3, 0x81) and encoding != "cp949":
            continue
        total += 1
        good += is_common(code)
    return good / total if total else 0.0


def _is_common_chinese(code: int) -> bool:
    return 0xB0A1 <= code <= 0xD7FE and code & 0xFF >= 0xA1


def _is_common_big5(code: int) -> bool:
    return 0xA440 <= code <= 0xC67E


def _is_common_korean(code: int) -> bool:
    return 0xB0A1 <= code <= 0xC8FE and code & 0xFF >= 0xA1


def _is_common_shift_jis(code: int) -> bool:
    return 0x829F <= code <= 0x82F1 or 0x8340 <= code <= 0x8396 or 0x889F <= code <= 0x9872


def _is_common_euc_jp(code: int) -> bool:
    return 0xA4A1 <= code <= 0xA5F6 or 0xB0A1 <= code <= 0xCFD3


def _fit_of_euc_jp(text: str) -> float:
    """Return the fit; text without kana is no Japanese, but another page's."""
    kana = sum("\u3041" <= c <= "\u30fe" for c in text)
    high = sum(c > "\x7f" for c in text)
    return _fit_of_pairs(text, _is_common_euc_jp, "euc_jp") if kana * 5 >= high else 0.0


_LATIN = frozenset({"cp1252", "cp1250", "cp1254", "cp1257", "mac_roman", "cp850", "cp852"})
_FITS: dict[str, Callable[[str], float]] = {
    "cp949": partial(_fit_of_pairs, is_common=_is_common_korean, encoding="cp949"),
    "euc_jp": _fit_of_euc_jp,
    "gb18030": partial(_fit_of_pairs, is_common=_is_common_chinese, encoding="gb18030"),
    "big5": partial(_fit_of_pairs, is_common=_is_common_big5, encoding="cp950"),
    "cp932": partial(_fit_of_pairs, is_common=_is_common_shift_jis, encoding="cp932"),
}
_PAGES = (*_FITS, "mac_roman", "cp850", *(page for page in _ALPHABETS if page != WESTERN))
