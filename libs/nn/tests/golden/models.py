"""Writes the golden files of the models: PyTorch's logits, losses and every gradient for tiny random checkpoints.

    python models.py

needs torch, transformers and safetensors, and leaves llama_score.safetensors, llama_lm.safetensors,
llama_lm_tied.safetensors, llama3.safetensors, mistral.safetensors, qwen2.safetensors, qwen3.safetensors, gemma.safetensors,
gemma2.safetensors, gemma3.safetensors, bert.safetensors, roberta.safetensors, xlm_roberta.safetensors,
distilbert.safetensors, electra.safetensors, modernbert.safetensors, modernbert_mean.safetensors, deberta.safetensors,
deberta_split.safetensors, deberta_c2p.safetensors, deberta_p2c.safetensors and deberta_plain.safetensors beside itself. A file
holds the checkpoint under its own names, gradients under
`<loss>.grad.<name>`, and the values under `<loss>.loss` and `logits`; its metadata hold config.json.
"""

import copy
import json
import pathlib

import torch
import transformers
from safetensors.torch import save_file

FOLDER = pathlib.Path(__file__).parent
SEQUENCES = [
    [5, 96, 13, 0, 44, 2],
    [7, 7, 1],
    [90, 31, 8, 60, 2, 17, 55, 41, 3, 3, 29],
    [64],
    [12, 80, 33, 21],
]
# Sequences for models whose tokens see each other by their distance: longer than their windows and buckets.
LONG = [[(7 * i * i + 3 * i + 11 * n + 5) % 96 for i in range(n)] for n in (40, 3, 23, 1, 11)]
# The token that `LONG` lacks: PyTorch gives the padding token's embedding no gradient.
ABSENT = 96
# The tokens of each sequence from this index on have a language model loss.
LOSS_START = [2, 1, 4, 0, 3]
# Lists of sequences: the first three, the last two.
LISTS = [range(0, 3), range(3, 5)]
GRADES = [2.0, 0.0, 1.0, 0.0, 1.0]
TEACHER = [0.7, -1.1, 0.2, 0.4, 2.0]
MARGIN = 0.5
ALPHA = 0.3


def spread(model):
    """Moves every weight off its initial value, so that no gradient is small by symmetry."""
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            weight.add_(0.15 * torch.randn(weight.shape, generator=generator))
    return model.eval()


def pairs(better):
    return [(i, j) for part in LISTS for i in part for j in part if better(i, j)]


def hinge(scores):
    chosen = pairs(lambda i, j: GRADES[i] > GRADES[j])
    return torch.stack([torch.relu(MARGIN - scores[i] + scores[j]) for i, j in chosen]).mean()


def logistic(scores):
    chosen = pairs(lambda i, j: GRADES[i] > GRADES[j])
    return torch.stack([torch.nn.functional.softplus(scores[j] - scores[i]) for i, j in chosen]).mean()


def hybrid(scores):
    teacher = torch.tensor(TEACHER)
    pointwise = ((teacher - scores) ** 2).mean()
    chosen = pairs(lambda i, j: i < j)
    margins = [((teacher[i] - teacher[j]) - (scores[i] - scores[j])) ** 2 for i, j in chosen]
    return ALPHA * pointwise + (1 - ALPHA) * torch.stack(margins).mean()


def record(model, losses):
    """Values and gradients of every loss, each from one forward pass over sequences run alone."""
    tensors = {}
    for name, loss in losses.items():
        model.zero_grad()
        value = loss()
        value.backward()
        tensors[f"{name}.loss"] = value.detach().reshape(1)
        for weight_name, weight in model.named_parameters():
            tensors[f"{name}.grad.{weight_name}"] = weight.grad.clone()
    return tensors


def write(file, model, tensors):
    weights = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    config = json.loads(model.config.to_json_string(use_diff=False))
    save_file(weights | tensors, FOLDER / file, metadata={"format": "pt", "config": json.dumps(config)})


