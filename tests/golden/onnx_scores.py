"""Scores pairs with exported models, as the runtimes that serve them do.

    python onnx_scores.py FOLDER... < pairs.json

stdin: [[query, document], ...]. stdout: for each folder the scores of ONNX Runtime and OpenVINO of both files, and of what
onnxruntime.quantization.quantize_dynamic makes of the file in single precision. Tokens are those of transformers' tokenizer of the
folder, padded in batches of different lengths. Fails if onnx.checker refuses a file.
"""

import json
import os
import pathlib
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy
import onnx
import onnxruntime
import openvino
import transformers
from onnxruntime.quantization import QuantType, quantize_dynamic

# The first pairs one by one, the rest together.
ALONE = 2


def batches(folder, pairs):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for batch in [[pair] for pair in pairs[:ALONE]] + [pairs[ALONE:]]:
        yield dict(tokenizer(*map(list, zip(*batch)), padding=True, truncation=True, return_tensors="np"))


def scores(predict, names, folder, pairs):
    assert set(names) <= {"input_ids", "attention_mask", "token_type_ids"}, names
    inputs = ({name: batch[name].astype(numpy.int64) for name in names} for batch in batches(folder, pairs))
    logits = numpy.concatenate([predict(batch) for batch in inputs])
    assert logits.shape[0] == len(pairs), logits.shape
    return logits.tolist()


def onnx_runtime(path, folder, pairs):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return scores(lambda batch: session.run(["logits"], batch)[0], names, folder, pairs)


def open_vino(path, folder, pairs):
    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return scores(lambda batch: model(batch)["logits"], [each.any_name for each in model.inputs], folder, pairs)


def theirs(path, folder, pairs):
    with tempfile.TemporaryDirectory() as temporary:
        quantised = pathlib.Path(temporary) / "model.onnx"
        quantize_dynamic(path, quantised, per_channel=True, reduce_range=True, weight_type=QuantType.QInt8)
        return onnx_runtime(quantised, folder, pairs)


def operations(path):
    return sorted({node.op_type for node in onnx.load(str(path)).graph.node})


if __name__ == "__main__":
    pairs = json.load(sys.stdin)
    found = []
    for folder in map(pathlib.Path, sys.argv[1:]):
        exact, quantised = folder / "onnx/model.onnx", folder / "onnx/model_quantized.onnx"
        for path in exact, quantised:
            onnx.checker.check_model(str(path), full_check=True)
        found.append(
            {
                "onnx_runtime": onnx_runtime(exact, folder, pairs),
                "openvino": open_vino(exact, folder, pairs),
                "onnx_runtime_int8": onnx_runtime(quantised, folder, pairs),
                "openvino_int8": open_vino(quantised, folder, pairs),
                "quantize_dynamic": theirs(exact, folder, pairs),
                "operations_int8": operations(quantised),
            }
        )
    json.dump(found, sys.stdout)
