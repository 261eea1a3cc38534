#!/usr/bin/env python3
"""Predicts with ONNX Runtime: score.onnx for pairs, or the two towers apart.

    pip install numpy safetensors onnxruntime
    marquee export --checkpoint checkpoints --out model --format onnx
    python3 docs/examples/read_onnx.py model --user 1 --movie 783 --movie 1

The features of users and movies come from the catalog that lies beside them. Whoever is not in it is given as id -1 and their
features.
"""
import argparse
import os

import numpy as np
import onnxruntime
from safetensors.numpy import load_file


def padded(lists):
    """Lists of numbers as one array, and the mask of what is theirs."""
    longest = max([1] + [len(numbers) for numbers in lists])
    values, mask = np.zeros((len(lists), longest), np.int64), np.zeros((len(lists), longest), bool)
    for i, numbers in enumerate(lists):
        values[i, :len(numbers)], mask[i, :len(numbers)] = numbers, True
    return values, mask


class Catalog:
    """The inputs of the graphs, of users and movies given by their ids."""

    def __init__(self, directory):
        self.c = load_file(os.path.join(directory, "catalog.safetensors"))

    def users(self, ids):
        at = np.searchsorted(self.c["users.ids"], ids)
        inputs = {feature: self.c[f"users.{feature}s"][at].astype(np.int64)
                  for feature in ("gender", "age", "occupation")}
        return {"user_id": np.array(ids, np.int64), **inputs}

    def items(self, feature, movies):
        offsets, values = self.c[f"movies.{feature}_offsets"], self.c[f"movies.{feature}s"]
        return padded([values[offsets[m]:offsets[m + 1]] for m in movies])

    def movies(self, ids):
        at = np.searchsorted(self.c["movies.ids"], ids)
        genres, genre_mask = self.items("genre", at)
        words, word_mask = self.items("word", at)
        return {"movie_id": np.array(ids, np.int64), "genres": genres, "genre_mask": genre_mask, "words": words,
                "word_mask": word_mask}


def session(directory, name):
    return onnxruntime.InferenceSession(os.path.join(directory, name), providers=["CPUExecutionProvider"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--user", type=int, required=True)
    parser.add_argument("--movie", type=int, action="append", required=True)
    options = parser.parse_args()
    catalog = Catalog(options.model)
    # One user and several movies: score.onnx takes as many of both, or one of either.
    stars, = session(options.model, "score.onnx").run(
        ["stars"], {**catalog.users([options.user]), **catalog.movies(options.movie)})
    for movie, value in zip(options.movie, stars):
        print(f"movie {movie} stars {value:.4f}")


if __name__ == "__main__":
    main()
