"""Values of every DuckDB type as DuckDB's Python client casts them to text: `python values.py` beside this file.

It needs the package duckdb of the version that the crate brings (2.0). Writes values.json: for each column of
test_all_types() its name, and the text of its rows; null where the value is missing.
"""

import json
from pathlib import Path

import duckdb

connection = duckdb.connect()
rows = connection.sql("SELECT CAST(COLUMNS(*) AS VARCHAR) FROM test_all_types()")
columns = list(zip(*rows.fetchall()))
golden = [{"name": name, "rows": list(column)} for name, column in zip(rows.columns, columns)]
Path(__file__).with_name("values.json").write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n")
