"""Makes bm25.json: Lucene's BM25 (since version 8, without the constant factor k1 + 1) written from its formula as one
dense matrix, apart from the inverted index under test.

    python bm25.py > bm25.json
"""
import json
import random

import numpy as np


def scores(documents, query, k1, b):
    vocabulary = sorted({token for document in documents for token in document})
    frequency = np.array([[document.count(token) for token in vocabulary] for document in documents], dtype=float)
    length = frequency.sum(axis=1, keepdims=True)
    df = (frequency > 0).sum(axis=0)
    idf = np.log(1 + (len(documents) - df + 0.5) / (df + 0.5))
    saturation = k1 * (1 - b + b * length / length.mean())
    weight = idf * frequency / np.where(frequency > 0, frequency + saturation, 1)
    repeats = np.array([query.count(token) for token in vocabulary])
    return (weight @ repeats).tolist()


def main():
    rng = random.Random(4)
    words = [f"w{i}" for i in range(30)]
    frequent = [1 / (i + 1) for i in range(30)]
    cases = []
    for k1, b in [(1.5, 0.75), (0.9, 0.4), (0.0, 0.75), (1.2, 0.0), (2.0, 1.0)]:
        documents = [rng.choices(words, frequent, k=rng.randint(0, 25)) for _ in range(25)]
        for _ in range(4):
            query = rng.choices(words + ["unseen"], k=rng.randint(1, 5))
            cases.append({"k1": k1, "b": b, "documents": [" ".join(document) for document in documents],
                          "query": query, "scores": scores(documents, query, k1, b)})
    print(json.dumps(cases))


main()
