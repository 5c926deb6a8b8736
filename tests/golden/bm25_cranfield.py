"""Makes bm25_cranfield.json: NDCG@10 of BM25 on the test queries of the Cranfield collection, by other people's code.

Scores are bm25s's (method "lucene", k1 1.5, b 0.75) over title and text, tokens are those of the analyzer `unicode` in
libs/analysis/tests/golden/analyzers.py; NDCG is trec_eval's (pytrec_eval-terrier 0.5) with the gain 2^grade - 1 in place of the grade, queries without a
relevant document left out. The test split is worked out anew from the hash rule of `ingest`. Each query has the id that
`ingest` gives its text, beside the collection's own.

    pip install bm25s pytrec_eval-terrier numpy PyICU regex snowballstemmer==3.0.1 uniseg
    python bm25_cranfield.py CRANFIELD_FOLDER > bm25_cranfield.json
"""
import csv
import hashlib
import json
import pathlib
import sys
import unicodedata

import bm25s
import pytrec_eval

sys.path.append(str(pathlib.Path(__file__).parent / "../../libs/analysis/tests/golden"))
import analyzers

TRAIN, VALIDATION, DEPTH = 0.6, 0.1, 50


def json_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def tokens(line):
    return [token for text in (line["title"], line["text"]) for token in analyzers.tokens("unicode", text)]


def normalised(text):
    lower = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    return " ".join(lower.split())


def main():
    folder = pathlib.Path(sys.argv[1])
    corpus = json_lines(folder / "corpus.jsonl")
    index = bm25s.BM25(method="lucene", k1=1.5, b=0.75, dtype="float64")
    index.index([tokens(line) for line in corpus], show_progress=False)
    gains = {}
    with open(folder / "qrels.tsv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            gains.setdefault(row["query-id"], {})[row["corpus-id"]] = 2 ** int(row["score"]) - 1

    run, hashes = {}, {}
    for line in json_lines(folder / "queries.jsonl"):
        text = normalised(line["text"])
        digest = hashlib.sha256(text.encode()).digest()
        if int.from_bytes(digest[8:16], "big") / 2**64 < TRAIN + VALIDATION:
            continue
        assert digest not in hashes.values(), f"query {line['_id']} has the text of another one"
        hashes[line["_id"]] = digest
        known = [token for token in analyzers.tokens("unicode", text) if token in index.vocab_dict]
        scores = index.get_scores(known)
        best = sorted(range(len(corpus)), key=lambda i: -scores[i])[:DEPTH]
        run[line["_id"]] = {corpus[i]["_id"]: float(scores[i]) for i in best if scores[i] > 0}

    judged = {query: gains[query] for query in run if any(gains.get(query, {}).values())}
    measured = pytrec_eval.RelevanceEvaluator(judged, {"ndcg_cut.10"}).evaluate(run)
    queries = [{"id": query, "query_id": hashes[query].hex()[:16], "ndcg@10": measured[query]["ndcg_cut_10"]}
               for query in sorted(judged, key=int)]
    mean = sum(query["ndcg@10"] for query in queries) / len(queries)
    lines = ",\n    ".join(json.dumps(query) for query in queries)
    print(f'{{\n  "ndcg@10": {mean},\n  "queries": [\n    {lines}\n  ]\n}}')


main()
