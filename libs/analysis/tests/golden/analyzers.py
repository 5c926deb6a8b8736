"""Makes analyzers.json: the tokens of texts in many scripts by the rules at the head of libs/analysis/src/lib.rs, written
down here once more over other libraries: ICU's NFKC_Casefold, uniseg's words by UAX #29, the scripts and categories of
`regex`, the decompositions of Python, the Snowball project's own stemmers. The stop words are read from ../../stop_words.
The release of the stemmers is the one closest to the crate's, which differs in a few words such as `internalize`.

The main analyzers are given every text; every other language is given the texts of TEXTS under its name. Random texts hold
only characters that Python 3.11 knows (Unicode 14), so that all libraries agree on their properties.

    pip install PyICU regex snowballstemmer==3.0.1 uniseg
    python analyzers.py > analyzers.json
"""
import json
import random
import unicodedata
from pathlib import Path

import icu
import regex
import snowballstemmer
from uniseg.wordbreak import words as uax29_words

from texts import TEXTS

MAIN = ["unicode", "whitespace", "english", "german", "french", "russian"]
LANGUAGES = [
    "arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "esperanto", "estonian", "finnish", "french",
    "german", "greek", "hindi", "hungarian", "indonesian", "irish", "italian", "nepali", "norwegian",
    "portuguese", "romanian", "russian", "serbian", "spanish", "swedish", "tamil", "turkish", "yiddish",
]

INVISIBLE = regex.compile(r"[[\p{Default_Ignorable_Code_Point}\p{Cf}\u0640\u20E3]--[\u200B]]", regex.V1)
UNIT = (r"(?:[[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]&&[\p{L}\p{N}]]"
        r"|[\u3006\u3031-\u3035\u303C\u30FC])\p{M}*")
UNITS = regex.compile(UNIT, regex.V1)
RUNS = regex.compile(f"((?:{UNIT})+)", regex.V1)
LOSES_MARKS = regex.compile(r"[\p{Latin}\p{Greek}\p{Cyrillic}\p{Arabic}\p{Hebrew}]")
PLAIN = {"ø": "o", "đ": "d", "ð": "d", "ł": "l", "ı": "i", "ħ": "h", "æ": "ae", "œ": "oe", "þ": "th"}
NFKC_CASEFOLD = icu.Normalizer2.getNFKCCasefoldInstance()
LONGEST = 255


def normal_form(text):
    # Decomposed first, so that the order of marks makes no difference (Unicode standard, D146 and D147).
    text = unicodedata.normalize("NFKD", INVISIBLE.sub("", text).replace("\u2019", "'"))
    # ICU would remove the zero-width space.
    return "\u200B".join(INVISIBLE.sub("", NFKC_CASEFOLD.normalize(part)) for part in text.split("\u200B"))


def fold_accents(word):
    kept, base = [], None
    for c in unicodedata.normalize("NFD", word):
        if unicodedata.category(c).startswith("M"):
            if unicodedata.category(c) == "Mn" and base and LOSES_MARKS.match(base):
                continue
        else:
            base = c
        kept.append(PLAIN.get(c, c))
    return unicodedata.normalize("NFC", "".join(kept))


def segments(form):
    """Each word with True and each bigram with False."""
    for stretch in RUNS.splititer(form):
        units = UNITS.findall(stretch) if RUNS.fullmatch(stretch) else None
        if units:
            for at in range(max(1, len(units) - 1)):
                yield "".join(units[at:at + 2]), False
        else:
            for word in uax29_words(stretch):
                if regex.search(r"[\p{L}\p{N}]", word):
                    yield word, True


def stop_words(language):
    path = Path(__file__).parent / "../../stop_words" / f"{language}.txt"
    return {normal_form(word) for word in path.read_text().split()} if path.exists() else set()


STOP_WORDS = {language: stop_words(language) for language in LANGUAGES}
STEMMERS = {language: snowballstemmer.stemmer(language) for language in LANGUAGES}


def terms(name, text):
    for token, is_word in segments(normal_form(text)):
        if not is_word:
            yield token
            continue
        if name in STEMMERS and len(token) <= LONGEST:
            if name == "english":
                token = token.removesuffix("'s")
            if token in STOP_WORDS[name]:
                continue
            token = STEMMERS[name].stemWord(token)
        yield fold_accents(token)


def tokens(name, text):
    found = regex.split(r"\p{White_Space}+", normal_form(text)) if name == "whitespace" else terms(name, text)
    return [token[at:at + LONGEST] for token in found for at in range(0, len(token), LONGEST)]


POOLS = [
    "abcXYZ019 ._-'’:,@/", "éàüßøÆœÐþĦıİłŁđǅﬁŉſ", "аяёйїЩ҃", "αάςΣᾳῷΐ", "אבשׁלוֹם״׳", "أإآبةىيمُّـ٣", "हिन्दीक़०",
    "தமிழ்", "汉字漢々〆〇㐀𠮷", "ひらがなゃ゛ゝ", "カタカナーヴﾊﾞﾟｶ・", "한국어각각한", "กขิ้เแๆ๕ำ", "ລາວຳໜ", "ខ្មែរ៕", "မြန်မာ၏",
    "\u00ad\u200b\u200c\u200d\ufeff\u2060\ufe0f\u3164", "👍🏽🇩🇪👩€©①Ⅷ½²㌔㈱🅰Ⓐ", "\u0301\u0308\u0327\u0345\u20e3\u3099", "\t\n\u00a0\u3000\u2028\u0000\u001c\u0085",
]


def random_texts(count):
    rng = random.Random(13)
    known = [chr(code) for code in range(0x20, 0x1FBFF)
             if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")]
    for _ in range(count):
        pools = rng.sample(POOLS, rng.randint(1, 4))
        yield "".join(rng.choice(known) if rng.random() < 0.05 else rng.choice(rng.choice(pools))
                      for _ in range(rng.randint(1, 40)))


def main():
    cases = []
    for group, texts in TEXTS.items():
        names = MAIN + [group] if group in LANGUAGES and group not in MAIN else MAIN
        cases += [(text, names) for text in texts]
    # Folded, an iota subscript becomes a letter, before or after a mark of another script beside it: both orders are in use, and
    # only `whitespace` shows it, as the others drop such a mark.
    ordered = [name for name in MAIN if name != "whitespace"]
    cases += [(text, ordered if "\u0345" in unicodedata.normalize("NFKD", text) else MAIN) for text in random_texts(300)]
    cases += [(text, MAIN) for text in ["x" * 255, "y" * 256, "é" * 600, "æ" * 200, "漢" + "\u0301" * 300, "1" * 511]]
    assert len(cases) >= 500, len(cases)
    rows = [{"text": text, "tokens": {name: tokens(name, text) for name in names}} for text, names in cases]
    print("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows) + "\n]")


if __name__ == "__main__":
    main()
