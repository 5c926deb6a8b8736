"""A peer's side of a measurement: peers.py WORK PEER FOLDER.

Answers every line of stdin with a line of JSON, as `bench worker` does. Sequences are padded to the longest of their batch;
attention, optimizer and padding are what the library does by default.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy
import torch

WORK, PEER, FOLDER = sys.argv[1], sys.argv[2], Path(sys.argv[3])
LIBRARY, PRECISION = PEER.split()
INPUTS = json.loads((FOLDER / "inputs.json").read_text())
BATCH_SIZE = 32


def say(answer):
    print(json.dumps(answer), file=ANSWERS, flush=True)


def padded(rows):
    length = max(map(len, rows))
    return torch.tensor([row + [0] * (length - len(row)) for row in rows])


def features(batch):
    """The model's arguments, as a tokenizer with padding gives them."""
    arguments = {
        "input_ids": padded(batch["ids"]),
        "attention_mask": padded([[1] * len(row) for row in batch["ids"]]),
    }
    if WORK.startswith("student"):
        arguments["token_type_ids"] = padded(batch["types"])
    return arguments


class Trainer:
    """AdamW steps with the loss of the work; autocast to bf16 where asked, as the libraries' trainers do it."""

    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.01, fused=True)

    def loss(self, batch):
        if WORK == "teacher-cpt":
            arguments = features(batch)
            labels = arguments["input_ids"].clone()
            labels[:, : INPUTS["loss_start"]] = -100
            return self.model(**arguments, labels=labels, use_cache=False).loss
        scores = self.scores(batch)
        targets = torch.tensor(batch["targets"])
        if INPUTS["list_size"] == 1:
            return torch.nn.functional.mse_loss(scores, targets)
        scores, targets = scores.view(-1, INPUTS["list_size"]), targets.view(-1, INPUTS["list_size"])
        better = targets[:, :, None] > targets[:, None, :]
        return torch.nn.functional.softplus(scores[:, None, :] - scores[:, :, None])[better].mean()

    def scores(self, batch):
        if LIBRARY == "sentence-transformers":
            return self.model(features(batch))["scores"].view(-1).float()
        return self.model(**features(batch)).logits.view(-1).float()

    def check(self):
        self.model.eval()
        with torch.no_grad():
            batch = INPUTS["batches"][0]
            return [self.loss(batch).item()] if WORK == "teacher-cpt" else self.scores(batch).tolist()

    def round(self):
        self.model.train()
        for batch in INPUTS["batches"]:
            with torch.autocast("cpu", torch.bfloat16, enabled=PRECISION == "bf16"):
                loss = self.loss(batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()


class Scorer:
    """Scores batch by batch."""

    def __init__(self, model):
        self.model = model.eval()

    def scores(self, batch):
        with torch.inference_mode():
            return self.model(**features(batch)).logits.view(-1).float()

    def check(self):
        return self.scores(INPUTS["batches"][0]).tolist()

    def round(self):
        for batch in INPUTS["batches"]:
            self.scores(batch)


class Predictor:
    """CrossEncoder.predict on texts: it sorts them by length and pads each batch to its longest."""

    def __init__(self, model):
        self.model = model

    def scores(self, texts):
        return self.model.predict(
            texts, batch_size=BATCH_SIZE, show_progress_bar=False, activation_fn=torch.nn.Identity()
        )

    def check(self):
        return self.scores(INPUTS["texts"][: len(INPUTS["batches"][0]["ids"])]).tolist()

    def round(self):
        self.scores(INPUTS["texts"])


class OnnxModel:
    """CrossEncoder.predict by ONNX Runtime, its graph exported and then fused by onnxruntime.transformers."""

    def __init__(self):
        import onnxruntime
        from onnxruntime.transformers.optimizer import optimize_model
        from transformers import AutoTokenizer

        model = classifier(attn_implementation="eager")
        config = model.config
        self.tokenizer = AutoTokenizer.from_pretrained(FOLDER)
        names = ["input_ids", "attention_mask", "token_type_ids"]
        example = features(INPUTS["batches"][0])
        torch.onnx.export(
            Logits(model).eval(),
            tuple(example[name] for name in names),
            FOLDER / "model.onnx",
            input_names=names,
            output_names=["logits"],
            dynamic_axes={name: {0: "batch", 1: "length"} for name in names},
            dynamo=False,
        )
        fused = optimize_model(
            str(FOLDER / "model.onnx"),
            model_type="bert",
            num_heads=config.num_attention_heads,
            hidden_size=config.hidden_size,
        )
        print(fused.get_fused_operator_statistics(), file=sys.stderr)
        fused.save_model_to_file(str(FOLDER / "fused.onnx"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Else its threads would spin while the other side works.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = onnxruntime.InferenceSession(
            FOLDER / "fused.onnx", options, providers=["CPUExecutionProvider"]
        )

    def predict(self, texts, batch_size, **_):
        order = sorted(range(len(texts)), key=lambda index: -sum(map(len, texts[index])))
        scores = numpy.empty(len(texts), dtype=numpy.float32)
        for start in range(0, len(order), batch_size):
            part = order[start : start + batch_size]
            encoded = self.tokenizer([texts[index] for index in part], padding=True, truncation=True, return_tensors="np")
            inputs = {name: encoded[name].astype(numpy.int64) for name in encoded}
            scores[part] = self.session.run(None, inputs)[0][:, 0]
        return scores


class Logits(torch.nn.Module):
    """A model with its logits alone."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, token_type_ids):
        return self.model(input_ids, attention_mask, token_type_ids).logits


def dtype():
    """Half-precision weights for scoring alone: training keeps full ones under autocast."""
    return torch.bfloat16 if PRECISION == "bf16" and "score" in WORK else torch.float32


def classifier(**options):
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_pretrained(FOLDER, dtype=dtype(), num_labels=1, **options)


def side():
    if LIBRARY == "onnxruntime":
        return Predictor(OnnxModel())
    if LIBRARY == "sentence-transformers":
        from sentence_transformers import CrossEncoder

        model = CrossEncoder(str(FOLDER), device="cpu", model_kwargs={"dtype": dtype()}, num_labels=1)
        return Predictor(model) if "score" in WORK else Trainer(model)
    if WORK == "teacher-cpt":
        from transformers import AutoModelForCausalLM

        return Trainer(AutoModelForCausalLM.from_pretrained(FOLDER, dtype=dtype()))
    return Scorer(classifier()) if "score" in WORK else Trainer(classifier())


def peak_bytes():
    """The highest resident memory of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/self/status: no VmHWM")


# Libraries that print do it beside the answers.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
torch.manual_seed(42)
SIDE = side()
say({"check": SIDE.check()})
for _ in sys.stdin:
    started = time.perf_counter()
    SIDE.round()
    say({"seconds": time.perf_counter() - started, "peak_bytes": peak_bytes()})
