"""What a sentence splitter must know of a language: its abbreviations, ordinals and small words.

English is apart: its lists are those of `sentences.py`. The others are told from English by their small
words, and where a language is not listed, the rules that need no list hold (`OTHER`).
"""

# ruff: noqa: RUF001  (words of other alphabets)
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from selfedit.words import iterate_words

_ENOUGH = 2000  # words by which a language is told


@dataclass(frozen=True, slots=True)
class Language:
    """small: its commonest words, in lower case; those that follow a full stop begin a sentence.

    never_last: abbreviations that are always followed by what they belong to ("z. B." is "z.b").
    before_number: those that are so in front of a number alone. maybe_last: those that also end
    sentences. ordinals: whether "3." is the third (up to two digits, or Roman numerals).
    """

    code: str
    small: frozenset[str]
    never_last: frozenset[str] = frozenset()
    before_number: frozenset[str] = frozenset()
    maybe_last: frozenset[str] = frozenset()
    ordinals: bool = False


def _language(
    code: str, small: str, never: str = "", number: str = "", maybe: str = "", ordinals: bool = False
) -> Language:
    lists = [frozenset(words.split()) for words in (small, never, number, maybe)]
    return Language(code, lists[0], lists[1], lists[2], lists[3], ordinals)


ENGLISH_SMALL = frozenset(
    "the of and in to is was for that with by on as it from at are were be this which his an "
    "has had "
    "not or their its but he she they there been who when where while have will would".split()
)

LANGUAGES = (
    _language(
        "de",
        "der die das und ist nicht ein eine einer einem einen den dem des mit von zu im am auf "
        "für sich es er sie wir ich als auch wird wurde bei nach aus wie über war sind hat zum "
        "zur dann dort hier nur noch aber oder wenn weil dass vor durch seit unter zwischen ihr "
        "ihre sein seine man so da diese dieser dieses jede jeder alle heute später danach",
        "dr prof hr fr frl st bzw ca vgl evtl ggf inkl exkl zzgl zz mio mrd tel geb gest abb nr "
        "bspw sog usf insb allg dipl ing hl str o.ä z.b d.h i.d.r u.a u.u z.t v.a m.e i.d s.o "
        "s.u lt med phil rer nat jur dipl.-ing "
        "max min mind entspr ehem eigtl urspr gegr verh verw bes kath ev",
        "s jh jhd bd kap art abs ziff tab anm aufl hrsg ps par",
        "usw etc u.s.w v.chr n.chr chr ff gmbh ag co jr jan feb mär apr jun jul aug sept okt nov dez",
        ordinals=True,
    ),
    _language(
        "fr",
        "le la les des une et est dans du en au aux que qui pour par sur il elle ils elles nous "
        "vous je ce cette ces son sa ses avec plus ne pas se ou mais comme était sont été à "
        "leur on puis alors un lorsque depuis après avant chez",
        "m mm mme mmes mlle mlles dr pr st ste me mgr ex av bd boul env cf chap éd vol art p.ex "
        "c.-à-d apr",
        "n no nos fig p pp t vol janv févr avr juil sept oct nov déc",
        "etc s.a j.-c",
    ),
    _language(
        "es",
        "el la los las de y en que un una es por con para del al se no su sus lo como más fue "
        "era ser son pero este esta estos ya entre desde hasta cuando donde también sin sobre "
        "él ella ellos hay luego después antes",
        "sr sra srta sres dr dra d dña prof profa gral lic ing arq ud uds vd avda av c pza p.ej "
        "ee ff ej aprox núm pág págs cap art vol ed fig tel depto",
        "n no nº s p pp ene feb mar abr may jun jul ago sep sept oct nov dic",
        "etc s.a ee.uu jr",
    ),
    _language(
        "it",
        "il lo la gli le di e che un una è in con per del della dei delle al alla si non su da "
        "come più anche sono era ma questo questa nel nella ha suo sua loro poi dopo prima "
        "quando dove",
        "sig sigg sig.ra sec dott dott.ssa prof prof.ssa ing avv arch on mons s ss fig pag cap vol "
        "art ca p.es",
        "n nn pagg p pp gen feb mar apr mag giu lug ago set ott nov dic",
        "ecc s.p.a",
    ),
    _language(
        "pt",
        "o os as de e que um uma é em no na nos nas do da dos das com para por se não ao à mais "
        "como foi era são mas este esta isso ele ela eles também sem sobre entre depois antes "
        "quando onde já",
        "sr sra srs dr dra d prof profa eng arq av r p.ex ex aprox núm pág cap art vol ed fig tel exmo",
        "n nº s p pp jan fev mar abr mai jun jul ago set out nov dez",
        "etc ltda s.a",
    ),
    _language(
        "nl",
        "de het een en van in is dat op te met voor zijn niet aan er die om ook als bij maar "
        "naar uit werd wordt door over hij zij ze wij ik dan nog dit deze zich hun haar na daar "
        "toen",
        "dr prof mr mevr dhr ir ing st bijv d.w.z o.a ca vgl m.b.v t.o.v i.v.m z.g zgn incl "
        "excl resp art blz fig nl",
        "nr nrs p pp jan feb mrt apr jun jul aug sep okt nov dec",
        "enz etc",
    ),
    _language(
        "sv",
        "och att det som en ett är av för på med den till i de inte om var har från men hon han "
        "vi jag sig vid så ut efter där när blev också eller",
        "t.ex bl.a dvs d.v.s s.k f.d o.s.v prof dr st ca resp",
        "nr kap s fig",
        "etc osv m.m",
    ),
    _language(
        "da",
        "og at det som en et er af for på med den til i de ikke om var har fra men hun han vi "
        "jeg sig ved så ud efter der når blev også eller ble ikkje etter av",
        "f.eks bl.a dvs d.v.s s.k prof dr st ca hhv pga ifm mht kgl",
        "nr kap s fig pkt",
        "etc osv m.m mv",
        ordinals=True,
    ),
    _language(
        "pl",
        "i w na z do się nie jest że to o jak po przez dla od ale oraz był była było są który "
        "która które ten ta tym za ze przy także już jego jej ich potem",
        "np t.zn prof dr hab mgr inż św ul al pl tzw tj ok m.in im ks gen płk por red",
        "nr str s r t ust art rys tab",
        "itd itp r w",
        ordinals=True,
    ),
    _language(
        "cs",
        "a v na se je že to s z do o pro jako za by ale od jeho její jsou byl byla bylo který "
        "která které po při nebo až také už ve ke ze pak",
        "např tzv tj mj prof dr ing mgr bc sv ul nám čp resp popř gen",
        "č str s obr tab r",
        "atd apod",
        ordinals=True,
    ),
    _language(
        "fi",
        "ja on ei se että oli hän joka kun myös mutta ovat olla tai sen niin kuin jo vain sitten",
        "esim mm ns ts prof tri st n vrt ym",
        "s nro kpl",
        "jne yms",
        ordinals=True,
    ),
    _language(
        "hu",
        "a az és hogy nem egy is volt meg van ez de csak már mint el ha vagy után majd pedig",
        "pl dr prof ifj id özv ún kb ill vö",
        "sz old",
        "stb",
        ordinals=True,
    ),
    _language(
        "tr",
        "ve bir bu da de için ile olan olarak çok daha en gibi kadar sonra o ise ama her",
        "dr prof doç yrd av sn vb bkz örn yy st",
        "no s",
        "vs vb",
        ordinals=True,
    ),
    _language(
        "ru",
        "и в на с по что не из к у от за для как это был была было его её их он она они но то "
        "при же так или также после затем когда где",
        "ул просп пл кв стр гр г-н г-жа им тов проф акад доц св т.е т.к напр см ср род ред изд",
        "№ рис табл гл с стр п ст",
        "т.д т.п др пр г гг в вв руб коп тыс млн млрд э",
    ),
    _language(
        "uk",
        "і й та в у на з що не до за для як це був була було його її їх він вона вони але від про або",
        "вул просп пл буд кв ім проф акад доц св напр див ред вид",
        "№ рис табл гл с ст",
        "т.д т.п ін р рр ст",
    ),
)

