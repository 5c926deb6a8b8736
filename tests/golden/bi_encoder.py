"""Vectors of texts by sentence-transformers, which makes a mean-pooling encoder of a folder that holds a plain one.

usage: bi_encoder.py FOLDER < texts.json

stdin: [text, ...]
stdout: [[the vector's values, of length 1], ...]
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

from sentence_transformers import SentenceTransformer

if __name__ == "__main__":
    model = SentenceTransformer(sys.argv[1], device="cpu")
    vectors = model.encode(json.load(sys.stdin), normalize_embeddings=True, show_progress_bar=False)
    json.dump(vectors.tolist(), sys.stdout)
