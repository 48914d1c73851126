"""TEXT.onnx BPE.txt.gz DATABASE QUERY. The text tower on ONNX Runtime as it comes, a tokenizer in Python.

The tokenizer knows plain English only: lower case, letters, digits, the rest.
"""

import gzip
import re
import sys
from itertools import pairwise

import numpy as np
import onnxruntime
from numpy_search import nearest, show

CONTEXT = 77


def byte_letters():
    """A printable letter for each byte, in the order of the vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + n) for n, byte in enumerate(others)}


class Tokenizer:
    def __init__(self, file):
        with gzip.open(file) as opened:
            lines = opened.read().decode().split("\n")
        merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
        self.letters = byte_letters()
        letters = list(self.letters.values())
        vocabulary = [*letters, *(letter + "</w>" for letter in letters), *map("".join, merges), "<start>", "<end>"]
        self.ids = {token: number for number, token in enumerate(vocabulary)}
        self.ranks = {merge: number for number, merge in enumerate(merges)}

    def __call__(self, text):
        ids = [self.ids["<start>"]]
        for word in re.findall(r"'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+", text.lower()):
            parts = [self.letters[byte] for byte in word.encode()]
            parts[-1] += "</w>"
            while len(parts) > 1:
                pairs = list(pairwise(parts))
                best = min(pairs, key=lambda pair: self.ranks.get(pair, len(self.ranks)))
                if best not in self.ranks:
                    break
                at = pairs.index(best)
                parts[at : at + 2] = ["".join(best)]
            ids += [self.ids[part] for part in parts]
        ids = [*ids[: CONTEXT - 1], self.ids["<end>"]]
        return np.array([ids + [0] * (CONTEXT - len(ids))], np.int64)


def main(model, merges, database, text):
    tokens = Tokenizer(merges)(text)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (vector,) = session.run(None, {session.get_inputs()[0].name: tokens})[0]
    show(nearest(database, vector / np.linalg.norm(vector), 10))


if __name__ == "__main__":
    main(*sys.argv[1:])
