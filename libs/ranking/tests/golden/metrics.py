"""Makes metrics.json: NDCG and MRR of random runs by trec_eval itself (pytrec_eval-terrier 0.5).

Scores are multiples of 1/4 with many ties, exact in the f32 that trec_eval sorts by. The runs hold unjudged documents,
judged documents that were not retrieved, and queries without a relevant document. The pair counts are a plain double
loop. Each row of `documents` is [doc_id, score, grade or null]; `judged` holds the grades of all judged documents.

    python metrics.py > metrics.json
"""
import json
import random

import pytrec_eval

CUTS = [1, 3, 10]


def query(rng):
    top_grade = rng.choice([0, 1, 4])
    ids = [f"d{i:02}" for i in range(rng.randint(1, 16))]
    rng.shuffle(ids)
    grades = {doc: rng.randint(0, top_grade) for doc in ids if rng.random() < 0.8}
    run = {doc: rng.randint(-6, 6) / 4 for doc in ids if rng.random() < 0.8}
    return run or {ids[0]: 0.0}, grades or {ids[0]: 0}


def pairs(run, grades):
    counts = {"concordant": 0, "discordant": 0, "tied": 0}
    judged = [doc for doc in run if doc in grades]
    for a in judged:
        for b in judged:
            if grades[a] > grades[b]:
                sign = "concordant" if run[a] > run[b] else "discordant" if run[a] < run[b] else "tied"
                counts[sign] += 1
    return counts


def reciprocal_rank(run, grades, cut):
    """trec_eval has no cut for the reciprocal rank: it is given the top of the run, in its own order of ties."""
    top = dict(sorted(run.items(), key=lambda item: (item[1], item[0]), reverse=True)[:cut])
    return pytrec_eval.RelevanceEvaluator({"q": grades}, {"recip_rank"}).evaluate({"q": top})["q"]["recip_rank"]


def main():
    rng = random.Random(20)
    cuts = ",".join(map(str, CUTS))
    rows = []
    for _ in range(400):
        run, grades = query(rng)
        evaluator = pytrec_eval.RelevanceEvaluator({"q": grades}, {f"ndcg_cut.{cuts}", f"recall.{cuts}"})
        found = evaluator.evaluate({"q": run})["q"]
        rows.append({
            "documents": [[doc, score, grades.get(doc)] for doc, score in run.items()],
            "judged": list(grades.values()),
            "ndcg": [found[f"ndcg_cut_{cut}"] for cut in CUTS],
            "recall": [found[f"recall_{cut}"] for cut in CUTS],
            "reciprocal_rank": [reciprocal_rank(run, grades, cut) for cut in CUTS],
            "pairs": pairs(run, grades),
        })
    lines = ",\n".join(json.dumps(row) for row in rows)
    print(f'{{"cuts": {json.dumps(CUTS)}, "queries": [\n{lines}\n]}}')


main()
