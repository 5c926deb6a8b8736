"""Makes trec_eval.json: 200 random runs by trec_eval itself (pytrec_eval-terrier 0.5.11), each over a few queries.

There are ties of scores, judged documents that were not retrieved, unjudged ones, queries that the run does not answer, queries
without a relevant document, negative grades and large ones. Scores are multiples of 1/4, exact in the f32 that trec_eval sorts by.
Each query has a grade of 0 or more, as trec_eval does not come to an end on one whose grades are all negative. It gives a value to each query that the run answers; `means` are over all judged queries, as its option -c has them: 0 for one
without an answer. Each row of `run` is [document, score], each of `qrels` [document, grade].

    pip install pytrec_eval-terrier==0.5.11
    python trec_eval.py > trec_eval.json
"""
import json
import random

import pytrec_eval

# The name of a metric here, beside that of trec_eval.
METRICS = {
    "ndcg": "ndcg", "ndcg@3": "ndcg_cut_3", "ndcg@10": "ndcg_cut_10", "map": "map", "map@3": "map_cut_3",
    "mrr": "recip_rank", "precision@3": "P_3", "precision@10": "P_10", "recall@3": "recall_3", "recall@10": "recall_10",
    "success@1": "success_1", "success@5": "success_5",
}


def query(rng):
    ids = [f"d{i:02}" for i in range(rng.randint(1, 12))]
    rng.shuffle(ids)
    grades = rng.choice([[0, 1], [-2, -1, 0, 1, 2], [0, 1, 2, 3, 4], [-1, 0], [0, 7, 100, 1000]])
    qrels = {doc: rng.choice(grades) for doc in ids if rng.random() < 0.7} or {ids[0]: 0}
    if max(qrels.values()) < 0:
        qrels[ids[0]] = 0
    run = {doc: rng.randint(-6, 6) / 4 for doc in ids if rng.random() < 0.7}
    return ({} if rng.random() < 0.1 else run), qrels


def main():
    rng, lines = random.Random(200), []
    for _ in range(200):
        queries = {f"q{i}": query(rng) for i in range(rng.randint(1, 4))}
        qrels = {name: judged for name, (_, judged) in queries.items()}
        run = {name: found for name, (found, _) in queries.items() if found}
        found = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg", "ndcg_cut.3,10", "map", "map_cut.3", "recip_rank", "P.3,10",
                                                       "recall.3,10", "success.1,5"}).evaluate(run)
        means = [sum(found[name][measure] if name in found else 0.0 for name in qrels) / len(qrels)
                 for measure in METRICS.values()]
        lines.append(json.dumps({
            "queries": [{"run": list(found.items()), "qrels": list(judged.items())} for found, judged in queries.values()],
            "means": means,
        }))
    rows = ",\n".join(lines)
    print(f'{{"metrics": {json.dumps(list(METRICS))}, "runs": [\n{rows}\n]}}')


main()
