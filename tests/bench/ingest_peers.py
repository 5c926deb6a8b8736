"""A peer's side of `bench ingest`: ingest_peers.py duckdb|polars FORMAT FOLDER OUTPUT THREADS.

Reads the log and the documents below FOLDER, cleans them by the rules of the stage `ingest`, and writes the tables
impressions, queries, documents, pairs and rejects, in their sort order, as zstd Parquet into OUTPUT.

ingest_peers.py count OUTPUT prints, as a line of JSON, what the tables of a side add up to.
"""

import json
import os
import sys
from pathlib import Path

EXTENSIONS = {"jsonl": "jsonl.zst", "csv": "csv", "parquet": "parquet"}
COLUMNS = "search_id session_id user_id query doc_id position clicked dwell_seconds shown_at".split()


def duckdb_source(form, paths):
    """The log as text where a value may be malformed, and the documents."""
    types = dict.fromkeys(COLUMNS, "VARCHAR") | {"dwell_seconds": "DOUBLE", "shown_at": "TIMESTAMPTZ"}
    texts = dict.fromkeys(["doc_id", "title", "summary"], "VARCHAR")
    if form == "parquet":
        return [f"read_parquet('{path}'{name})" for path, name in zip(paths, [", filename = true", ""])]
    reader = {
        "jsonl": "read_json('{}', format = 'newline_delimited', columns = {}{})",
        "csv": "read_csv('{}', header = true, quote = '\"', escape = '\"', auto_detect = false, columns = {}{})",
    }[form]
    return [reader.format(paths[0], types, ", filename = true"), reader.format(paths[1], texts, "")]


DUCKDB = """
CREATE TYPE file AS ENUM (SELECT parse_filename(file) FROM glob('{paths}'));

CREATE TEMP TABLE log AS
SELECT
    CAST(parse_filename(filename) AS file) AS source, search_id, session_id, user_id, coalesce(query, '') AS query, doc_id,
    position AS position_text, CAST(clicked AS VARCHAR) AS clicked_text,
    TRY_CAST(position AS INTEGER) AS position, TRY_CAST(clicked AS BOOLEAN) AS clicked, dwell_seconds, shown_at
FROM {log};

CREATE TEMP TABLE documents AS
SELECT doc_id, coalesce(title, '') AS title, coalesce(summary, '') AS summary FROM {documents};

-- Each spelling is normalised and hashed once.
CREATE TEMP TABLE spellings AS
SELECT query, text, left(sha256(text), 16) AS query_id
FROM (SELECT query, trim(regexp_replace(lower(query), ' +', ' ', 'g')) AS text FROM (SELECT DISTINCT query FROM log));

CREATE TEMP VIEW judged AS
SELECT log.*, query_id, CASE
    WHEN position IS NULL OR position NOT BETWEEN 1 AND 10000 THEN 'malformed position'
    WHEN clicked IS NULL THEN 'malformed clicked'
    WHEN length(text) > 200 THEN 'query too long'
    WHEN documents.doc_id IS NULL THEN 'document not in the document table'
    WHEN text = '' THEN 'empty query' END AS reason
FROM log JOIN spellings USING (query) LEFT JOIN documents USING (doc_id);

CREATE TEMP TABLE merged AS
SELECT
    session_id, search_id, doc_id, any_value(query_id) AS query_id, any_value(user_id) AS user_id, min(source) AS source,
    coalesce(min(position) FILTER (NOT clicked), min(position)) AS position, bool_or(clicked) AS clicked,
    max(dwell_seconds) AS dwell_seconds, min(shown_at) AS shown_at, count(*) AS lines
FROM judged WHERE reason IS NULL GROUP BY ALL;

CREATE TEMP TABLE searches AS
SELECT session_id, search_id, any_value(query_id) AS query_id, count(*) AS results, count_if(clicked) AS clicks
FROM merged GROUP BY session_id, search_id;

CREATE TEMP TABLE robots AS
SELECT session_id FROM searches GROUP BY session_id
HAVING count(*) > 100 OR (sum(results) >= 20 AND sum(clicks) > 0.8 * sum(results));

CREATE TEMP VIEW kept AS SELECT * FROM merged ANTI JOIN robots USING (session_id);

CREATE TEMP MACRO split(id) AS
    CASE WHEN hash(id) % 100 < 60 THEN 'train' WHEN hash(id) % 100 < 70 THEN 'validation' ELSE 'test' END;

COPY (
    SELECT search_id, session_id, user_id, query_id, doc_id, position, clicked, dwell_seconds, shown_at, source
    FROM kept ORDER BY search_id, position, doc_id
) TO '{output}/impressions.parquet' ({parquet});

COPY (
    SELECT
        query_id, doc_id, count(*) AS impressions, CAST(count_if(clicked) AS BIGINT) AS clicks,
        CAST(count_if(clicked AND dwell_seconds >= 30) AS BIGINT) AS satisfied_clicks, clicks / impressions AS ctr, ctr AS debiased_ctr,
        min(shown_at) AS first_seen, max(shown_at) AS last_seen, split(query_id) AS split
    FROM kept GROUP BY query_id, doc_id ORDER BY query_id, doc_id
) TO '{output}/pairs.parquet' ({parquet});

COPY (
    SELECT query_id, text AS query, searches, split(query_id) AS split
    FROM (
        SELECT query_id, count(*) AS searches FROM searches ANTI JOIN robots USING (session_id) GROUP BY query_id
    ) JOIN (SELECT DISTINCT query_id, text FROM spellings) USING (query_id)
    ORDER BY query_id
) TO '{output}/queries.parquet' ({parquet});

COPY (SELECT doc_id, title, summary FROM documents ORDER BY doc_id) TO '{output}/documents.parquet' ({parquet});

COPY (
    SELECT source AS file, reason, concat_ws(chr(9), search_id, session_id, user_id, query, doc_id, position_text,
        clicked_text, dwell_seconds, shown_at) AS content
    FROM judged WHERE reason IS NOT NULL
    UNION ALL
    SELECT source, 'merged', concat_ws(chr(9), search_id, session_id, user_id, query, doc_id, position_text,
        clicked_text, dwell_seconds, shown_at)
    FROM (
        FROM judged SEMI JOIN (FROM merged WHERE lines > 1) USING (session_id, search_id, doc_id) WHERE reason IS NULL
        QUALIFY row_number() OVER (PARTITION BY session_id, search_id, doc_id ORDER BY clicked DESC, shown_at) > 1
    )
    UNION ALL
    SELECT source, 'robot', concat_ws(chr(9), search_id, session_id, user_id, query_id, doc_id, position, clicked,
        dwell_seconds, shown_at)
    FROM merged SEMI JOIN robots USING (session_id)
    ORDER BY file
) TO '{output}/rejects.parquet' ({parquet});
"""


