#!/usr/bin/env python3
"""The vectors of `cargo bench --bench vset -- 100000 100 FILE` in hnswlib and usearch (both of PyPI).

    python3 benches/ann.py FILE DIMENSION [ELEMENTS]

One thread; process CPU time; M 16, 200 candidates when adding; 10 nearest, the better of two rounds. Recall is counted
against an exact search over the same floats.
"""

import sys
import time

import hnswlib
import numpy as np
from usearch.index import Index

NEAREST = 10


def report(name, vectors, queries, truth, build, search):
    start = time.process_time()
    index = build(vectors)
    added = len(vectors) / (time.process_time() - start)
    print(f"{name:12} {added:7.0f} added/s", flush=True)
    for ef in (10, 20, 50, 100, 200, 400):
        best = None
        for _ in range(2):
            start = time.process_time()
            found = search(index, ef, queries)
            taken = time.process_time() - start
            best = taken if best is None else min(best, taken)
        hits = sum(len(set(a) & set(b)) for a, b in zip(found, truth))
        recall = hits / (NEAREST * len(queries))
        print(f"      ef {ef:3}: recall {recall:.4f}, {len(queries) / best:.0f} searches/s", flush=True)


def hnswlib_index(vectors):
    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), M=16, ef_construction=200)
    index.set_num_threads(1)
    index.add_items(vectors, num_threads=1)
    return index


def hnswlib_search(index, ef, queries):
    index.set_ef(ef)
    return index.knn_query(queries, k=NEAREST, num_threads=1)[0]


def usearch_index(dtype):
    def build(vectors):
        index = Index(ndim=vectors.shape[1], metric="cos", dtype=dtype, connectivity=16, expansion_add=200)
        index.add(np.arange(len(vectors)), vectors, threads=1)
        return index

    return build


def usearch_search(index, ef, queries):
    index.expansion_search = ef
    return index.search(queries, NEAREST, threads=1).keys


def main():
    path, dim = sys.argv[1], int(sys.argv[2])
    vectors = np.fromfile(path, "<f4").reshape(-1, dim)
    if len(sys.argv) > 3:
        vectors = vectors[: int(sys.argv[3])]
    queries = np.fromfile(path + ".queries", "<f4").reshape(-1, dim)
    truth = np.argsort(-(queries @ vectors.T), axis=1)[:, :NEAREST]
    report("hnswlib f32", vectors, queries, truth, hnswlib_index, hnswlib_search)
    for dtype in ("f32", "i8"):
        report(f"usearch {dtype}", vectors, queries, truth, usearch_index(dtype), usearch_search)


main()
