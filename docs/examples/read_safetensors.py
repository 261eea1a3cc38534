#!/usr/bin/env python3
"""Predicts from a model directory with NumPy and safetensors alone: the towers and the score of docs/model-directory.md.

    pip install numpy safetensors
    marquee export --checkpoint checkpoints --out model
    python3 docs/examples/read_safetensors.py model --user 1 --movie 783
"""
import argparse
import json
import os

import numpy as np
from safetensors import deserialize
from safetensors.numpy import load_file


def load_tables(path):
    """The tensors of model.safetensors, rows that were stored as bf16 or int8 as float32 (NumPy has no bf16)."""
    with open(path, "rb") as file:
        stored = dict(deserialize(file.read()))
    types = {"F32": np.float32, "U64": np.uint64, "I8": np.int8, "BF16": np.uint16}
    tensors = {name: np.frombuffer(t["data"], types[t["dtype"]]).reshape(t["shape"]) for name, t in stored.items()}
    for name, tensor in tensors.items():
        if stored[name]["dtype"] == "BF16":
            tensors[name] = (tensor.astype(np.uint32) << 16).view(np.float32)
        elif stored[name]["dtype"] == "I8":
            tensors[name] = tensor * tensors[name.replace(".weight", ".scale")][:, None]
    return tensors


class Model:
    def __init__(self, directory):
        with open(os.path.join(directory, "model.json")) as file:
            self.about = json.load(file)
        self.config = self.about["model"]["config"]
        self.w = load_tables(os.path.join(directory, "model.safetensors"))
        self.c = load_file(os.path.join(directory, "catalog.safetensors"))

    def layer(self, name, x):
        return self.w[name + ".weight"] @ x + self.w[name + ".bias"]

    def number(self, table, id):
        """A user's, a movie's number in the catalog."""
        number = int(np.searchsorted(self.c[table + "s.ids"], id))
        if number == len(self.c[table + "s.ids"]) or self.c[table + "s.ids"][number] != id:
            raise KeyError(f"{table} {id} is not in this model")
        return number

    def row(self, table, number):
        """The row of a user or movie: who was never trained has the unknown row, if that one was trained."""
        if not self.c[table + "s.trained"][number] and self.about["unknown_trained"][table]:
            return np.float32(self.about["unknown"][table])
        compact = table + ".ids" in self.w
        return self.w[table + ".weight"][number if compact else self.c[table + "s.ids"][number]]

    def user_vector(self, id):
        u = self.number("user", id)
        parts = [self.layer("user_fc", self.row("user", u))]
        for feature in ("gender", "age", "occupation"):
            value = self.c[f"users.{feature}s"][u]
            parts.append(self.layer(feature + "_fc", self.w[feature + ".weight"][value]))
        return np.tanh(self.layer("user_combined", np.concatenate(parts)))

    def items(self, feature, m):
        """A movie's genres, or its title's words in their order."""
        begin, end = self.c[f"movies.{feature}_offsets"][m:m + 2]
        return self.c[f"movies.{feature}s"][begin:end].astype(np.int64)

    def title_vector(self, m):
        words, width = self.w["word.weight"][self.items("word", m)], self.config["filter_width"]
        before = (width - 1) // 2
        padded = np.pad(words, ((before, width - 1 - before), (0, 0)))
        windows = [np.tanh(self.layer("title_conv", padded[t:t + width].ravel())) for t in range(len(words))]
        pool = np.max if self.config["pooling"] == "max" else np.sum
        return pool(windows, axis=0) if windows else np.zeros(self.config["filters"], np.float32)

    def movie_vector(self, id):
        m = self.number("movie", id)
        movie = self.layer("movie_fc", self.row("movie", m))
        genres = self.w["genre.weight"][self.items("genre", m)].sum(axis=0)
        return np.tanh(self.layer("movie_combined", np.concatenate([movie, genres, self.title_vector(m)])))

    def stars(self, user, movie):
        return stars_of(self.user_vector(user), self.movie_vector(movie))


def unit(vectors):
    """Vectors over their lengths; a square of a length never counts for less than 1e-8."""
    return vectors / np.sqrt(np.maximum(np.square(vectors).sum(axis=-1, keepdims=True), 1e-8))


def stars_of(user_vector, movie_vector):
    score = 5 * unit(user_vector) @ unit(movie_vector)
    return (score + 5) / 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--user", type=int, required=True)
    parser.add_argument("--movie", type=int, required=True)
    options = parser.parse_args()
    print(f"stars {Model(options.model).stars(options.user, options.movie):.4f}")


if __name__ == "__main__":
    main()
