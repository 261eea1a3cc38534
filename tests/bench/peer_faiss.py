"""FAISS's exact index on the work of bench_topk: the same sizes, distribution and threads. One line of JSON a case.

usage: peer_faiss.py [--quick] [--seconds X] [--threads N]    (Debian: python3-faiss)

OpenBLAS has threads of its own and is told of --threads too, before it is loaded.
"""
import argparse
import json
import os
import time

DIM, K, QUERIES = 200, 10, 256


def sample(index, queries, count, seconds):
    """Milliseconds of searches, after a warm-up, at least three."""
    found, first, start, warm = [], 0, time.perf_counter(), False
    while not warm or len(found) < 3 or time.perf_counter() - start < seconds:
        first = (first + count) % (QUERIES - count + 1)
        before = time.perf_counter()
        index.search(queries[first:first + count], K)
        taken = time.perf_counter() - before
        if warm:
            found.append(1e3 * taken)
        elif before + taken - start >= 0.1 * seconds:
            warm, start = True, time.perf_counter()
    return sorted(found)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = str(options.threads)
    import faiss
    import numpy
    faiss.omp_set_num_threads(options.threads)
    random = numpy.random.default_rng(1)
    queries = random.random((QUERIES, DIM), dtype=numpy.float32) * 2 - 1
    for items in (3883, 200000 if options.quick else 1000000):
        index = faiss.IndexFlatIP(DIM)
        for first in range(0, items, 100000):
            index.add(random.random((min(100000, items - first), DIM), dtype=numpy.float32) * 2 - 1)
        for count in (1, 100):
            times = sample(index, queries, count, options.seconds)
            print(json.dumps({
                "peer": f"FAISS {faiss.__version__} Flat", "unit": "ms", "median": float(numpy.median(times)),
                "p99": times[len(times) - 1 - len(times) // 100], "n": len(times),
                "parameters": {"items": items, "dim": DIM, "k": K, "queries": count, "threads": options.threads},
            }), flush=True)


main()
