"""Saves tiny adapters as PEFT does, in every way that this crate reads, with the raw logits of the models they make.

    python adapters.py

needs torch, transformers, peft and safetensors, and leaves the folder adapters/ beside itself: base models in bert (a body
with its pooler), bert_ranker, llama (a language model) and llama_ranker, an adapter of one of them in each other folder, and
expected.json. That holds the token ids of the sequences and by folder PEFT's logits of each, or the mean loss of a language
model's next tokens.
"""

import json
import pathlib
import shutil

import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

import models

FOLDER = pathlib.Path(__file__).parent / "adapters"
SEQUENCES = [[5, 46, 13, 9, 44, 2], [7, 7, 12], [30, 31, 8, 50, 2, 17, 55, 41, 3, 3, 29], [12, 18, 33, 21]]
BERT = dict(
    vocab_size=60,
    hidden_size=16,
    intermediate_size=12,
    num_hidden_layers=2,
    num_attention_heads=2,
    max_position_embeddings=40,
    pad_token_id=0,
)
LLAMA = dict(
    vocab_size=270,
    hidden_size=8,
    intermediate_size=12,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    max_position_embeddings=40,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
)
RANKERS = {"bert": transformers.BertForSequenceClassification, "llama": transformers.LlamaForSequenceClassification}


def bases():
    torch.manual_seed(1)
    bert = models.spread(transformers.BertForSequenceClassification(transformers.BertConfig(num_labels=1, **BERT)))
    bert.save_pretrained(FOLDER / "bert_ranker")
    bert.bert.save_pretrained(FOLDER / "bert")
    llama = models.spread(transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA)))
    llama.save_pretrained(FOLDER / "llama")
    config = transformers.LlamaConfig(num_labels=1, **LLAMA)
    models.spread(transformers.LlamaForSequenceClassification(config)).save_pretrained(FOLDER / "llama_ranker")


def outputs(model):
    with torch.no_grad():
        return [model(input_ids=torch.tensor([ids])).logits[0] for ids in SEQUENCES]


def logits(model):
    return [row[0].item() for row in outputs(model)]


def next_token_loss(model):
    rows = torch.cat([row[:-1] for row in outputs(model)])
    targets = torch.tensor([target for ids in SEQUENCES for target in ids[1:]])
    return [torch.nn.functional.cross_entropy(rows, targets).item()]


def adapted(base, model_class, config):
    """An adapter none of whose weights is at its start."""
    torch.manual_seed(2)
    labels = {} if model_class is transformers.LlamaForCausalLM else {"num_labels": 1}
    model = model_class.from_pretrained(FOLDER / base, **labels)
    before = outputs(model)
    model = get_peft_model(model, LoraConfig(**{"r": 2, "lora_alpha": 3, **config}))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if weight.requires_grad:
                weight.add_(0.4 * torch.randn(weight.shape, generator=generator))
    model.eval()
    assert max((after - before).abs().max() for after, before in zip(outputs(model), before)) > 0.05, config
    return model


def change_file(folder, change):
    path = FOLDER / folder / "adapter_model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def save(folder, base, model_class=None, **config):
    model = adapted(base, model_class or RANKERS[base.split("_")[0]], config)
    model.save_pretrained(FOLDER / folder)
    (FOLDER / folder / "README.md").unlink()
    path = FOLDER / folder / "adapter_config.json"
    saved = json.loads(path.read_text()) | {"base_model_name_or_path": f"../{base}"}
    path.write_text(json.dumps(saved, indent=2, sort_keys=True) + "\n")
    return model


def encoders():
    ranks = dict(task_type="SEQ_CLS")
    expected = {}
    expected["pooler_of_base"] = logits(save("pooler_of_base", "bert", target_modules=["query", "value"], **ranks))
    model = save("all_biases", "bert_ranker", target_modules=["query", "dense"], bias="all", **ranks)
    expected["all_biases"] = logits(model)
    heads = dict(modules_to_save=["classifier", "pooler"], **ranks)
    model = save("lora_biases", "bert_ranker", target_modules="all-linear", lora_bias=True, bias="lora_only", **heads)
    expected["lora_biases"] = logits(model)
    patterns = dict(
        target_modules=r".*layer\.(?!0\.).*(query|dense)",
        rank_pattern={r"attention\..*query": 3, "dense": 1},
        alpha_pattern={r"layer\.\d+\.output\.dense": 5},
        use_rslora=True,
    )
    expected["patterns"] = logits(save("patterns", "bert", **patterns, **ranks))
    # As a state of the wrapped model is saved by other tools.
    model = save("state_names", "bert", target_modules=["key"], **ranks)
    own = ["lora_", "modules_to_save", "original_module"]
    state = {name: value.contiguous() for name, value in model.state_dict().items() if any(part in name for part in own)}
    assert any("lora_A.default." in name for name in state) and any("original_module" in name for name in state)
    change_file("state_names", lambda _: state)
    expected["state_names"] = logits(model)
    return expected


def decoders():
    ranks = dict(task_type="SEQ_CLS")
    expected = {}
    some = dict(target_modules=["q_proj", "v_proj"], layers_to_transform=[1], layers_pattern="layers")
    expected["some_layers"] = logits(save("some_layers", "llama", **some, **ranks))
    rest = dict(target_modules="all-linear", exclude_modules=["v_proj"], init_lora_weights="gaussian")
    expected["excluded"] = logits(save("excluded", "llama", **rest, **ranks))
    embedding = save("embedding", "llama", target_modules=["q_proj", "embed_tokens"], **ranks)
    expected["embedding"] = logits(embedding)
    whole = dict(target_modules=["o_proj"], modules_to_save=["embed_tokens", "norm"])
    expected["whole_modules"] = logits(save("whole_modules", "llama", **whole, **ranks))
    expected["head_of_base"] = logits(save("head_of_base", "llama_ranker", target_modules=["up_proj"]))
    model = save("half", "llama_ranker", target_modules=["k_proj"], **ranks)
    change_file("half", lambda weights: {name: value.to(torch.bfloat16) for name, value in weights.items()})
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.copy_(weight.to(torch.bfloat16))
    expected["half"] = logits(model)
    language = dict(task_type="CAUSAL_LM", target_modules=["q_proj", "down_proj", "lm_head"])
    expected["language"] = next_token_loss(save("language", "llama", transformers.LlamaForCausalLM, **language))
    return expected


if __name__ == "__main__":
    torch.set_num_threads(1)
    shutil.rmtree(FOLDER, ignore_errors=True)
    bases()
    expected = encoders() | decoders()
    for name in ["bert", "bert_ranker", "llama", "llama_ranker"]:
        (FOLDER / name / "generation_config.json").unlink(missing_ok=True)
    text = json.dumps({"sequences": SEQUENCES, "logits": expected}, indent=1)
    (FOLDER / "expected.json").write_text(text + "\n")
