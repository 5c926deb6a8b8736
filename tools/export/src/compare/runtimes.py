"""Runs ONNX models in the runtimes that are installed.

    python runtimes.py WORK

WORK is JSON: the paths of `models`; `sequences`, each [token ids, token types]; the id of `padding`; sequences of a `batch`. Printed
is a list with a runtime's name, the place of the model, the logits of all sequences and the seconds of each batch. Exits with 9 where
there is no ONNX Runtime. The first batch is run once more beforehand, to warm up.
"""

import json
import sys
import time

try:
    import numpy
    import onnxruntime
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(9)
try:
    import openvino
except ImportError:
    openvino = None


def padded(rows, padding):
    longest = max(map(len, rows))
    return numpy.array([row + [padding] * (longest - len(row)) for row in rows], dtype=numpy.int64)


def batches(work):
    for start in range(0, len(work["sequences"]), work["batch"]):
        ids, types = zip(*work["sequences"][start : start + work["batch"]])
        yield {
            "input_ids": padded(ids, work["padding"]),
            "attention_mask": padded([[1] * len(row) for row in ids], 0),
            "token_type_ids": padded(types, 0),
        }


def onnx_runtime(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda batch: session.run(["logits"], {name: batch[name] for name in names})[0]


def open_vino(path):
    # In the precision of the file: some processors would round to bf16.
    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    names = [each.any_name for each in model.inputs]
    return lambda batch: model({name: batch[name] for name in names})["logits"]


def run(predict, work):
    logits, seconds = [], []
    predict(next(batches(work)))
    for batch in batches(work):
        start = time.perf_counter()
        found = predict(batch)
        seconds.append(time.perf_counter() - start)
        logits.extend(found.ravel().tolist())
    return {"logits": logits, "seconds": seconds}


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf8") as file:
        work = json.load(file)
    runtimes = [("ONNX Runtime " + onnxruntime.__version__, onnx_runtime)]
    if openvino:
        runtimes.append(("OpenVINO " + openvino.__version__.split("-")[0], open_vino))
    runs = []
    for name, load in runtimes:
        for place, path in enumerate(work["models"]):
            runs.append({"runtime": name, "model": place} | run(load(path), work))
    json.dump(runs, sys.stdout)
