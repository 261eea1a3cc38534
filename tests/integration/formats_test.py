"""What export writes, read by other people's programs: ONNX Runtime, safetensors, NumPy and FAISS agree with predict.

The programs of docs/examples read it, so they are tested as well.
"""
import json
import multiprocessing.pool
import os
import random
import re
import shutil
import subprocess
import sys

import faiss
import numpy as np
import onnx
import unittest

from programs import ProgramTest, marquee

EXAMPLES = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "examples")
sys.path.insert(0, EXAMPLES)
import read_onnx
import read_safetensors
import search_movies

TOLERANCE = 1e-4  # stars
GRAPHS = ["user_tower.onnx", "movie_tower.onnx", "score.onnx"]


def predict(model, *options):
    result = marquee("predict", "--model", model, *options, "--json")
    if result.code != 0:
        raise AssertionError(result.err)
    return json.loads(result.out)


class Exported(ProgramTest):
    """A model trained for an epoch and exported in all formats; `pairs` random pairs and what predict says of them."""
    pairs = 1000
    export_options = ()
    model_options = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.prepare_data()
        cls.checkpoints, cls.model = (os.path.join(cls.class_scratch.name, n) for n in ("checkpoints", "model"))
        config = os.path.join(cls.class_scratch.name, "config.json")
        with open(config, "w") as file:
            json.dump(cls.model_options, file)
        marquee("train", "--data", cls.data, "--epochs", 1, "--checkpoint-dir", cls.checkpoints, "--model", config).digest()
        exported = marquee("export", "--checkpoint", cls.checkpoints, "--out", cls.model, "--format", "onnx,npy,faiss",
                           *cls.export_options)
        if exported.code != 0:
            raise AssertionError(exported.err)
        cls.catalog = read_onnx.Catalog(cls.model)
        draw = random.Random(1)
        users, movies = (cls.catalog.c[f"{t}s.ids"].tolist() for t in ("user", "movie"))
        # The first user and the first movie were never trained, see prepare_data.
        cls.users = [users[0], *draw.choices(users, k=cls.pairs - 1)]
        cls.movies = [*draw.choices(movies, k=cls.pairs - 1), movies[0]]
        with multiprocessing.pool.ThreadPool(2) as pool:
            cls.predicted = pool.starmap(lambda u, m: predict(cls.model, "--user", u, "--movie", m),
                                         zip(cls.users, cls.movies))
        cls.stars = np.array([answer["stars"] for answer in cls.predicted])

    @classmethod
    def prepare_data(cls):
        """A movie that nobody rated, and a user who rated nothing, for the unknown rows."""
        ratings = os.path.join(cls.data, "ratings.dat")
        with open(ratings, encoding="latin-1") as file:
            kept = [line for line in file if not line.startswith("1::") and line.split("::")[1] != "1"]
        with open(ratings, "w", encoding="latin-1") as file:
            file.writelines(kept)

    def run_graph(self, name, outputs, inputs, model=None):
        return read_onnx.session(model or self.model, name).run(outputs, inputs)

    def vectors(self):
        users, = self.run_graph("user_tower.onnx", ["user_vector"], self.catalog.users(self.users))
        movies, = self.run_graph("movie_tower.onnx", ["movie_vector"], self.catalog.movies(self.movies))
        return search_movies.unit(users), search_movies.unit(movies)

    def agrees(self, stars, wanted=None):
        np.testing.assert_allclose(stars, self.stars if wanted is None else wanted, rtol=0, atol=TOLERANCE)


class Pairs:
    """What holds of every exported model."""

    def test_some_are_scored_with_the_unknown_rows(self):
        self.assertTrue(self.predicted[0]["unknown_user"])
        self.assertTrue(self.predicted[-1]["unknown_movie"])
        self.assertFalse(all(answer["unknown_user"] or answer["unknown_movie"] for answer in self.predicted))
        self.assertGreater(np.std(self.stars), 0.01)

    def test_files_are_onnx(self):
        for name in GRAPHS:
            onnx.checker.check_model(os.path.join(self.model, name), full_check=True)

    def test_score_agrees(self):
        inputs = {**self.catalog.users(self.users), **self.catalog.movies(self.movies)}
        stars, score = self.run_graph("score.onnx", ["stars", "score"], inputs)
        self.agrees(stars)
        self.agrees(score, [answer["score"] for answer in self.predicted])

    def test_towers_agree(self):
        users, movies = self.vectors()
        self.agrees((5 * (users * movies).sum(axis=1) + 5) / 2)

    def test_safetensors_agree(self):
        model = read_safetensors.Model(self.model)
        self.agrees([model.stars(u, m) for u, m in zip(self.users, self.movies)])

    def test_npy_agrees(self):
        users, _ = self.vectors()
        vectors = np.load(os.path.join(self.model, "movie_vectors.npy"))
        ids = np.load(os.path.join(self.model, "movie_ids.npy"))
        self.assertEqual(ids.tolist(), self.catalog.c["movies.ids"].tolist())
        self.assertEqual((vectors.dtype, ids.dtype), (np.float32, np.uint64))
        at = np.searchsorted(ids, np.array(self.movies, np.uint64))
        self.agrees((5 * (users * search_movies.unit(vectors[at])).sum(axis=1) + 5) / 2)

    def test_faiss_agrees(self):
        users, _ = self.vectors()
        index = faiss.read_index(os.path.join(self.model, "movies.faiss"))
        self.assertEqual((index.ntotal, index.metric_type), (len(self.catalog.c["movies.ids"]), faiss.METRIC_INNER_PRODUCT))
        cosines, ids = index.search(users, index.ntotal)
        at = np.argmax(ids == np.array(self.movies)[:, None], axis=1)
        self.assertEqual([row[i] for row, i in zip(ids, at)], self.movies)
        self.agrees((5 * np.take_along_axis(cosines, at[:, None], 1)[:, 0] + 5) / 2)


