"""Bytes as UTF-8 text; which old encoding a file is in that is not: a guess, to be named in an error.

The guess is never used to read the file: a wrong guess would be learned as mojibake.
"""

# ruff: noqa: RUF001  (letters of other alphabets)
from __future__ import annotations

import unicodedata

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


def decoded(data: bytes, name: str) -> str:
    """UTF-8 bytes as text. Raises InputError, naming the encoding that they are likely in."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{name} is UTF-16: convert it with `iconv -f utf16 -t utf8`")
    nul = data.find(b"\0")
    if nul >= 0 and (wide := _wide(data)):
        raise InputError(f"{name} is UTF-16 ({wide}): convert it with `iconv -f {wide} -t utf8`")
    if nul >= 0:
        raise InputError(f"{name} is not text: it has a NUL byte at offset {nul}")
    mark = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    try:
        return data[mark:].decode("utf-8")
    except UnicodeDecodeError as error:
        page = guessed_encoding(data[mark:])
        raise InputError(
            f"{name} is not UTF-8: bad byte at offset {error.start + mark}; it looks like {page}: "
            f"convert it with `iconv -f {page} -t utf8`"
        ) from None


def _wide(data: bytes) -> str:
    """UTF-16LE or UTF-16BE, if every other byte of a Western text is NUL; else ""."""
    head = data[:2000]
    for first, name in ((1, "UTF-16LE"), (0, "UTF-16BE")):
        if len(head) >= 4 and head[first::2].count(0) > 0.8 * len(head[first::2]):
            return name if not head[1 - first :: 2].count(0) else ""
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
