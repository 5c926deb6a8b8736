"""Makes peers.json: metrics of random rankings by ranx 0.3.21 and scikit-learn 1.9.1, under their conventions.

ranx has both gains of NDCG; it gives 0 to a query without a relevant document, and its order of ties is unspecified, so that no
scores are equal. scikit-learn's NDCG has linear gain and knows the listed documents alone, its average precision and area under the
ROC curve two classes; the latter is (concordant + tied / 2) / all pairs, here with ties. Each row of `documents` is [document,
score, grade].

    pip install ranx==0.3.21 scikit-learn==1.9.1
    python peers.py > peers.json
"""
import json
import random

import numpy as np
from ranx import Qrels, Run, evaluate
from sklearn.metrics import average_precision_score, ndcg_score, roc_auc_score

# The name of a metric here, beside that of ranx; NDCG with exponential gain stands apart.
RANX = {
    "ndcg@5": "ndcg@5", "ndcg": "ndcg", "map": "map", "map@5": "map@5", "mrr": "mrr", "mrr@5": "mrr@5", "precision@5": "precision@5",
    "recall@5": "recall@5", "success@3": "hit_rate@3",
}
BURGES = {"ndcg@5": "ndcg_burges@5", "ndcg": "ndcg_burges"}


def ranx_case(rng):
    ids = [f"d{i:02}" for i in range(rng.randint(2, 14))]
    scores = rng.sample(range(-100, 100), len(ids))
    top = rng.choice([1, 4])
    grades = [rng.randint(0, top) for _ in ids]
    if max(grades) == 0:
        grades[0] = top
    # ranx keeps no judgment of grade 0.
    qrels = Qrels({"q": {doc: grade for doc, grade in zip(ids, grades) if grade > 0}})
    run = Run({"q": {doc: float(score) for doc, score in zip(ids, scores)}})
    found = evaluate(qrels, run, [*RANX.values(), *BURGES.values()])
    return {"documents": [[doc, float(score), grade] for doc, score, grade in zip(ids, scores, grades)],
            "linear": [float(found[name]) for name in RANX.values()],
            "exponential": [float(found[name]) for name in BURGES.values()]}


def sklearn_case(rng):
    count = rng.randint(2, 14)
    ids = [f"d{i:02}" for i in range(count)]
    scores = np.array(rng.sample(range(-100, 100), count), dtype=float)
    grades = np.array([rng.randint(0, 4) for _ in ids])
    grades[:2] = 3, 0
    tied = np.array([float(rng.randint(-3, 3)) for _ in ids])
    relevant = (grades > 0).astype(int)
    return {"documents": [[doc, float(score), int(grade)] for doc, score, grade in zip(ids, scores, grades)],
            "ndcg@5": ndcg_score([grades], [scores], k=5), "ndcg": ndcg_score([grades], [scores]),
            "map": average_precision_score(relevant, scores),
            "tied": tied.tolist(), "auc": roc_auc_score(relevant, tied)}


def main():
    rng = random.Random(31)
    ranx = ",\n".join(json.dumps(ranx_case(rng)) for _ in range(100))
    sklearn = ",\n".join(json.dumps(sklearn_case(rng)) for _ in range(100))
    names = json.dumps({"linear": list(RANX), "exponential": list(BURGES)})
    print(f'{{"metrics": {names}, "ranx": [\n{ranx}\n], "sklearn": [\n{sklearn}\n]}}')


main()