def llama_config(layers, **extra):
    return transformers.LlamaConfig(
        vocab_size=97,
        hidden_size=48,
        intermediate_size=22,
        num_hidden_layers=layers,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=32,
        rope_theta=500.0,
        rms_norm_eps=1e-5,
        pad_token_id=4,
        attn_implementation="eager",
        **extra,
    )


def llama_score():
    torch.manual_seed(1)
    model = spread(transformers.LlamaForSequenceClassification(llama_config(2, num_labels=1)))

    def scores():
        return torch.cat([model(input_ids=torch.tensor([ids])).logits[0] for ids in SEQUENCES])

    losses = {name: lambda loss=loss: loss(scores()) for name, loss in [("hinge", hinge), ("logistic", logistic)]}
    tensors = record(model, losses)
    tensors["logits"] = scores().detach()
    write("llama_score.safetensors", model, tensors)


def llama_lm(file, tied):
    torch.manual_seed(2)
    model = spread(transformers.LlamaForCausalLM(llama_config(1, tie_word_embeddings=tied)))

    def loss():
        rows, targets = [], []
        for ids, start in zip(SEQUENCES, LOSS_START):
            if len(ids) > 1:
                logits = model(input_ids=torch.tensor([ids])).logits[0]
                first = max(start, 1)
                rows.append(logits[first - 1 : -1])
                targets += ids[first:]
        return torch.nn.functional.cross_entropy(torch.cat(rows), torch.tensor(targets))

    write(file, model, record(model, {"cpt": loss}))


def padded_logits(model, sequences, **others):
    """The logits of all sequences from one batch, padded on the right."""
    length = max(map(len, sequences))
    pad = model.config.pad_token_id
    ids = torch.tensor([ids + [pad] * (length - len(ids)) for ids in sequences])
    others = {name: torch.tensor([row + [0] * (length - len(row)) for row in rows]) for name, rows in others.items()}
    return model(input_ids=ids, attention_mask=(ids != pad).long(), **others).logits


def padded_scores(model, sequences=SEQUENCES, **others):
    return padded_logits(model, sequences, **others)[:, 0]


def second_halves(sequences):
    """Token types: the second half of each sequence is the second segment."""
    return [[int(2 * index >= len(ids)) for index in range(len(ids))] for ids in sequences]


def score_family(file, family, matters, **sizes):
    """A decoder of a family with odd sizes. `matters` are fields of its configuration, each with a value under which the
    scores must differ, or the file would not show that the field is obeyed."""
    torch.manual_seed(4)
    config_class = getattr(transformers, f"{family}Config")
    model_class = getattr(transformers, f"{family}ForSequenceClassification")
    config = config_class(
        vocab_size=97,
        intermediate_size=14,
        num_hidden_layers=2,
        max_position_embeddings=32,
        rms_norm_eps=1e-5,
        pad_token_id=4,
        num_labels=1,
        attn_implementation="eager",
        **sizes,
    )
    model = spread(model_class(config))
    scores = padded_scores(model).detach()
    alone = torch.cat([model(input_ids=torch.tensor([ids])).logits[0] for ids in SEQUENCES])
    torch.testing.assert_close(scores, alone, rtol=1e-4, atol=1e-5)
    for field, value in matters.items():
        changed = copy.deepcopy(config)
        setattr(changed, field, value)
        other = model_class(changed).eval()
        other.load_state_dict(model.state_dict())
        difference = (padded_scores(other) - scores).abs().max().item()
        assert difference > 1e-2, f"{family}: {field} changes the scores by {difference} alone"

    tensors = record(model, {"hinge": lambda: hinge(padded_scores(model))})
    write(file, model, tensors | {"logits": scores})


