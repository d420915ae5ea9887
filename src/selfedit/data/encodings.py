"""Bytes as text: UTF-8, or what a byte order mark says; which encoding a file is in that is neither: a
guess, to be named in an error.

The guess is never used to read the file: a wrong guess would be learned as mojibake.
"""

# ruff: noqa: RUF001  (letters of other alphabets)
from __future__ import annotations

import codecs
import unicodedata
from collections import Counter

from selfedit.errors import InputError

# The letters and marks that texts of a code page mostly have beyond ASCII; the first fits best where
# two fit as well. Names are those that iconv knows.
_PAGES = (
    ("cp1252", "àáâãäåæçèéêëìíîïñòóôõöøùúûüýßœ’‘“”–—…€«»°§¿¡ÄÖÜÉÀ"),
    ("cp1250", "ąćčďęěłńňóőřśšťůűýźżžáéíóúäöüőâîăşţ„”–ŁŚŻČŘŠŽ"),
    ("cp1251", "абвгдежзийклмнопрстуфхцчшщъыьэюяёіїєґ«»–—№АБВГДИКМНОПРСТУЭЯ"),
    ("koi8-r", "абвгдежзийклмнопрстуфхцчшщъыьэюяёАБВГДИКМНОПРСТУЭЯ"),
    ("cp1253", "αβγδεζηθικλμνξοπρστυφχψωςάέήίόύώΑΕΗΙΚΜΝΟΠΣΤ«»–"),
    ("cp1254", "çğıöşüâîûÇĞİÖŞÜ’“”–"),
    ("cp1255", "אבגדהוזחטיכלמנסעפצקרשתםןףץך–״"),
    ("cp1256", "ابتثجحخدذرزسشصضطظعغفقكلمنهويةىءآأإؤئ،؟پچگ"),
    ("cp874", "กขคงจฉชซญดตถทธนบปผพฟภมยรลวศษสหอะาิีึืุูเแโใไ่้๊๋์ํั็ำ"),
    ("cp850", "äöüßéèàçñáíóúâêîôûÄÖÜÉ"),
    ("mac_roman", "äöüßéèàçñáíóúâêîôûÄÖÜÉ’‘“”–—"),
)
_FREQUENT_LETTERS = {
    "cp1252": "éèàäöüßçñóáíåøæ’",
    "cp1250": "ąćęłńśżčřšžěőűéáíöüóú",
    "cp1251": "оеаинтсрвлі",
    "koi8-r": "оеаинтсрвл",
    "cp1253": "αοιετσνηυρς",
    "cp1254": "ığşüöç",
    "cp1255": "יהולאמרבתש",
    "cp1256": "الينمورتب",
}
_WIDE_PAGES = ("shift_jis", "euc_jp", "gb18030", "big5", "euc_kr")
_ICONV = {"mac_roman": "MACINTOSH", "shift_jis": "SHIFT_JIS", "euc_jp": "EUC-JP", "euc_kr": "EUC-KR"}
_SAMPLE = 20_000  # bytes
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before that of UTF-16, with which it begins
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_JAPANESE_ESCAPE = "\x1b$B"  # of the encoding of old Japanese e-mails, whose bytes are all ASCII


def decoded(data: bytes, name: str) -> str:
    """UTF-8 bytes, or those behind a byte order mark, as text. Raises InputError, naming the encoding
    that they are likely in."""
    mark, encoding = next(((m, e) for m, e in _MARKS if data.startswith(m)), (b"", "utf-8"))
    if encoding != "utf-8":
        try:
            return data[len(mark) :].decode(encoding)
        except UnicodeDecodeError as error:
            at = error.start + len(mark)
            kind = encoding[:6].upper()
            raise InputError(f"{name} is damaged {kind}: bad byte at offset {at}") from None
    nul = data.find(b"\0")
    if nul >= 0 and (wide := _wide(data)):
        raise InputError(f"{name} is UTF-16 ({wide}): convert it with `iconv -f {wide} -t utf8`")
    if nul >= 0:
        raise InputError(f"{name} is not text: it has a NUL byte at offset {nul}")
    try:
        text = data[len(mark) :].decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(_not_utf8(data[len(mark) :], name, error.start, len(mark))) from None
    if _JAPANESE_ESCAPE in text:
        raise InputError(f"{name} is ISO-2022-JP: convert it with `iconv -f ISO-2022-JP -t utf8`")
    return text


