"""Scores pairs with sentence-transformers' reader of model folders.

    python score.py FOLDER... < pairs.json

needs sentence-transformers. stdin: [[query, document], ...]; stdout: the raw logits of each folder, [[number, ...], ...].
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

from sentence_transformers import CrossEncoder

if __name__ == "__main__":
    pairs = json.load(sys.stdin)
    # Without an activation of its own, a reader uses the one that the folder names: none.
    scores = [CrossEncoder(folder, device="cpu").predict(pairs, show_progress_bar=False) for folder in sys.argv[1:]]
    json.dump([[float(score) for score in row] for row in scores], sys.stdout)
