#!/usr/bin/env python3
"""Finds movies for a user with the exported vectors: in NumPy (.npy, as Milvus takes them too), or in FAISS.

    pip install numpy safetensors onnxruntime        # and faiss: Debian's python3-faiss
    marquee export --checkpoint checkpoints --out model --format onnx,npy,faiss
    python3 docs/examples/search_movies.py model --user 1 --top 10
    python3 docs/examples/search_movies.py model --user 1 --top 10 --faiss

Prints ids and stars, the best first, of all movies of the catalog.
"""
import argparse
import os

import numpy as np
from read_onnx import Catalog, session


def unit(vectors):
    """Vectors over their lengths: the score is a cosine. A square of a length never counts for less than 1e-8."""
    return vectors / np.sqrt(np.maximum(np.square(vectors).sum(axis=-1, keepdims=True), 1e-8))


def user_vector(directory, user):
    vectors, = session(directory, "user_tower.onnx").run(["user_vector"], Catalog(directory).users([user]))
    return unit(vectors)


def search_numpy(directory, query, top):
    vectors = np.load(os.path.join(directory, "movie_vectors.npy"))
    ids = np.load(os.path.join(directory, "movie_ids.npy"))
    cosines = unit(vectors) @ query[0]
    best = np.argsort(-cosines, kind="stable")[:top]
    return ids[best], cosines[best]


def search_faiss(directory, query, top):
    import faiss
    index = faiss.read_index(os.path.join(directory, "movies.faiss"))
    cosines, ids = index.search(query, min(top, index.ntotal))
    return ids[0], cosines[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--user", type=int, required=True)
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--faiss", action="store_true")
    options = parser.parse_args()
    search = search_faiss if options.faiss else search_numpy
    for id, cosine in zip(*search(options.model, user_vector(options.model, options.user), options.top)):
        print(f"movie {id} stars {(5 * cosine + 5) / 2:.4f}")


if __name__ == "__main__":
    main()
