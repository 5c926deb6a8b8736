"""Saves tiny random cross-encoders as transformers and sentence-transformers do, with their scores of a few pairs.

    python foreign.py

needs torch, transformers, tokenizers and sentence-transformers, and leaves the folders roberta (saved by transformers),
xlm_roberta (by sentence-transformers), distilbert, electra, modernbert and deberta (by transformers) in foreign/ beside
itself, each with the kind of tokenizer its family has: byte-level BPE, Unigram, WordPiece. foreign/scores.json holds the pairs (query, title, summary) and,
by folder, sentence-transformers' raw logits and the tokens of each pair.
"""

import json
import pathlib
import shutil

import tokenizers
import torch
import transformers
from sentence_transformers import CrossEncoder

import models

FOLDER = pathlib.Path(__file__).parent / "foreign"
CORPUS = [
    "red shoes for running on wet roads",
    "cheap red shoes, and blue ones too",
    "a desk lamp with a warm light",
    "How to repair a lamp: tools and steps",
    "crème brûlée recipe with vanilla",
    "東京 の 天気",
] * 4
PAIRS = [
    ("red shoes", "Cheap red shoes", "for running on wet roads"),
    ("desk lamp", "A warm light", ""),
    ("repair a lamp", "", "tools, steps and a desk"),
    ("crème brûlée", "Vanilla recipe", "crème with VANILLA"),
    ("東京 天気", "天気", "東京 の lamp"),
    ("wet", "roads?", "(no!) 12.5 % of red & blue"),
    ("shoes", "plain", "text"),
]
SIZES = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2)
ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def learnt(model, trainer, pre_tokenizer):
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(CORPUS, trainer)
    return json.loads(tokenizer.to_str())["model"]


def byte_level():
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=ROBERTA_SPECIAL,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    model = learnt(tokenizers.models.BPE(), trainer, byte_level)
    merges = [tuple(merge) for merge in model["merges"]]
    return transformers.RobertaTokenizer(vocab=model["vocab"], merges=merges, model_max_length=64)


def unigram():
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=120, special_tokens=ROBERTA_SPECIAL, unk_token="<unk>", show_progress=False
    )
    model = learnt(tokenizers.models.Unigram(), trainer, tokenizers.pre_tokenizers.Metaspace())
    vocab = [(piece, score) for piece, score in model["vocab"]]
    return transformers.XLMRobertaTokenizer(vocab=vocab, model_max_length=64)


def deberta_unigram():
    trainer = tokenizers.trainers.UnigramTrainer(
        vocab_size=120, special_tokens=BERT_SPECIAL, unk_token="[UNK]", show_progress=False
    )
    model = learnt(tokenizers.models.Unigram(), trainer, tokenizers.pre_tokenizers.Metaspace())
    vocab = [(piece, score) for piece, score in model["vocab"]]
    return transformers.DebertaV2Tokenizer(vocab=vocab, model_max_length=64)


def modern_byte_level():
    """ModernBERT's: no class of its own, and no token types."""
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, special_tokens=BERT_SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ends
    )
    names = ["pad_token", "unk_token", "cls_token", "sep_token", "mask_token"]
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        model_input_names=["input_ids", "attention_mask"],
        **dict(zip(names, BERT_SPECIAL)),
    )


def word_piece(tokenizer_class):
    trainer = tokenizers.trainers.WordPieceTrainer(vocab_size=120, special_tokens=BERT_SPECIAL, show_progress=False)
    pieces = tokenizers.models.WordPiece(unk_token="[UNK]")
    lower = [text.lower() for text in CORPUS]
    tokenizer = tokenizers.Tokenizer(pieces)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(lower, trainer)
    vocab = json.loads(tokenizer.to_str())["model"]["vocab"]
    return tokenizer_class(vocab=vocab, model_max_length=64)


def document(title, summary):
    return " ".join(f"{title} {summary}".split())


def save(name, model, tokenizer, by_cross_encoder):
    folder = FOLDER / name
    # Three times as far, so that different texts have different scores.
    for _ in range(3):
        model = models.spread(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if by_cross_encoder:
        CrossEncoder(str(folder), device="cpu").save_pretrained(str(folder))
        for file in ["README.md", "modules.json"]:
            (folder / file).unlink(missing_ok=True)
    cross_encoder = CrossEncoder(str(folder), device="cpu")
    pairs = [(query, document(title, summary)) for query, title, summary in PAIRS]
    scores = cross_encoder.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
    assert scores.std() > 0.05, f"{name}: the scores hardly differ: {scores}"
    ids = tokenizer(*map(list, zip(*pairs)))["input_ids"]
    tokens = [tokenizer.convert_ids_to_tokens(row) for row in ids]
    return {"scores": [float(score) for score in scores], "tokens": tokens}


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(8)
    shutil.rmtree(FOLDER, ignore_errors=True)
    # 64 tokens and the rows that come before the first position.
    roberta = SIZES | dict(type_vocab_size=1, max_position_embeddings=66, pad_token_id=1, num_labels=1)
    folders = {}
    tokenizer = byte_level()
    config = transformers.RobertaConfig(vocab_size=len(tokenizer), **roberta)
    folders["roberta"] = save("roberta", transformers.RobertaForSequenceClassification(config), tokenizer, False)
    tokenizer = unigram()
    config = transformers.XLMRobertaConfig(vocab_size=len(tokenizer), **roberta)
    folders["xlm_roberta"] = save("xlm_roberta", transformers.XLMRobertaForSequenceClassification(config), tokenizer, True)
    tokenizer = word_piece(transformers.DistilBertTokenizer)
    config = transformers.DistilBertConfig(
        vocab_size=len(tokenizer), dim=16, hidden_dim=24, n_layers=2, n_heads=2, max_position_embeddings=64, num_labels=1
    )
    folders["distilbert"] = save(
        "distilbert", transformers.DistilBertForSequenceClassification(config), tokenizer, False
    )
    bert = SIZES | dict(max_position_embeddings=64, pad_token_id=0, num_labels=1)
    tokenizer = word_piece(transformers.BertTokenizer)
    config = transformers.ElectraConfig(vocab_size=len(tokenizer), embedding_size=12, **bert)
    folders["electra"] = save("electra", transformers.ElectraForSequenceClassification(config), tokenizer, False)
    tokenizer = modern_byte_level()
    ids = dict(bos_token_id=2, cls_token_id=2, eos_token_id=3, sep_token_id=3)
    local = dict(local_attention=6, classifier_pooling="mean") | ids
    config = transformers.ModernBertConfig(vocab_size=len(tokenizer), **local, **bert)
    folders["modernbert"] = save("modernbert", transformers.ModernBertForSequenceClassification(config), tokenizer, False)
    tokenizer = deberta_unigram()
    third = dict(relative_attention=True, position_buckets=4, norm_rel_ebd="layer_norm", position_biased_input=False)
    third |= dict(share_att_key=True, pos_att_type=["p2c", "c2p"], type_vocab_size=0)
    config = transformers.DebertaV2Config(vocab_size=len(tokenizer), **third, **bert)
    folders["deberta"] = save("deberta", transformers.DebertaV2ForSequenceClassification(config), tokenizer, False)
    text = json.dumps({"pairs": PAIRS, "folders": folders}, indent=1, ensure_ascii=False)
    (FOLDER / "scores.json").write_text(text + "\n", encoding="utf8")
