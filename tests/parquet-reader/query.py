"""Runs SQL over Parquet files with DuckDB: a JSON list of queries on stdin, the rows of each as JSON on stdout."""

import json
import sys

import duckdb

connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
answers = [connection.execute(query).fetchall() for query in json.load(sys.stdin)]
json.dump(answers, sys.stdout, default=str)
