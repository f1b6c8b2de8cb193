"""Encodings of text files: known, named by the user, or refused; never a guess that cannot fail."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from batchgen.core.encoding_names import parse_encoding
from batchgen.core.errors import ManifestError, UsageError
from batchgen.manifest.formats.code_pages import NAMES
from tests.manifest.conftest import Read, problems_of

OTHER = [
    ("gb18030", "一只橘猫坐在窗台上,水彩画"), ("gb18030", "红色灯塔"),
    ("big5", "一隻橘貓坐在窗台上"),
    ("shift_jis", "窓辺に座るオレンジ色の猫、水彩画"), ("euc_jp", "窓辺に座るオレンジ色の猫"),
    ("euc_kr", "창가에 앉은 주황색 고양이 수채화"), ("cp1251", "Рыжая лиса в снегу, акварель"),
    ("cp1251", "лиса"), ("cp1251", "Синій кит у морі"), ("koi8_r", "Рыжая лиса в снегу, акварель"),
    ("cp866", "Рыжая лиса в снегу"), ("iso8859_5", "Рыжая лиса в снегу"),
    ("cp1253", "Μια κόκκινη αλεπού στο χιόνι"), ("cp1254", "Güneş batımında kırmızı tekne"),
    ("cp1254", "Kırmızı bir elma ve ağaç"), ("cp1250", "Žlutý kůň na louce při západu slunce"),
    ("cp1250", "Żółta łódka na jeziorze"), ("cp1250", "Gyönyörű őszi táj"),
    ("cp1255", "שועל אדום בשלג"), ("cp1256", "ثعلب أحمر في الثلج"), ("cp874", "สุนัขจิ้งจอกสีแดง"),
    ("mac_roman", "Ein Frühstückstisch für Gäste"), ("cp850", "Ein Frühstückstisch für Gäste"),
]  # fmt: skip
WESTERN = [
    "Ein Frühstückstisch im Garten", "Crème brûlée à la São Paulo", "El Niño comió paella",
    "Þetta er ljóð á íslensku", "café", "20 °C, ½ cup – “quoted” text…", "ÜBERGRÖSSE", "Ä",
    "Smørrebrød på et blåt bord", "São João não é à toa", "à côté du cœur, l’été",
    "it’s “fine” — really", "100 m² für 5 €", "«Où êtes-vous ?»", "Hôtel Élysée, Noël",
    "naïve Zürich façade", "Ærø og Åland", "Mädchen, Äpfel, Öl", "Perché no? Così è più bello",
    "Kõik on šikk ja žanr", "très léger, déjà vu", "½", "™ ® ©",
]  # fmt: skip


def _file(ending: str, text: str, encoding: str) -> bytes:
    if ending in ("csv", "tsv"):
        out = io.StringIO(newline="")
        delimiter = "\t" if ending == "tsv" else ","
        csv.writer(out, delimiter=delimiter).writerows([("id", "prompt"), ("a", text)])
        return out.getvalue().encode(encoding)
    if ending == "jsonl":
        return json.dumps({"prompt": text}, ensure_ascii=False).encode(encoding)
    if ending == "json":
        return json.dumps([text], ensure_ascii=False).encode(encoding)
    if ending == "yaml":
        return f"prompts:\n  - {json.dumps(text, ensure_ascii=False)}\n".encode(encoding)
    return f"{text}\n".encode(encoding)


ENDINGS = ["csv", "tsv", "txt", "jsonl", "json", "yaml"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(("encoding", "text"), OTHER)
def test_another_code_page_is_an_error_that_names_the_encoding(
    read: Read, ending: str, encoding: str, text: str
) -> None:
    """Nothing is made of it; with the named encoding, the text is what was written."""
    content = _file(ending, text, encoding)
    (problem,) = problems_of(read, f"a.{ending}", content)
    named = re.search(r"--encoding (\S+)", problem)
    assert named, problem
    seen = read(f"a.{ending}", content, encoding=named[1])
    assert seen.prompts == [text]
    assert any("read as" in note for note in seen.manifest.notes)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("text", WESTERN)
def test_western_text_is_read_as_windows_1252_and_the_plan_says_so(
    read: Read, ending: str, text: str
) -> None:
    """What Excel writes in Western Europe needs no flag."""
    seen = read(f"a.{ending}", _file(ending, text, "cp1252"))
    assert seen.prompts == [text]
    assert any(f"a.{ending}: read as Windows-1252" in note for note in seen.manifest.notes)


def test_languages_of_the_west_may_stand_in_one_file(read: Read) -> None:
    """A row each: that is what a file for several markets looks like."""
    text = "\n".join(WESTERN)
    assert read("a.txt", text.encode("cp1252")).prompts == WESTERN


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_nothing_is_said_about_utf_8_and_utf_16(read: Read, encoding: str) -> None:
    """They are what a file should be in."""
    seen = read("a.csv", "prompt\nEin Frühstückstisch\n".encode(encoding))
    assert seen.prompts == ["Ein Frühstückstisch"]
    assert not any("read as" in note for note in seen.manifest.notes)


@pytest.mark.parametrize("name", ["nope", "", "rot13", "base64", "idna", "punycode", "undefined"])
def test_an_unknown_encoding_is_a_usage_error(read: Read, name: str) -> None:
    """Whatever Python may call a codec: only encodings of text files count."""
    with pytest.raises(UsageError, match="is not a known encoding"):
        read("a.csv", "prompt\na\n", encoding=name)


@pytest.mark.parametrize(
    ("ending", "head", "row"),
    [("csv", "prompt,n\na,b\n", 3), ("csv", 'prompt,n\n"a\nb",c\n', 3), ("csv", "prompt,n\r", 2),
     ("tsv", "prompt\tn\na\tb\n", 3), ("txt", "a\nb\n", 3), ("jsonl", '"a"\n', 2),
     ("yaml", "prompts:\n", 2)],
)  # fmt: skip
def test_bytes_that_do_not_fit_the_named_encoding_are_an_error_with_their_row(
    read: Read, ending: str, head: str, row: int
) -> None:
    """Also in a spreadsheet whose cells have several lines."""
    content = head.encode() + b"- caf\xe9 \xff\n"
    for encoding in ("utf-8", "ascii", "shift_jis"):
        (problem,) = problems_of(read, f"a.{ending}", content, encoding=encoding)
        assert problem.startswith(f"a.{ending}:{row}: the byte 0x"), problem


def test_a_byte_order_mark_beats_the_flag(read: Read) -> None:
    """A file that was saved as UTF-8 since then says so itself; the stored flag does no harm."""
    seen = read("a.csv", "prompt\nлиса\n".encode("utf-8-sig"), encoding="cp1251")
    assert seen.prompts == ["лиса"]


@pytest.mark.parametrize(
    "encoding", ["cp1252", "koi8-r", "gb18030", "shift_jis", "big5", "latin-1"]
)
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_that_was_saved_as_utf_8_since_is_read_as_that(
    read: Read, ending: str, encoding: str
) -> None:
    """The stored flag would make new jobs of what nobody wrote; the plan says what happened."""
    text = "Ein größeres Frühstück für Gäste"
    seen = read(f"a.{ending}", _file(ending, text, "utf-8"), encoding=encoding)
    assert seen.prompts == [text]
    assert any("is valid UTF-8, so it is read as that" in note for note in seen.manifest.notes)


def test_the_flag_decides_if_utf_8_is_only_chance(read: Read) -> None:
    """Two characters of two bytes each may be valid in both."""
    seen = read("a.csv", "prompt\n一一\n".encode("gb18030"), encoding="gb18030")
    assert seen.prompts == ["一一"]


def test_the_flag_is_for_the_files_that_a_manifest_names_too(read: Read) -> None:
    """A manifest in ASCII, its spreadsheet in another page."""
    files = {"a.csv": "prompt\nлиса\n".encode("koi8_r")}
    assert read("m.yaml", "prompts: a.csv\n", files=files, encoding="koi8-r").prompts == ["лиса"]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(st.characters(codec="cp1251", min_codepoint=0x410, max_codepoint=0x44F),
        min_size=6, max_size=60),
    page=st.sampled_from(["cp1251", "koi8_r", "iso8859_5", "mac_cyrillic"]),
)  # fmt: skip
def test_cyrillic_is_never_read_as_western(read: Read, text: str, page: str) -> None:
    """However the letters lie: what nobody wrote is never a prompt."""
    assume(not _is_utf_8(text.encode(page)))
    with pytest.raises(ManifestError):
        read("a.csv", f"prompt\n{text}\n".encode(page))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), min_size=4, max_size=40)
)
def test_chinese_is_never_read_as_western(read: Read, text: str) -> None:
    """Every character of the standard, not only the frequent ones."""
    assume(not _is_utf_8(text.encode("gb18030")))
    with pytest.raises(ManifestError):
        read("a.csv", f"prompt\n{text}\n".encode("gb18030"))


def _is_utf_8(data: bytes) -> bool:
    try:
        return bool(data.decode())
    except UnicodeDecodeError:
        return False


def test_the_names_in_messages_are_names_of_codecs() -> None:
    """What a message tells the user to write must work."""
    for codec, name in NAMES.items():
        assert codecs.lookup(parse_encoding(name)).name == codecs.lookup(codec).name


def test_a_unicode_text_of_excel_is_a_table(read: Read) -> None:
    """A `.txt` of cells that tabs separate has a header and rows, whatever its encoding."""
    text = 'id\tprompt\tscale\r\na\t"one\ntwo"\t0.5\r\nb\tthree\t1\r\n'
    for encoding in ("utf-16", "utf-8", "cp1252"):
        seen = read("a.txt", text.encode(encoding))
        assert seen.prompts == ["one\ntwo", "three"]
        assert seen.ids == ["a", "b"]
    only_one = read(
        "b.txt", "Caption\tid\r\na fox\t1\r\n".encode("utf-16"), columns={"prompt": "Caption"}
    )
    assert only_one.prompts == ["a fox"]


def test_a_tab_in_a_list_of_prompts_makes_no_table(read: Read) -> None:
    """A list is a list if only some of its lines have one."""
    assert read("a.txt", "a fox\nin\tsnow\nat dusk\n").prompts == ["a fox", "in\tsnow", "at dusk"]