def families():
    odd = dict(hidden_size=24, num_attention_heads=3, num_key_value_heads=1, head_dim=10)
    long = {"rope_type": "default", "rope_theta": 50.0}
    scaled = {
        "rope_type": "llama3",
        "rope_theta": 50.0,
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8,
    }
    score_family(
        "llama3.safetensors",
        "Llama",
        {"rope_parameters": long},
        rope_parameters=scaled,
        attention_bias=True,
        mlp_bias=True,
        **odd,
    )
    score_family("mistral.safetensors", "Mistral", {"sliding_window": 5}, sliding_window=4, **odd)
    full = ["full_attention"] * 2
    score_family(
        "qwen2.safetensors",
        "Qwen2",
        {"layer_types": full, "sliding_window": 4},
        hidden_size=24,
        num_attention_heads=4,
        num_key_value_heads=2,
        use_sliding_window=True,
        sliding_window=3,
        max_window_layers=1,
    )
    score_family(
        "qwen3.safetensors",
        "Qwen3",
        {"layer_types": full, "sliding_window": 4},
        use_sliding_window=True,
        sliding_window=3,
        layer_types=["sliding_attention", "full_attention"],
        **odd,
    )
    gemmas(odd, full)


def gemmas(odd, full):
    score_family("gemma.safetensors", "Gemma", {}, rope_parameters={"rope_type": "default", "rope_theta": 50.0}, **odd)
    linear = {"rope_type": "linear", "rope_theta": 50.0, "factor": 4.0}
    score_family(
        "gemma2.safetensors",
        "Gemma2",
        {"layer_types": full, "sliding_window": 4, "query_pre_attn_scalar": 10, "attn_logit_softcapping": None},
        query_pre_attn_scalar=3,
        attn_logit_softcapping=1.5,
        final_logit_softcapping=2.0,
        sliding_window=3,
        **odd,
    )
    near = {"rope_type": "default", "rope_theta": 20.0}
    score_family(
        "gemma3.safetensors",
        "Gemma3Text",
        {
            "layer_types": full,
            "sliding_window": 4,
            "query_pre_attn_scalar": 10,
            "rope_parameters": {"full_attention": linear, "sliding_attention": linear},
        },
        query_pre_attn_scalar=3,
        sliding_window=3,
        layer_types=["sliding_attention", "full_attention"],
        rope_parameters={"full_attention": linear, "sliding_attention": near},
        attention_bias=True,
        **odd,
    )


def encoder(file, seed, family, sizes, types=False, matters=None, sequences=SEQUENCES):
    """An encoder with the distillation loss. `matters` as for `score_family`."""
    torch.manual_seed(seed)
    config_class = getattr(transformers, f"{family}Config")
    model_class = getattr(transformers, f"{family}ForSequenceClassification")
    sizes = dict(max_position_embeddings=32) | sizes
    config = config_class(vocab_size=97, num_labels=1, attn_implementation="eager", **sizes)
    model = spread(model_class(config))
    types = {"token_type_ids": second_halves(sequences)} if types else {}

    def scores():
        logits = []
        for index, ids in enumerate(sequences):
            own = {name: torch.tensor([rows[index]]) for name, rows in types.items()}
            logits.append(model(input_ids=torch.tensor([ids]), **own).logits[0])
        return torch.cat(logits)

    alone = scores().detach()
    torch.testing.assert_close(padded_scores(model, sequences, **types).detach(), alone, rtol=1e-4, atol=1e-5)
    for field, value in (matters or {}).items():
        changed = copy.deepcopy(config)
        setattr(changed, field, value)
        other = model_class(changed).eval()
        other.load_state_dict(model.state_dict())
        difference = (padded_scores(other, sequences, **types) - alone).abs().max().item()
        assert difference > 1e-2, f"{family}: {field} changes the scores by {difference} alone"
    tensors = record(model, {"hybrid": lambda: hybrid(scores())})
    write(file, model, tensors | {"logits": alone})


