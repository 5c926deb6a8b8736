"""Model folders with every kind of tokenizer, and the token ids that transformers gives them.

    python token_ids.py make ROOT [TEXTS]
    python token_ids.py check ROOT

needs transformers 5 and tokenizers; with sentencepiece too, the Unigram tokenizer gets the table of characters that XLM-R
has, without it none. `make` trains a tokenizer of each kind, saves it through its class into ROOT/NAME, spoils some folders
in the ways that folders are spoilt, and leaves ROOT/NAME/expected.json: {"ids": ids of each text without special tokens,
"pairs": [[ids, types], ...] of neighbouring texts, or null where nothing separates a pair}. ROOT/texts.json has the texts:
TEXTS of them (10,000 by default) for the tokenizers as saved, a tenth of that for the spoilt ones. `check` reads
ROOT/NAME/saved and compares.
"""

import json
import os
import pathlib
import random
import re
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import tokenizers
import transformers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers

CHECKED = 1000  # texts that `check` compares, of each folder
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
WORDS = (
    "red Shoes RUNNING don't I'LL we've 12345 3.14 naïve Ångström Straße İstanbul crème brûlée ﬁne ① ½ Ⅷ "
    "東京 天気予報 大阪市 コンピュータ ｺﾝﾋﾟｭｰﾀ ﾊﾞｽ ひらがな 你好 世界 漢字 한국어 가나다 ภาษาไทย น้ำ กำลัง اَلْعَرَبِيَّة مرحبا "
    "हिन्दी क्षत्रिय நன்றி Привет Ёлка ёж Ελληνικά Ὀδυσσεύς שלום 👩‍👩‍👧‍👦 👍🏽 🇯🇵 ❤️ e\u0301 a\u0308\u0323 \u0345 ﷺ Å K ſ ß ẞ ǅ "
    "[CLS] [SEP] [MASK] [PAD] <s> </s> <mask> <pad> <unk> <|endoftext|> <|begin|> [QRY] [DOC] llmranker LLMRanker "
    "\u200b \u200d \ufeff \u00ad \u0000 \u0007 \u001f \u0085 \ufffd \U000e0041 ##ing ▁x Ġ Ċ ... --- a_b x@y.z http://e.org/?q=1&r=2"
).split(" ")
SPACES = [" ", " ", " ", " ", "  ", "", "", "\n", "\t", "\r\n", "\u00a0", "\u3000", "\u2009", "\u2028", "   \n "]
RANGES = [
    (0x20, 0x7F), (0x00, 0x250), (0x300, 0x370), (0x370, 0x530), (0x590, 0x700), (0x900, 0xA00), (0xE00, 0xE80),
    (0x1100, 0x1200), (0x1E00, 0x2070), (0x2070, 0x2400), (0x3000, 0x3200), (0x4E00, 0x5000), (0xAC00, 0xAD00),
    (0xF900, 0xFB10), (0xFE00, 0x10000), (0x1F300, 0x1F700), (0x20000, 0x20050), (0x0, 0xD800), (0xE000, 0x30000),
]


def text(rng):
    def piece():
        if rng.random() < 0.7:
            word = rng.choice(WORDS)
            return rng.choice([word, word, word, word.upper(), word.lower(), word.title(), word[::-1]])
        low, high = rng.choice(RANGES)
        return "".join(chr(rng.randrange(low, high)) for _ in range(rng.randrange(1, 5)))

    return "".join(piece() + rng.choice(SPACES) for _ in range(rng.randrange(0, 12)))


def is_text(text):
    return not any(0xD800 <= ord(char) < 0xE000 for char in text)


def trained(model, normalizer, pre_tokenizer, trainer, special, corpus, **options):
    tokenizer = tokenizers.Tokenizer(model)
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(corpus, trainer(special_tokens=special, show_progress=False, **options))
    return json.loads(tokenizer.to_str())["model"]