def _not_utf8(data: bytes, name: str, start: int, before: int) -> str:
    said = f"{name} is not UTF-8: bad byte at offset {start + before}"
    lines = data.split(b"\n")
    bad = [(number, line) for number, line in enumerate(lines, start=1) if not _is_utf8(line)]
    good = sum(not line.isascii() and _is_utf8(line) for line in lines)
    page = guessed_encoding(b"\n".join(line for _, line in bad))
    if good >= len(bad):  # two files in one
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        return f"{said}, in line {bad[0][0]}{more}, which looks like {page}; the rest is UTF-8: mend it"
    return f"{said}; it looks like {page}: convert it with `iconv -f {page} -t utf8`"


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _wide(data: bytes) -> str:
    """UTF-16LE or UTF-16BE without a mark, if the bytes are a text in it; else ""."""
    ascii_bytes = sum(0x20 <= byte < 0x7F for byte in data[:_SAMPLE])
    for name in ("UTF-16LE", "UTF-16BE") if ascii_bytes < 0.9 * len(data[:_SAMPLE]) else ():
        text = data[: _SAMPLE // 2 * 2].decode(name, errors="replace").rstrip("\ufffd")
        plain = sum(c.isalnum() or c in " \n\r\t" or (c.isascii() and c.isprintable()) for c in text)
        kinds = Counter("CJK" if "\u3000" <= c <= "\u9fff" else ord(c) >> 8 for c in text if c > " ")
        usual = sum(count for _, count in kinds.most_common(3))
        # ASCII read in the wrong order is letters times 256, most of them Chinese characters.
        turned = sum(ord(c) % 256 == 0 for c in text) > len(text) / 2
        if len(text) > 3 and not turned and plain >= 0.85 * len(text) and usual >= 0.97 * kinds.total():
            return name
    return ""


def guessed_encoding(data: bytes) -> str:
    """Name, for iconv, of the encoding that the bytes are most likely in."""
    sample = _around_high_bytes(data)
    pages = enumerate(_PAGES)
    scored = [(_score_of_page(sample, name, letters), -i, name) for i, (name, letters) in pages]
    scored += [(_score_of_wide(sample, name), -100 - i, name) for i, name in enumerate(_WIDE_PAGES)]
    best = max(scored)[2]
    return _ICONV.get(best, best.upper())


def _around_high_bytes(data: bytes) -> bytes:
    first = next((i for i, byte in enumerate(data) if byte >= 0x80), 0)
    start = data.rfind(b"\n", 0, first) + 1
    end = start + _SAMPLE
    return (
        data[start:end] if end >= len(data) else data[start : data.rfind(b"\n", first, end) + 1 or end]
    )


def _score_of_page(data: bytes, name: str, letters: str) -> float:
    """Mean worth of the characters beyond ASCII; -1 if the bytes cannot be in it."""
    try:
        text = data.decode(name)
    except UnicodeDecodeError:
        return -1.0
    common, frequent = frozenset(letters), frozenset(_FREQUENT_LETTERS.get(name, ""))
    worth = count = 0.0
    for before, character, after in zip(f" {text}", text, f"{text[1:]} ", strict=False):
        if character.isascii():
            continue
        count += 1
        if character in common:
            worth += (
                1.0 + 0.2 * (character in frequent) - 1.5 * _is_out_of_place(before, character, after)
            )
        elif unicodedata.category(character)[0] in "SCZ" or character.isupper():
            worth -= 1.0
    return worth / count if count else 0.0


def _is_out_of_place(before: str, character: str, after: str) -> bool:
    """A capital behind a small letter, a quotation mark inside of a word, letters of two alphabets in
    one: signs of a wrong page."""
    if not character.isalpha():
        return character != "\u2019" and before.isalpha() and after.isalpha()
    if character >= "\u0370" and ((before + after).isascii() and (before + after).strip().isalpha()):
        return True
    return character.isupper() and before.islower()


def _score_of_wide(data: bytes, name: str) -> float:
    try:
        text = data.decode(name)
    except UnicodeDecodeError:
        return -1.0
    count = worth = 0.0
    for character in text:
        if character.isascii():
            continue
        count += 1
        if "\u3040" <= character <= "\u30ff":
            worth += 1.2 if name in ("shift_jis", "euc_jp") else 0.5
        elif "\uac00" <= character <= "\ud7a3":
            worth += 1.2 if name == "euc_kr" else -1.0
        elif "\u4e00" <= character <= "\u9fff":
            worth += _worth_of_han(character, name)
        elif "\u3000" <= character <= "\u303f" or "\uff01" <= character <= "\uff5e":
            worth += 1.0
        else:
            worth -= 1.0
    return worth / count if count else 0.0


# The most frequent characters of Chinese and Japanese texts.
_FREQUENT = frozenset(
    "的一是不了在人有我他这個个们中来上大为為和国國地到以说時时要就出会會可也你对對生能而子那得于於着下自之"
    "年过過发發后後作里日本東学月分前立建天文台者事見行名主"
)


def _worth_of_han(character: str, name: str) -> float:
    if name == "euc_kr":
        return -0.2
    return 1.2 if character in _FREQUENT else 0.55
