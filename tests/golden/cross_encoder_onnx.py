"""Scores pairs with exported folders by sentence-transformers' ONNX backend, which is optimum's.

    python cross_encoder_onnx.py FOLDER... < pairs.json

stdin: [[query, document], ...]. stdout: for each folder the scores of the model in single precision and of the quantised one.
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

from sentence_transformers import CrossEncoder

if __name__ == "__main__":
    pairs = json.load(sys.stdin)
    found = []
    for folder in sys.argv[1:]:
        models = [
            CrossEncoder(folder, backend="onnx", device="cpu"),
            CrossEncoder(folder, backend="onnx", device="cpu", model_kwargs={"file_name": "onnx/model_quantized.onnx"}),
        ]
        found.append([model.predict(pairs, show_progress_bar=False).ravel().tolist() for model in models])
    json.dump(found, sys.stdout)