def charsmap():
    """The table of characters of SentencePiece's default, nmt_nfkc; None without the library."""
    try:
        import io

        import sentencepiece
        from sentencepiece import sentencepiece_model_pb2 as proto
    except ImportError:
        return None
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(  # the table does not depend on the text
        sentence_iterator=iter(["a text of a few words"] * 9), model_writer=model, vocab_size=99, hard_vocab_limit=False, minloglevel=2
    )
    return proto.ModelProto.FromString(model.getvalue()).normalizer_spec.precompiled_charsmap


class Maker:
    def __init__(self, root, count):
        self.root = pathlib.Path(root)
        rng = random.Random(7)
        self.texts = [text for text in (text(rng) for _ in range(count)) if is_text(text)]
        self.corpus = self.texts[:1500]
        (self.root / "texts.json").write_text(json.dumps(self.texts))
        bert = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        roberta = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        word = lambda lower, special: trained(
            models.WordPiece(unk_token="[UNK]"), normalizers.BertNormalizer(lowercase=lower),
            pre_tokenizers.BertPreTokenizer(), trainers.WordPieceTrainer, special, self.corpus, vocab_size=900, limit_alphabet=500,
        )["vocab"]
        self.uncased, self.cased = word(True, bert), word(False, bert)
        self.mpnet = word(True, roberta + ["[UNK]"])
        byte = lambda pre, special, **options: trained(
            models.BPE(**options), None, pre, trainers.BpeTrainer, special, self.corpus, vocab_size=900,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )
        split = lambda regex: pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(regex), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
        self.gpt2 = byte(pre_tokenizers.ByteLevel(add_prefix_space=False), roberta + ["<|endoftext|>", "[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"])
        self.llama3_split = split(LLAMA3)
        self.llama3 = byte(self.llama3_split, ["<|begin|>", "<|endoftext|>"])
        self.qwen = byte(split(LLAMA3.replace("{1,3}", "")), ["<|endoftext|>"])
        few = [" ".join(rng.choices(WORDS, k=9)) for _ in range(1000)]  # a Unigram vocabulary holds every character it saw
        pieces = lambda special, unknown: [
            tuple(piece) for piece in trained(
                models.Unigram(), None, pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
                trainers.UnigramTrainer, special, few, vocab_size=900, unk_token=unknown,
            )["vocab"]
        ]
        self.xlmr, self.debv2 = pieces(roberta, "<unk>"), pieces(bert, "[UNK]")
        self.charsmap = charsmap()
        spaced = trained(
            models.BPE(fuse_unk=True, byte_fallback=True), None, pre_tokenizers.Metaspace(prepend_scheme="first", split=True),
            trainers.BpeTrainer, ["<unk>", "<s>", "</s>", "<bos>", "<eos>", "<pad>", "<mask>"] + [f"<0x{i:02X}>" for i in range(256)],
            self.corpus, vocab_size=1200, limit_alphabet=400,
        )
        self.spaced = spaced

    def done(self, name, count):
        """Notes what the library makes of a finished folder."""
        folder = self.root / name
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        write_expected(tokenizer, self.texts[:count], folder / "expected.json")

    def saved(self, name, tokenizer, model_type="bert", count=None, spoil=None, **config):
        """Saves through the class; `spoil` changes the folder, `config` fields of tokenizer_config.json (None: removed)."""
        folder = self.root / name
        tokenizer.save_pretrained(folder)
        (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
        if config:
            edit(folder / "tokenizer_config.json", **config)
        if spoil:
            spoil(folder)
        self.done(name, count or len(self.texts) // 10)

    def kinds(self):
        """Each kind as its class saves it."""
        every = len(self.texts)
        self.saved("bert_uncased", transformers.BertTokenizer(vocab=self.uncased), count=every)
        self.saved("bert_cased", transformers.BertTokenizer(vocab=self.cased, do_lower_case=False), count=every)
        self.saved("roberta", self.roberta(), "roberta", every)
        self.saved("llama3", self.llama3_tokenizer(), "llama", every)
        self.saved("qwen2", self.qwen2(), "qwen2", every)
        self.saved("xlm_roberta", self.unigram(), "xlm-roberta", every)
        self.saved("deberta_v2", transformers.DebertaV2Tokenizer(vocab=self.debv2), "deberta-v2", every)
        self.saved("llama", self.llama(), "llama")
        self.saved("gemma", transformers.GemmaTokenizer(**self.parts(self.spaced)), "gemma")
        self.saved("mpnet", transformers.MPNetTokenizer(vocab=self.mpnet), "mpnet")
        self.saved("distilbert", transformers.DistilBertTokenizer(vocab=self.uncased), "distilbert")
        self.saved("electra", transformers.BertTokenizer(vocab=self.cased), "electra", tokenizer_class="ElectraTokenizerFast")
        self.saved("camembert", transformers.CamembertTokenizer(vocab=self.xlmr, _spm_precompiled_charsmap=self.charsmap), "camembert")
        self.saved("deberta", transformers.DebertaTokenizer(**self.parts(self.gpt2)), "deberta")
        self.saved("gpt2", transformers.GPT2Tokenizer(**self.parts(self.gpt2)), "gpt2")

    def parts(self, model):
        return dict(vocab=model["vocab"], merges=[tuple(merge) for merge in model["merges"]])

    def roberta(self, **options):
        return transformers.RobertaTokenizer(**self.parts(self.gpt2), **options)

    def qwen2(self, **options):
        return transformers.Qwen2Tokenizer(**self.parts(self.qwen), **options)

    def llama(self, **options):
        return transformers.LlamaTokenizer(**self.parts(self.spaced), **options)

    def unigram(self):
        return transformers.XLMRobertaTokenizer(vocab=self.xlmr, _spm_precompiled_charsmap=self.charsmap)

    def llama3_tokenizer(self):
        tokenizer = tokenizers.Tokenizer(models.BPE(**self.parts(self.llama3), ignore_merges=True))
        tokenizer.pre_tokenizer = self.llama3_split
        tokenizer.decoder = decoders.ByteLevel()
        begin = tokenizer.token_to_id("<|begin|>")
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<|begin|> $A", pair="<|begin|> $A <|begin|>:1 $B:1", special_tokens=[("<|begin|>", begin)]),
        ])
        return transformers.PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, bos_token="<|begin|>", eos_token="<|endoftext|>"
        )

    def contradictions(self):
        """tokenizer_config.json says other than tokenizer.json."""
        bert = lambda **options: transformers.BertTokenizer(vocab=self.uncased, **options)
        self.saved("lower_a", bert(do_lower_case=True), do_lower_case=False)
        self.saved("lower_b", bert(do_lower_case=False), do_lower_case=True)
        self.saved("lower_c", bert(do_lower_case=False), do_lower_case=None)
        self.saved("accents", bert(), strip_accents=False)
        self.saved("accents_stripped", bert(do_lower_case=False), strip_accents=True)
        self.saved("chinese", bert(), tokenize_chinese_chars=False)
        self.saved("no_class", bert(do_lower_case=False), tokenizer_class=None)
        self.saved("as_written", bert(do_lower_case=False), tokenizer_class="PreTrainedTokenizerFast", do_lower_case=True)
        self.saved("as_written_types", bert(), tokenizer_class="TokenizersBackend", model_input_names=["input_ids", "token_type_ids"])
        self.saved("no_class_modernbert", bert(), "modernbert", tokenizer_class=None)
        self.saved("class_of_modernbert", bert(do_lower_case=False), "modernbert", do_lower_case=True)
        self.saved("no_config", bert(do_lower_case=False), spoil=lambda folder: (folder / "tokenizer_config.json").unlink())
        self.saved("no_model", bert(), do_lower_case=False, spoil=lambda folder: (folder / "config.json").unlink())
        odd = dict(
            post_processor={"type": "BertProcessing", "sep": ["[MASK]", 4], "cls": ["[SEP]", 3]},
            normalizer={"type": "NFKC"}, pre_tokenizer={"type": "Whitespace"},
        )
        spoil = lambda folder: edit(folder / "tokenizer.json", **odd)
        self.saved("odd_parts", bert(), spoil=spoil)
        self.saved("odd_parts_as_written", bert(), spoil=spoil, tokenizer_class="PreTrainedTokenizerFast")
        self.saved("roberta_prefix", self.roberta(), "roberta", add_prefix_space=True)
        self.saved("xlmr_no_prefix", self.unigram(), "xlm-roberta", add_prefix_space=False)
        self.saved("debv2_lower", transformers.DebertaV2Tokenizer(vocab=self.debv2), "deberta-v2", do_lower_case=True, split_by_punct=True)
        self.saved("llama_legacy", self.llama(), "llama", legacy=True)
        self.saved("llama_no_prefix", self.llama(), "llama", add_prefix_space=False)
        self.saved("llama_bos", self.llama(add_bos_token=True, add_eos_token=True), "llama", add_bos_token=False)
        self.saved("llama_bytes", self.llama3_tokenizer(), "llama", tokenizer_class="LlamaTokenizerFast")
        self.saved("mistral_class", self.llama(), "mistral", legacy=True)
        self.saved("qwen2_as_written", self.llama3_tokenizer(), "qwen2", tokenizer_class="PreTrainedTokenizerFast")
        self.saved("qwen3_as_written", self.llama3_tokenizer(), "qwen3", tokenizer_class="PreTrainedTokenizerFast")
        none = lambda folder: edit(folder / "tokenizer.json", post_processor=Ellipsis)
        self.saved("no_post_processor", self.llama3_tokenizer(), "llama", spoil=none)

    def added(self):
        """Tokens that some of the files add."""
        bert = lambda: transformers.BertTokenizer(vocab=self.uncased)
        flags = [
            AddedToken("llmranker", normalized=True), AddedToken("Shoes", single_word=True, normalized=False),
            AddedToken("[QRY]", lstrip=True, special=True), AddedToken("[DOC]", rstrip=True, special=True), AddedToken("naïve", normalized=True),
        ]
        for name, tokenizer, kind in [
            ("bert", bert(), "bert"), ("roberta", self.roberta(), "roberta"), ("xlmr", self.unigram(), "xlm-roberta"),
            ("llama", self.llama(), "llama"), ("qwen2", self.qwen2(), "qwen2"), ("llama3", self.llama3_tokenizer(), "llama"),
        ]:
            tokenizer.add_tokens(flags)
            self.saved("added_" + name, tokenizer, kind)
            self.saved("split_" + name, tokenizer, kind, split_special_tokens=True)
            more = lambda folder: edit(folder / "tokenizer_config.json", added_tokens_decoder={
                "5000": {"content": "東京", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False},
                "5001": {"content": "running", "normalized": True, "special": False}, "4000": {"content": "<later>", "special": True},
            })
            self.saved("decoder_" + name, tokenizer, kind, spoil=more)
            self.saved("extra_" + name, tokenizer, kind, extra_special_tokens=["天気", "don't"], image_token="世界")
            self.saved("table_" + name, tokenizer, kind, extra_special_tokens={"one_token": "天気", "two": "don't"})
            self.saved("older_" + name, tokenizer, kind, spoil=older, additional_special_tokens=["Привет"])
            self.saved("older_as_written_" + name, tokenizer, kind, spoil=older, tokenizer_class="PreTrainedTokenizerFast")

    def lone(self):
        """Vocabularies without tokenizer.json."""
        def words(folder):
            vocab = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
            (folder / "vocab.txt").write_text("\n".join(sorted(vocab, key=vocab.get)) + "\n")
            (folder / "tokenizer.json").unlink()

        def merges(folder):
            model = json.loads((folder / "tokenizer.json").read_text())["model"]
            (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
            (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(merge) for merge in model["merges"]) + "\n")
            (folder / "tokenizer.json").unlink()

        def bare(folder):
            words(folder)
            (folder / "tokenizer_config.json").unlink()

        def with_added(folder):
            words(folder)
            (folder / "added_tokens.json").write_text(json.dumps({"llmranker": len(self.cased), "[QRY]": len(self.cased) + 1}))
            (folder / "special_tokens_map.json").write_text(json.dumps({"additional_special_tokens": ["[QRY]"], "cls_token": "[CLS]"}))

        bert = transformers.BertTokenizer(vocab=self.cased, do_lower_case=False)
        self.saved("vocab_txt", bert, spoil=words)
        self.saved("vocab_txt_bare", bert, spoil=bare)
        self.saved("vocab_txt_added", bert, spoil=with_added)
        self.saved("vocab_txt_mpnet", transformers.MPNetTokenizer(vocab=self.mpnet), "mpnet", spoil=words)
        self.saved("merges_roberta", self.roberta(), "roberta", spoil=merges)
        self.saved("merges_qwen2", self.qwen2(), "qwen2", spoil=merges)
        self.saved("merges_gpt2", transformers.GPT2Tokenizer(**self.parts(self.gpt2)), "gpt2", spoil=merges, add_bos_token=True)