def run_duckdb(form, folder, output, threads):
    import duckdb

    extension = EXTENSIONS[form]
    log, documents = duckdb_source(form, [folder / f"log/*.{extension}", folder / f"documents.{extension}"])
    connection = duckdb.connect(config={"threads": threads, "temp_directory": str(output / "temporary")})
    connection.execute("SET preserve_insertion_order = false")
    parquet = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3"
    paths = folder / f"log/*.{extension}"
    statements = DUCKDB.format(log=log, paths=paths, documents=documents, output=output, parquet=parquet)
    connection.execute(statements)


def polars_log(pl, form, folder):
    """The log as a lazy frame, with text where a value may be malformed."""
    path = folder / f"log/*.{EXTENSIONS[form]}"
    if form == "parquet":
        return pl.scan_parquet(path, include_file_paths="source")
    types = dict.fromkeys(COLUMNS, pl.String) | {"dwell_seconds": pl.Float64}
    if form == "csv":
        log = pl.scan_csv(path, schema=types, include_file_paths="source")
    else:
        log = pl.scan_ndjson(path, schema=types, include_file_paths="source")
    time = pl.col("shown_at").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC", strict=False)
    return log.with_columns(time)


def polars_documents(pl, form, folder):
    path = folder / f"documents.{EXTENSIONS[form]}"
    types = dict.fromkeys(["doc_id", "title", "summary"], pl.String)
    if form == "jsonl":
        documents = pl.scan_ndjson(path, schema=types)
    else:
        documents = pl.scan_csv(path, schema=types) if form == "csv" else pl.scan_parquet(path)
    return documents.with_columns(pl.col("title", "summary").fill_null(""))


def polars_spellings(pl, log):
    """Each spelling of a query, its normalised text and id; polars has no SHA-256."""
    from hashlib import sha256

    text = pl.col("query").str.to_lowercase().str.replace_all(" +", " ").str.strip_chars(" ")
    spellings = log.lazy().select("query").unique().with_columns(text=text).collect()
    ids = [sha256(text.encode()).hexdigest()[:16] for text in spellings["text"]]
    return spellings.with_columns(query_id=pl.Series(ids, dtype=pl.String)).lazy()