# Of scripts where a full stop is used for abbreviations alone, and of languages without a list.
OTHER = _language(
    "",
    "",
    "dr prof mr mrs st ts ths gs pgs डॉ प्रो श्री पं डा ডা ড মো د م أ ص ق ه ڈاکٹر",
    "no nr p fig",
    "etc",
)

_MONTHS = frozenset(
    "januar jänner februar märz april mai juni juli august september oktober november dezember "
    "january february march may june july october december stycznia lutego marca kwietnia maja "
    "czerwca lipca sierpnia września października listopada grudnia ledna února března dubna "
    "května června "
    "července srpna září října listopadu prosince januari februari mars augusti marts".split()
)


def is_month(word: str) -> bool:
    """Whether a word is a month's name in a language that writes the day before it as "3.", and no
    English word."""
    return word.casefold() in _MONTHS


def language_of(text: str) -> Language | None:
    """The language whose small words are the most in a text; None: English, or nothing to tell it by.

    Of a long text its beginning tells. A tie is English.
    """
    counts: dict[str, int] = {}
    for number, word in enumerate(iterate_words(text)):
        if number == _ENOUGH:
            break
        counts[word.casefold()] = counts.get(word.casefold(), 0) + 1
    english = _hits(counts, ENGLISH_SMALL)
    best = max(LANGUAGES, key=lambda language: _hits(counts, language.small))
    if _hits(counts, best.small) > english:
        return best
    return OTHER if _is_without_latin(counts) else None


def _hits(counts: dict[str, int], small: Iterable[str]) -> int:
    return sum(counts.get(word, 0) for word in small)


def _is_without_latin(words: Iterable[str]) -> bool:
    """Whether most words are of another script than Latin."""
    latin = others = 0
    for word in words:
        if word[0].isalpha():
            latin, others = latin + (word[0] < "\u0250"), others + (word[0] >= "\u0250")
    return others > latin