def older(folder):
    """The files that releases before 5 wrote beside tokenizer.json."""
    (folder / "added_tokens.json").write_text(json.dumps({"hello": 6000, "Ёлка": 6001}))
    (folder / "special_tokens_map.json").write_text(json.dumps({
        "additional_special_tokens": ["ภาษาไทย", "[QRY]"],
        "mask_token": {"content": "<mask>", "lstrip": True, "rstrip": False, "single_word": False, "normalized": False},
    }))


def edit(path, **fields):
    content = json.loads(path.read_text())
    for name, value in fields.items():
        content.pop(name, None)
        if value is Ellipsis:
            content[name] = None
        elif value is not None:
            content[name] = value
    path.write_text(json.dumps(content, ensure_ascii=False))


def folded(text):
    """The text with single spaces between words; Python's `split` takes four control characters for spaces that are none."""
    return " ".join(word for word in re.split(r"[^\S\x1c-\x1f]+", text) if word)


def expected(tokenizer, texts):
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    pairs = []
    for query, document in zip(texts[:200:2], texts[1:200:2]):
        pair = tokenizer(query := folded(query) or "a", document := folded(document) or "b")
        pairs.append([pair["input_ids"], pair.get("token_type_ids") or [0] * len(pair["input_ids"])])
    sides = tokenizer("a", "a").sequence_ids()
    is_separated = sides.index(1) > len(sides) - sides[::-1].index(0)
    return {"ids": ids, "pairs": pairs if is_separated else None}


def write_expected(tokenizer, texts, path):
    path.write_text(json.dumps(expected(tokenizer, texts)))


def make(root, count=10_000):
    maker = Maker(root, count)
    maker.kinds()
    maker.contradictions()
    maker.added()
    maker.lone()


def check(root):
    root = pathlib.Path(root)
    texts = json.loads((root / "texts.json").read_text())
    for path in sorted(root.glob("*/expected.json")):
        theirs = json.loads(path.read_text())
        ours = expected(transformers.AutoTokenizer.from_pretrained(path.parent / "saved"), texts[: min(CHECKED, len(theirs["ids"]))])
        for index, (left, right) in enumerate(zip(theirs["ids"], ours["ids"])):
            assert left == right, f"{path.parent.name}: text {index} {texts[index]!r}: expected {left}, found {right}"
        assert theirs["pairs"] == ours["pairs"], f"{path.parent.name}: pairs differ"


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        check(sys.argv[2])
