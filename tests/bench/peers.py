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
    """Scores batch by batch, sequences of like lengths together."""

    def __init__(self, model):
        self.model = model.eval()
        keys = ("ids", "types") if WORK.startswith("student") else ("ids",)
        rows = [row for batch in INPUTS["batches"] for row in zip(*(batch[key] for key in keys))]
        rows.sort(key=lambda row: len(row[0]))
        parts = [rows[start : start + BATCH_SIZE] for start in range(0, len(rows), BATCH_SIZE)]
        self.batches = [dict(zip(keys, map(list, zip(*part)))) for part in parts]

    def scores(self, batch):
        with torch.inference_mode():
            return self.model(**features(batch)).logits.view(-1).float()

    def check(self):
        return self.scores(INPUTS["batches"][0]).tolist()

    def round(self):
        for batch in self.batches:
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


class Exported:
    """A graph of the model in another runtime, whose `logits` scores arrays."""

    def scores(self, batch):
        return self.logits({name: value.numpy() for name, value in features(batch).items()})[:, 0]

    def check(self):
        return self.scores(INPUTS["batches"][0]).tolist()

    def round(self):
        for batch in INPUTS["batches"]:
            self.scores(batch)

    def predict(self, texts, batch_size, **_):
        """As CrossEncoder.predict."""
        order = sorted(range(len(texts)), key=lambda index: -sum(map(len, texts[index])))
        parts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        scores = numpy.empty(len(texts), dtype=numpy.float32)
        for part, logits in zip(parts, self.all_logits(self.encoded(texts, part) for part in parts)):
            scores[part] = logits[:, 0]
        return scores

    def encoded(self, texts, part):
        encoded = TOKENIZER([texts[index] for index in part], padding=True, truncation=True, return_tensors="np")
        return {name: encoded[name].astype(numpy.int64) for name in encoded}

    def all_logits(self, inputs):
        return (self.logits(arrays) for arrays in inputs)


class OnnxModel(Exported):
    """ONNX Runtime, the graph exported, fused by onnxruntime.transformers and for int8 quantised dynamically."""

    def __init__(self):
        import onnxruntime
        from onnx import TensorProto
        from onnxruntime.quantization import QuantType, quantize_dynamic
        from onnxruntime.transformers.optimizer import optimize_model

        config = export(FOLDER / "model.onnx")
        fused = optimize_model(
            str(FOLDER / "model.onnx"),
            model_type="bert",
            num_heads=config.num_attention_heads,
            hidden_size=config.hidden_size,
        )
        print(fused.get_fused_operator_statistics(), file=sys.stderr)
        graph = FOLDER / "fused.onnx"
        fused.save_model_to_file(str(graph))
        if PRECISION == "int8":
            # Without VNNI, sums of two products of 8 bits overflow.
            narrow = "vnni" not in Path("/proc/cpuinfo").read_text()
            # The types of what fused operators write are not inferred.
            types = {"DefaultTensorType": TensorProto.FLOAT}
            int8 = FOLDER / "int8.onnx"
            quantize_dynamic(graph, int8, per_channel=True, reduce_range=narrow, weight_type=QuantType.QInt8, extra_options=types)
            graph = int8
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Else its threads would spin while the other side works.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def logits(self, arrays):
        return self.session.run(None, arrays)[0]


class OpenVinoModel(Exported):
    """OpenVINO, for int8 quantised by NNCF on the first batch; several batches go through it side by side, one a thread."""

    def __init__(self):
        import openvino

        export(FOLDER / "model.onnx")
        core = openvino.Core()
        model = core.read_model(FOLDER / "model.onnx")
        if PRECISION == "int8":
            import nncf

            examples = [{name: value.numpy() for name, value in features(batch).items()} for batch in INPUTS["batches"][:4]]
            model = nncf.quantize(model, nncf.Dataset(examples), model_type=nncf.ModelType.TRANSFORMER)
        threads = torch.get_num_threads()
        settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "bf16" if PRECISION == "bf16" else "f32"}
        alone = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
        self.model = core.compile_model(model, "CPU", settings | alone)
        beside = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": threads}
        self.queue = openvino.AsyncInferQueue(core.compile_model(model, "CPU", settings | beside), threads)

    def logits(self, arrays):
        return self.model(arrays)[0]

    def all_logits(self, inputs):
        found = {}
        self.queue.set_callback(lambda request, place: found.update({place: request.get_output_tensor(0).data.copy()}))
        for place, arrays in enumerate(inputs):
            self.queue.start_async(arrays, place)
        self.queue.wait_all()
        return [found[place] for place in sorted(found)]

    def round(self):
        batches = ({name: value.numpy() for name, value in features(batch).items()} for batch in INPUTS["batches"])
        self.all_logits(batches)


def export(path):
    """Writes the model as ONNX and returns its configuration."""
    model = classifier(attn_implementation="eager")
    names = ["input_ids", "attention_mask", "token_type_ids"]
    example = features(INPUTS["batches"][0])
    torch.onnx.export(
        Logits(model).eval(),
        tuple(example[name] for name in names),
        path,
        input_names=names,
        output_names=["logits"],
        dynamic_axes={name: {0: "batch", 1: "length"} for name in names},
        dynamo=False,
    )
    return model.config


class Logits(torch.nn.Module):
    """A model with its logits alone."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, token_type_ids):
        return self.model(input_ids, attention_mask, token_type_ids).logits


def dtype():
    """Half-precision weights where they are not trained: training keeps full ones under autocast."""
    torch_runs = LIBRARY in ("transformers", "sentence-transformers", "peft")
    frozen = LIBRARY == "peft" or not trains()
    return torch.bfloat16 if PRECISION == "bf16" and torch_runs and frozen else torch.float32


def trains():
    return "score" not in WORK and "latency" not in WORK


def classifier(**options):
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_pretrained(FOLDER, dtype=dtype(), num_labels=1, **options)


def side():
    if LIBRARY in ("onnxruntime", "openvino"):
        model = OnnxModel() if LIBRARY == "onnxruntime" else OpenVinoModel()
        return Predictor(model) if WORK == "student-score-real" else model
    if LIBRARY == "sentence-transformers":
        from sentence_transformers import CrossEncoder

        model = CrossEncoder(str(FOLDER), device="cpu", model_kwargs={"dtype": dtype()}, num_labels=1)
        return Trainer(model) if trains() else Predictor(model)
    if LIBRARY == "peft":
        from peft import LoraConfig, get_peft_model

        low_rank = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="SEQ_CLS")
        return Trainer(get_peft_model(classifier(), low_rank))
    if WORK == "teacher-cpt":
        from transformers import AutoModelForCausalLM

        return Trainer(AutoModelForCausalLM.from_pretrained(FOLDER, dtype=dtype()))
    return Trainer(classifier()) if trains() else Scorer(classifier())


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
if WORK == "student-score-real":
    from transformers import AutoTokenizer

    TOKENIZER = AutoTokenizer.from_pretrained(FOLDER)
SIDE = side()
say({"check": SIDE.check()})
for _ in sys.stdin:
    requests = []
    started = time.perf_counter()
    if "latency" in WORK:
        for batch in INPUTS["batches"]:
            before = time.perf_counter()
            SIDE.scores(batch)
            requests.append(time.perf_counter() - before)
    else:
        SIDE.round()
    say({"seconds": time.perf_counter() - started, "peak_bytes": peak_bytes(), "requests": requests})
