"""Odd statements and what DuckDB's Python client makes of them: `python statements.py` beside this file.

It needs the package duckdb of the version that the crate brings (2.0). Reads statements.sql, one statement a line, and writes
statements.json: for each its text with the rows as CSV, or with the error. Each runs in a database of its own.
"""

import json
from pathlib import Path

import duckdb

FOLDER = Path(__file__).parent


def field(value):
    if value is None:
        return ""
    return '"' + value.replace('"', '""') + '"' if value == "" or any(c in value for c in ',"\r\n') else value


def answer(sql):
    connection = duckdb.connect()
    connection.execute("LOAD json")
    try:
        names = [column[0] for column in connection.execute(sql).description or []]
    except duckdb.Error as error:
        lines = str(error).split("LINE ")[0].splitlines()
        return {"error": " ".join(line.strip() for line in lines if line.strip())}
    columns = [f"c{index}" for index in range(len(names))]
    cast = ", ".join(f"CAST({column} AS VARCHAR)" for column in columns)
    try:
        rows = connection.execute(f"SELECT {cast} FROM (\n{sql}\n) AS answer({', '.join(columns)})").fetchall()
    except duckdb.Error:
        # A statement of another kind, which has no rows.
        return {"rows": ""}
    return {"rows": "".join(",".join(map(field, row)) + "\r\n" for row in [names, *rows])}


statements = [line for line in (FOLDER / "statements.sql").read_text().splitlines() if line]
golden = [{"sql": sql, **answer(sql)} for sql in statements]
(FOLDER / "statements.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")