class Inline(Pairs, Exported):
    model_options = {"filter_width": 3}

    def test_a_graph_needs_no_other_file(self):
        alone = os.path.join(self.scratch, "alone")
        os.mkdir(alone)
        shutil.copy(os.path.join(self.model, "score.onnx"), alone)
        inputs = {**self.catalog.users(self.users[:9]), **self.catalog.movies(self.movies[:9])}
        self.agrees(self.run_graph("score.onnx", ["stars"], inputs, alone)[0], self.stars[:9])

    def test_one_user_against_many_movies(self):
        user = self.users[0]
        stars, = self.run_graph("score.onnx", ["stars"], {**self.catalog.users([user]), **self.catalog.movies(self.movies[:5])})
        self.agrees(stars, [predict(self.model, "--user", user, "--movie", m)["stars"] for m in self.movies[:5]])

    def test_padding_does_not_count(self):
        movies = self.catalog.movies(self.movies)
        longer = dict(movies)
        for values, mask in ("genres", "genre_mask"), ("words", "word_mask"):
            longer[values] = np.pad(movies[values], ((0, 0), (0, 4)), constant_values=1)
            longer[mask] = np.pad(movies[mask], ((0, 0), (0, 4)))
        run = lambda inputs: self.run_graph("movie_tower.onnx", ["movie_vector"], inputs)[0]
        np.testing.assert_allclose(run(longer), run(movies), rtol=0, atol=1e-6)

    def test_somebody_new(self):
        inputs = {"user_id": [-1], "gender": [1], "age": [2], "occupation": [3]}
        vectors, = self.run_graph("user_tower.onnx", ["user_vector"], {n: np.array(v, np.int64) for n, v in inputs.items()})
        movie = self.movies[0]
        movies, = self.run_graph("movie_tower.onnx", ["movie_vector"], self.catalog.movies([movie]))
        wanted = predict(self.model, "--age", 25, "--gender", "F", "--occupation", 3, "--movie", movie)["stars"]
        self.agrees(read_safetensors.stars_of(vectors[0], movies[0]), wanted)

    def test_examples_print_what_the_commands_say(self):
        def said(name, *options):
            out = subprocess.run([sys.executable, "-B", os.path.join(EXAMPLES, name), self.model, *map(str, options)],
                                 check=True, capture_output=True, text=True, timeout=60).stdout
            return [float(stars) for stars in re.findall(r"stars (\S+)$", out, re.M)]
        user, movie = self.users[0], self.movies[0]
        self.agrees(said("read_safetensors.py", "--user", user, "--movie", movie), self.stars[:1])
        self.agrees(said("read_onnx.py", "--user", user, "--movie", movie), self.stars[:1])
        found = marquee("recommend", "--model", self.model, "--user", user, "--top", 7, "--include-untrained", "--json")
        best = [entry["stars"] for entry in json.loads(found.out)["recommendations"]]
        for options in ([], ["--faiss"]):
            self.agrees(said("search_movies.py", "--user", user, "--top", 7, *options), best)


class Bf16(Pairs, Exported):
    pairs = 50
    export_options = ("--rows", "bf16")

    def test_what_rounding_costs_is_said(self):
        exact = self.path("exact")
        self.assertEqual(marquee("export", "--checkpoint", self.checkpoints, "--out", exact).code, 0)
        ask = ["evaluate", "--ratings", os.path.join(self.data, "ratings.dat"), "--json", "--model"]
        rounded = json.loads(marquee(*ask, self.model, "--against", exact).out)
        self.assertEqual(rounded["rows"], "bf16")
        cost = rounded["rmse"] - json.loads(marquee(*ask, exact).out)["rmse"]
        self.assertNotEqual(cost, 0)
        self.assertLess(abs(cost), 0.01)
        self.assertAlmostEqual(rounded["rmse_cost"], cost, delta=1e-12)


class External(Pairs, Exported):
    """Far ids, whose tables are compact; an even filter, the other pooling; graphs that point to model.safetensors, whose
    rows are int8."""
    pairs = 100
    export_options = ("--onnx-data", "external", "--rows", "int8")
    model_options = {"pooling": "max", "filter_width": 4, "user_dim": 24, "word_dim": 20, "hidden": 50}

    @classmethod
    def prepare_data(cls):
        super().prepare_data()
        far = {"users.dat": r"^(\d+)::", "movies.dat": r"^(\d+)::", "ratings.dat": r"^(\d+)::(\d+)::"}
        for name, ids in far.items():
            path = os.path.join(cls.data, name)
            with open(path, encoding="latin-1") as file:
                text = file.read()
            text = re.sub(ids, lambda found: "".join(f"{int(id) * 10**13}::" for id in found.groups()), text, flags=re.M)
            with open(path, "w", encoding="latin-1") as file:
                file.write(text)

    def test_far_ids_are_looked_up(self):
        self.assertIn("user.ids", read_safetensors.Model(self.model).w)
        graph = onnx.load(os.path.join(self.model, "score.onnx"), load_external_data=False).graph
        self.assertEqual([node.op_type for node in graph.node].count("LabelEncoder"), 2)

    def test_tables_are_in_one_place_only(self):
        for name in GRAPHS:
            graph = onnx.load(os.path.join(self.model, name), load_external_data=False).graph
            tables = [t for t in graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
            self.assertIn("user.weight" if name != "movie_tower.onnx" else "movie.weight", [t.name for t in tables])
            for tensor in tables:
                self.assertEqual({e.key: e.value for e in tensor.external_data}["location"], "model.safetensors")


if __name__ == "__main__":
    unittest.main()
