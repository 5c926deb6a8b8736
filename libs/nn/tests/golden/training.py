"""Trains the checkpoints that models.py wrote: ten steps of torch.optim.AdamW on padded batches for every architecture,
and the language model loss of the decoders with every gradient.

    python training.py

needs torch, transformers and safetensors, and leaves training.safetensors and, of the language models,
mistral_lm.safetensors, qwen2_lm.safetensors, qwen3_lm.safetensors, gemma_lm.safetensors, gemma2_lm.safetensors and
gemma3_lm.safetensors beside itself. The former holds for each architecture
`<architecture>.losses` and `<architecture>.norms`, one number a step, and for each weight after the last step
`<architecture>.moved.<name>`, how far it has come (the Euclidean norm), and `<architecture>.sample.<name>`, its values at
equal distances.
"""

import json

import torch
import transformers
from safetensors import safe_open
from safetensors.torch import save_file

import models

STEPS = 10
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.1
MAX_NORM = 6.0
# Above the rounding errors of small gradients.
EPSILON = 1e-5
# Values of each weight that are kept.
SAMPLE = 12
ENCODERS = ["bert", "roberta", "xlm_roberta", "distilbert", "electra", "modernbert", "modernbert_mean"]
ENCODERS += ["deberta", "deberta_split", "deberta_c2p", "deberta_p2c", "deberta_plain"]
# Of models.py, each with odd sizes.
DECODERS = ["llama3", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3"]


def open_golden(file, model_class, **changes):
    """The model of a golden file, with other values of some fields of its configuration."""
    with safe_open(models.FOLDER / file, "pt") as golden:
        config = json.loads(golden.metadata()["config"]) | changes
        config = transformers.AutoConfig.for_model(**config)
        model = model_class.from_config(config, attn_implementation="eager")
        stored = set(golden.keys())
        weights = {name: golden.get_tensor(name) for name, _ in model.named_parameters() if name in stored}
    missing, _ = model.load_state_dict(weights, strict=False)
    assert set(missing) <= {"lm_head.weight"}, missing
    return model.eval()


def ten_steps(file, name, loss):
    model = open_golden(file, transformers.AutoModelForSequenceClassification)
    weights = dict(model.named_parameters())
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    groups = [
        {"params": [weight for weight in weights.values() if weight.ndim > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [weight for weight in weights.values() if weight.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, eps=EPSILON)
    losses, norms = [], []
    for step in range(STEPS):
        # Another sequence comes first each time.
        own = models.LONG if name.startswith(("modernbert", "deberta")) else models.SEQUENCES
        first = step % len(own)
        sequences = own[first:] + own[:first]
        typed = getattr(model.config, "type_vocab_size", 1) > 1
        types = {"token_type_ids": models.second_halves(sequences)} if typed else {}
        optimizer.zero_grad()
        value = loss(models.padded_logits(model, sequences, **types)[:, 0])
        value.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(weights.values(), MAX_NORM))
        losses.append(value.detach())
        optimizer.step()
    tensors = {"losses": torch.stack(losses), "norms": torch.stack(norms)}
    for weight_name, weight in weights.items():
        flat = weight.detach().flatten()
        tensors[f"moved.{weight_name}"] = (flat - before[weight_name].flatten()).norm().reshape(1)
        tensors[f"sample.{weight_name}"] = flat[:: -(-len(flat) // SAMPLE)].clone()
    return {f"{name}.{key}": tensor for key, tensor in tensors.items()}


def language_model(file, golden):
    """The body of a ranker with the embedding as its head."""
    model = open_golden(golden, transformers.AutoModelForCausalLM, tie_word_embeddings=True)

    def loss():
        logits = models.padded_logits(model, models.SEQUENCES)
        rows, targets = [], []
        for row, ids, start in zip(logits, models.SEQUENCES, models.LOSS_START):
            first = max(start, 1)
            rows.append(row[first - 1 : len(ids) - 1])
            targets += ids[first:]
        return torch.nn.functional.cross_entropy(torch.cat(rows), torch.tensor(targets))

    if getattr(model.config, "final_logit_softcapping", None) is not None:
        bounded, cap = loss(), model.config.final_logit_softcapping
        model.config.final_logit_softcapping = None
        assert (loss() - bounded).abs() > 1e-2, f"{golden}: the bound of the logits does not matter"
        model.config.final_logit_softcapping = cap
    config = model.config.to_json_string(use_diff=False)
    tensors = models.record(model, {"cpt": loss})
    save_file(tensors, models.FOLDER / file, metadata={"format": "pt", "config": config})


if __name__ == "__main__":
    # One thread adds up in one order: the same numbers every time.
    torch.set_num_threads(1)
    trained = {}
    for encoder in ENCODERS:
        trained |= ten_steps(f"{encoder}.safetensors", encoder, models.hybrid)
    trained |= ten_steps("llama_score.safetensors", "llama_score", models.hinge)
    for family in DECODERS:
        trained |= ten_steps(f"{family}.safetensors", family, models.hinge)
    norms = torch.cat([values for name, values in trained.items() if name.endswith(".norms")])
    assert norms.min() < MAX_NORM < norms.max(), "clipping must both act and rest"
    save_file(trained, models.FOLDER / "training.safetensors", metadata={"format": "pt"})
    for family in DECODERS[1:]:
        language_model(f"{family}_lm.safetensors", f"{family}.safetensors")