def run_polars(form, folder, output, threads):
    os.environ["POLARS_MAX_THREADS"] = str(threads)
    import polars as pl

    col, lit = pl.col, pl.lit
    number = col("position").cast(pl.Int32, strict=False)
    clicked = col("clicked").cast(pl.String).replace_strict({"true": True, "false": False}, default=None)
    log = polars_log(pl, form, folder).with_columns(
        col("source").str.split("/").list.last().cast(pl.Enum(sorted(path.name for path in (folder / "log").iterdir()))),
        col("query").fill_null(""),
        position_text=col("position").cast(pl.String),
        clicked_text=col("clicked").cast(pl.String),
        position=number,
        clicked=clicked if form != "parquet" else col("clicked"),
    )
    log = log.collect(engine="streaming")
    documents = polars_documents(pl, form, folder).collect(engine="streaming").lazy()
    spellings = polars_spellings(pl, log)

    malformed = col("position").is_null() | ~col("position").is_between(1, 10_000)
    reason = (
        pl.when(malformed).then(lit("malformed position"))
        .when(col("clicked").is_null()).then(lit("malformed clicked"))
        .when(col("text").str.len_chars() > 200).then(lit("query too long"))
        .when(col("known").is_null()).then(lit("document not in the document table"))
        .when(col("text") == "").then(lit("empty query"))
    )
    known = documents.select("doc_id", known=lit(True))
    judged = log.lazy().join(spellings, on="query", how="left").join(known, on="doc_id", how="left")
    judged = judged.with_columns(reason=reason).drop("known", "text").collect(engine="streaming").lazy()
    del log

    key = ["session_id", "search_id", "doc_id"]
    good = judged.filter(col("reason").is_null())
    merged = good.group_by(key).agg(
        col("query_id", "user_id").first(),
        col("source").min(),
        pl.coalesce(pl.when(~col("clicked")).then("position").min(), col("position").min()).alias("position"),
        col("clicked").any(),
        col("dwell_seconds").max(),
        col("shown_at").min(),
        lines=pl.len(),
    )
    merged = merged.collect(engine="streaming").lazy()
    searches = merged.group_by("session_id", "search_id").agg(
        col("query_id").first(), results=pl.len(), clicks=col("clicked").sum()
    )
    searches = searches.collect(engine="streaming").lazy()
    robots = searches.group_by("session_id").agg(searches=pl.len(), results=col("results").sum(), clicks=col("clicks").sum())
    robots = robots.filter(
        (col("searches") > 100) | ((col("results") >= 20) & (col("clicks") > 0.8 * col("results")))
    ).select("session_id").collect(engine="streaming").lazy()
    kept = merged.join(robots, on="session_id", how="anti").collect(engine="streaming").lazy()

    part = col("query_id").hash() % 100
    split = pl.when(part < 60).then(lit("train")).when(part < 70).then(lit("validation")).otherwise(lit("test"))
    columns = "search_id session_id user_id query_id doc_id position clicked dwell_seconds shown_at source".split()
    satisfied = (col("clicked") & (col("dwell_seconds") >= 30)).sum()
    pairs = kept.group_by("query_id", "doc_id").agg(
        impressions=pl.len().cast(pl.Int64),
        clicks=col("clicked").sum().cast(pl.Int64),
        satisfied_clicks=satisfied.cast(pl.Int64),
        first_seen=col("shown_at").min(),
        last_seen=col("shown_at").max(),
    )
    ctr = col("clicks") / col("impressions")
    order = "query_id doc_id impressions clicks satisfied_clicks ctr debiased_ctr first_seen last_seen split".split()
    pairs = pairs.with_columns(ctr=ctr, debiased_ctr=ctr, split=split).select(order)
    queries = searches.join(robots, on="session_id", how="anti").group_by("query_id").agg(searches=pl.len().cast(pl.Int64))
    texts = spellings.select("query_id", query="text").unique()
    queries = queries.join(texts, on="query_id").select("query_id", "query", "searches", split=split)

    values = ["search_id", "session_id", "user_id", "query", "doc_id", "position_text", "clicked_text", "dwell_seconds", "shown_at"]
    content = pl.concat_str([col(name).cast(pl.String) for name in values], separator="\t", ignore_nulls=True)
    repeated = good.join(merged.filter(col("lines") > 1), on=key, how="semi")
    repeated = repeated.sort([*key, "clicked", "shown_at"], descending=[False] * 3 + [True, False])
    repeated = repeated.filter(~pl.struct(key).is_first_distinct())
    robots_lines = good.join(robots, on="session_id", how="semi").unique(key, keep="any")
    rejects = pl.concat([
        judged.filter(col("reason").is_not_null()).select("source", "reason", content=content),
        repeated.select("source", reason=lit("merged"), content=content),
        robots_lines.select("source", reason=lit("robot"), content=content),
    ])

    def write(frame, keys, name):
        frame.sort(keys).collect().write_parquet(output / f"{name}.parquet", compression="zstd", compression_level=3)

    write(kept.select(columns), ["search_id", "position", "doc_id"], "impressions")
    write(pairs, ["query_id", "doc_id"], "pairs")
    write(queries, ["query_id"], "queries")
    write(documents, ["doc_id"], "documents")
    write(rejects, ["source"], "rejects")


