"""A peer's side of `bench evaluate`: evaluate_peers.py ranx|pytrec_eval FOLDER.

Reads FOLDER/qrels.txt and FOLDER/run.txt, answers with the means of the metrics, then with the time of each round that a line of
stdin asks for. Files are read once, beforehand.
"""
import json
import resource
import sys
import time

PYTREC_EVAL = ["ndcg_cut_10", "map", "recip_rank", "P_10", "recall_10", "success_10"]
RANX = ["ndcg@10", "map", "mrr", "precision@10", "recall@10", "hit_rate@10"]


def read(path, number):
    found = {}
    with open(path) as lines:
        for line in lines:
            query, _, document, *values = line.split()
            found.setdefault(query, {})[document] = number(values[-1])
    return found


def pytrec_eval(qrels, run):
    from pytrec_eval import RelevanceEvaluator
    evaluator = RelevanceEvaluator(qrels, {"ndcg_cut.10", "map", "recip_rank", "P.10", "recall.10", "success.10"})

    def measure():
        found = evaluator.evaluate(run).values()
        return [sum(query[metric] for query in found) / len(qrels) for metric in PYTREC_EVAL]
    return measure


def ranx(qrels, run):
    from ranx import Qrels, Run, evaluate
    relevant = {query: {doc: grade for doc, grade in grades.items() if grade > 0} for query, grades in qrels.items()}
    # Sorting is part of a round, as in the others.
    qrels, run = Qrels(relevant), Run(run)

    def measure():
        qrels.sorted = run.sorted = False
        found = evaluate(qrels, run, RANX)
        return [float(found[metric]) for metric in RANX]
    return measure


def main():
    peer, folder = sys.argv[1:]
    measure = {"pytrec_eval": pytrec_eval, "ranx": ranx}[peer](read(f"{folder}/qrels.txt", int), read(f"{folder}/run.txt", float))
    print(json.dumps({"check": measure()}), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        measure()
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "peak_bytes": peak}), flush=True)


main()