def modernbert():
    """Tokens that see at most two others on each side in some layers, by rotary positions of their own."""
    ropes = [{"rope_type": "default", "rope_theta": theta} for theta in (300.0, 20.0)]
    odd = dict(hidden_size=30, intermediate_size=14, num_attention_heads=3, local_attention=5, pad_token_id=ABSENT)
    odd |= dict(max_position_embeddings=48, eos_token_id=None, bos_token_id=None, sep_token_id=None, cls_token_id=None)
    odd |= dict(rope_parameters=dict(zip(("full_attention", "sliding_attention"), ropes)))
    matters = {
        "local_attention": 7,
        "layer_types": ["full_attention"] * 3,
        "rope_parameters": {"full_attention": ropes[1], "sliding_attention": ropes[0]},
    }
    cls = odd | dict(num_hidden_layers=3, global_attn_every_n_layers=2)
    encoder("modernbert.safetensors", 9, "ModernBert", cls, matters=matters, sequences=LONG)
    biases = dict.fromkeys(["norm_bias", "attention_bias", "mlp_bias", "classifier_bias"], True)
    mean = odd | biases | dict(num_hidden_layers=2, classifier_pooling="mean")
    mean |= dict(layer_types=["sliding_attention", "full_attention"])
    matters = {"classifier_pooling": "cls"}
    encoder("modernbert_mean.safetensors", 10, "ModernBert", mean, matters=matters, sequences=LONG)


def deberta():
    """Scores by distance: with buckets and projections that are shared, as in version 3, and without; each term alone."""
    odd = dict(hidden_size=30, intermediate_size=14, num_attention_heads=3, pad_token_id=ABSENT, pooler_hidden_size=30)
    odd |= dict(num_hidden_layers=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    odd |= dict(max_position_embeddings=48, relative_attention=True)

    def save(name, seed, types=False, matters=None, **sizes):
        encoder(f"{name}.safetensors", seed, "DebertaV2", odd | sizes, types, matters, LONG)

    third = dict(position_buckets=4, max_relative_positions=8, norm_rel_ebd="layer_norm", position_biased_input=False)
    third |= dict(share_att_key=True, pos_att_type="p2c|c2p")
    save("deberta", 11, matters={"max_relative_positions": 20}, **third)
    split = dict(max_relative_positions=6, type_vocab_size=2, embedding_size=14, pos_att_type=["c2p", "p2c"])
    save("deberta_split", 12, types=True, **split)
    matters = {"max_relative_positions": 20}
    save("deberta_c2p", 13, matters=matters, position_buckets=6, share_att_key=True, pos_att_type=["c2p"])
    save("deberta_p2c", 14, pos_att_type=["p2c"], position_biased_input=False, num_hidden_layers=1)
    matters = {"pos_att_type": None}
    save("deberta_plain", 15, matters=matters, relative_attention=False, pos_att_type=["c2p"], num_hidden_layers=1)


def encoders():
    no_dropout = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    # A token the sequences lack: PyTorch gives the padding token's embedding no gradient.
    bert = dict(hidden_size=48, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3, pad_token_id=4)
    encoder("bert.safetensors", 3, "Bert", bert | no_dropout, types=True)
    # Positions count from the padding token.
    odd = dict(hidden_size=30, intermediate_size=14, num_hidden_layers=2, type_vocab_size=1) | no_dropout
    roberta = odd | dict(num_attention_heads=3, pad_token_id=4, layer_norm_eps=1e-5)
    encoder("roberta.safetensors", 5, "Roberta", roberta, matters={"pad_token_id": 6})
    xlm_roberta = odd | dict(num_attention_heads=5, pad_token_id=9)
    encoder("xlm_roberta.safetensors", 6, "XLMRoberta", xlm_roberta, matters={"pad_token_id": 4})
    electra = odd | dict(embedding_size=14, type_vocab_size=2, num_attention_heads=3, pad_token_id=4)
    encoder("electra.safetensors", 8, "Electra", electra, types=True)
    modernbert()
    deberta()
    no_dropout = dict(dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0)
    distilbert = dict(dim=30, hidden_dim=14, n_layers=2, n_heads=3, pad_token_id=4)
    encoder("distilbert.safetensors", 7, "DistilBert", distilbert | no_dropout)


if __name__ == "__main__":
    # One thread adds up in one order: the same numbers every time.
    torch.set_num_threads(1)
    llama_score()
    llama_lm("llama_lm.safetensors", tied=False)
    llama_lm("llama_lm_tied.safetensors", tied=True)
    families()
    encoders()
