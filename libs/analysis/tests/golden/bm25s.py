"""Makes bm25s.json: BM25 scores of every document of ../fixtures for each query by bm25s (method "lucene", k1 1.5, b 0.75),
over the tokens of analyzers.py (analyzer `unicode`). `scores` has one row a query, in the order of the files, with one score
a document; 0 where no token is shared. A token that the query repeats counts each time.

Each collection is <language>.documents.jsonl with doc_id and text, and <language>.queries.jsonl with query_id, text and the
relevant documents.

    pip install bm25s PyICU regex snowballstemmer==3.0.1 uniseg
    python bm25s.py > bm25s.json
"""
import json
import sys
from pathlib import Path

# This script has the name of the package, which is looked for in its folder first.
sys.path.append(sys.path.pop(0))
import bm25s

from analyzers import tokens

FIXTURES = Path(__file__).parent / "../fixtures"


def texts(name):
    return [json.loads(line)["text"] for line in (FIXTURES / name).read_text().splitlines()]


def scores(language):
    documents = [tokens("unicode", text) for text in texts(f"{language}.documents.jsonl")]
    queries = [tokens("unicode", text) for text in texts(f"{language}.queries.jsonl")]
    index = bm25s.BM25(method="lucene", k1=1.5, b=0.75, dtype="float64")
    index.index(documents, show_progress=False)
    return [[round(float(score), 12) for score in index.get_scores(query)] for query in queries]


def main():
    print(json.dumps({language: scores(language) for language in ("chinese", "japanese", "korean", "thai")}, indent=None)
          .replace("]], ", "]],\n").replace("], [", "],\n["))


if __name__ == "__main__":
    main()