COUNTS = """
WITH rejects AS (SELECT CASE
    WHEN reason LIKE '%robot%' THEN 'robot'
    WHEN reason LIKE '%empty query%' THEN 'empty query'
    WHEN reason LIKE '%too long%' THEN 'query too long'
    WHEN reason LIKE '%document table%' THEN 'unknown document'
    WHEN reason = 'merged' OR reason LIKE '%another row%' OR reason LIKE '%logged again%' THEN 'merged'
    WHEN reason LIKE '%position%' OR reason LIKE '%clicked%' THEN 'malformed'
    ELSE reason END AS rule FROM '{folder}/rejects{rest}')
SELECT 'rows of impressions', count(*)::VARCHAR FROM '{folder}/impressions{rest}'
UNION ALL SELECT 'searches', count(DISTINCT (session_id, search_id))::VARCHAR FROM '{folder}/impressions{rest}'
UNION ALL SELECT 'values of impressions', CAST(bit_xor(hash(search_id, session_id, user_id, query_id, doc_id, position, clicked,
    dwell_seconds, epoch_us(shown_at))) AS VARCHAR) FROM '{folder}/impressions{rest}'
UNION ALL SELECT 'rows of queries', count(*)::VARCHAR FROM '{folder}/queries{rest}'
UNION ALL SELECT 'searches of queries', CAST(CAST(sum(searches) AS BIGINT) AS VARCHAR) FROM '{folder}/queries{rest}'
UNION ALL SELECT 'values of queries', CAST(bit_xor(hash(query_id, query, searches)) AS VARCHAR) FROM '{folder}/queries{rest}'
UNION ALL SELECT 'rows of documents', count(*)::VARCHAR FROM '{folder}/documents{rest}'
UNION ALL SELECT 'values of documents', CAST(bit_xor(hash(doc_id, title, summary)) AS VARCHAR) FROM '{folder}/documents{rest}'
UNION ALL SELECT 'rows of pairs', count(*)::VARCHAR FROM '{folder}/pairs{rest}'
UNION ALL SELECT 'clicks', CAST(CAST(sum(clicks) AS BIGINT) AS VARCHAR) FROM '{folder}/pairs{rest}'
UNION ALL SELECT 'satisfied clicks', CAST(CAST(sum(satisfied_clicks) AS BIGINT) AS VARCHAR) FROM '{folder}/pairs{rest}'
UNION ALL SELECT 'values of pairs', CAST(bit_xor(hash(query_id, doc_id, impressions, clicks, satisfied_clicks, ctr,
    epoch_us(first_seen), epoch_us(last_seen))) AS VARCHAR) FROM '{folder}/pairs{rest}'
UNION ALL (SELECT 'rejects: ' || rule, count(*)::VARCHAR FROM rejects GROUP BY rule ORDER BY rule)
"""


def count(folder):
    import duckdb

    # 64-bit hashes do not fit every reader's numbers.
    # A stage's tables are folders of files.
    rest = "/*.parquet" if (Path(folder) / "impressions").is_dir() else ".parquet"
    rows = duckdb.sql(COUNTS.format(folder=folder, rest=rest)).fetchall()
    print(json.dumps({name: str(value) for name, value in rows}))


def main():
    if sys.argv[1] == "count":
        return count(*sys.argv[2:])
    side, form, folder, output, threads = sys.argv[1:]
    folder, output = Path(folder).absolute(), Path(output).absolute()
    output.mkdir(parents=True, exist_ok=True)
    {"duckdb": run_duckdb, "polars": run_polars}[side](form, folder, output, int(threads))


if __name__ == "__main__":
    main()
