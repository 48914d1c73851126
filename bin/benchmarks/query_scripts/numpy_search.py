"""Search over vectors in a table of SQLite as rclip does it: all of them into NumPy, all scores sorted in Python."""

import sqlite3

import numpy as np


def nearest(database, query, k):
    """The k best of the table `images`: [(score, path)]."""
    rows = sqlite3.connect(database).execute("SELECT filepath, vector FROM images").fetchall()
    vectors = np.stack([np.frombuffer(vector, np.float32) for _, vector in rows])
    scores = vectors @ query
    return sorted(zip(scores.tolist(), (path for path, _ in rows), strict=True), reverse=True)[:k]


def show(found):
    for score, path in found:
        print(f"{score:.4f}\t{path}")
