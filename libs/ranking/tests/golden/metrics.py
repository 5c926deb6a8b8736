"""Makes metrics.json: metrics of random runs by the reference implementations behind ir_measures: trec_eval itself
(pytrec_eval-terrier) for NDCG, MRR, MAP, precision, recall and success, gdeval of the TREC Web track for ERR, cwl_eval
for RBP, ir_measures' own code for judged@k.

Scores are multiples of 1/4 with many ties, exact in the f32 that trec_eval sorts by. The runs hold unjudged documents,
judged documents that were not retrieved, and queries without a relevant document. Every implementation breaks ties in
another way, so all are given ranks in place of scores, in trec_eval's order: by score and then document id, descending.
The pair counts are a plain double loop. Each row of `documents` is [doc_id, score, grade or null]; `judged` holds the
grades of all judged documents, and `values` one value for each of `metrics`.

    pip install ir_measures cwl-eval pytrec_eval-terrier
    python metrics.py > metrics.json
"""
import json
import random
from collections import defaultdict

import ir_measures
from ir_measures import AP, ERR, RBP, RR, Judged, P, R, Success, nDCG

# The name of a metric in pipeline.toml, beside that of ir_measures.
METRICS = {
    **{f"ndcg@{k}": nDCG @ k for k in (1, 3, 10)},
    **{f"recall@{k}": R @ k for k in (1, 3, 10)},
    **{f"mrr@{k}": RR @ k for k in (1, 3, 10)},
    "ndcg": nDCG, "mrr": RR, "map": AP, "map@3": AP @ 3,
    **{f"precision@{k}": P @ k for k in (1, 3, 20)},
    **{f"success@{k}": Success @ k for k in (1, 3, 10)},
    **{f"err@{k}": ERR @ k for k in (3, 20)},
    "rbp@0.8": RBP(p=0.8, rel=1), "rbp@0.5": RBP(p=0.5, rel=1),
    **{f"judged@{k}": Judged @ k for k in (1, 3, 10)},
}


def query(rng):
    top_grade = rng.choice([0, 1, 4])
    ids = [f"d{i:02}" for i in range(rng.randint(1, 16))]
    rng.shuffle(ids)
    grades = {doc: rng.randint(0, top_grade) for doc in ids if rng.random() < 0.8}
    run = {doc: rng.randint(-6, 6) / 4 for doc in ids if rng.random() < 0.8}
    return run or {ids[0]: 0.0}, grades or {ids[0]: 0}


def ranks(run):
    order = sorted(run, key=lambda doc: (run[doc], doc))
    return {doc: float(rank) for rank, doc in enumerate(order, 1)}


def pairs(run, grades):
    counts = {"concordant": 0, "discordant": 0, "tied": 0}
    judged = [doc for doc in run if doc in grades]
    for a in judged:
        for b in judged:
            if grades[a] > grades[b]:
                sign = "concordant" if run[a] > run[b] else "discordant" if run[a] < run[b] else "tied"
                counts[sign] += 1
    return counts


def main():
    rng = random.Random(20)
    queries = [query(rng) for _ in range(400)]
    qrels = {str(i): grades for i, (_, grades) in enumerate(queries)}
    runs = {str(i): ranks(run) for i, (run, _) in enumerate(queries)}
    found = defaultdict(dict)
    for measured in ir_measures.iter_calc(list(METRICS.values()), qrels, runs):
        found[measured.query_id][measured.measure] = measured.value
    rows = [json.dumps({
        "documents": [[doc, score, grades.get(doc)] for doc, score in run.items()],
        "judged": list(grades.values()),
        "values": [found[str(i)][measure] for measure in METRICS.values()],
        "pairs": pairs(run, grades),
    }) for i, (run, grades) in enumerate(queries)]
    lines = ",\n".join(rows)
    print(f'{{"metrics": {json.dumps(list(METRICS))}, "queries": [\n{lines}\n]}}')


main()
