"""Recommendations through an index, against exact search: recall, filters, and indexes that are not to be used."""
import json
import os
import shutil
import tempfile
import unittest

from http_client import Serve
from programs import BIN, ProgramTest, marquee

MOVIES = 3000
TOP = 10


class Index(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.class_scratch = tempfile.TemporaryDirectory()
        cls.data, cls.model, cls.other, checkpoints = (os.path.join(cls.class_scratch.name, name)
                                                       for name in ("data", "model", "other", "checkpoints"))
        train = "train", "--data", cls.data, "--threads", 1, "--checkpoint-dir", checkpoints, "--max-steps"
        for step in (("synth", "--out", cls.data, "--users", 100, "--movies", MOVIES, "--ratings", 12000, "--seed", 3),
                     (*train, 5), ("export", "--checkpoint", checkpoints, "--out", cls.model),
                     (*train, 6, "--resume"), ("export", "--checkpoint", checkpoints, "--out", cls.other)):
            result = marquee(*step)
            if result.code != 0:
                raise AssertionError(result.err)

    def ask(self, model, index, *arguments, command="recommend", says=None):
        result = marquee(command, "--model", model, "--index", index, "--include-untrained", "--json", *arguments)
        self.assertEqual(result.code, 0, result.err)
        if says is None:
            self.assertEqual(result.err, "")
        else:
            self.assertIn(says, result.err)
        said = json.loads(result.out)
        return said["recommendations" if command == "recommend" else "similar"]

    def check_recall(self, kind):
        model = self.path("model")
        shutil.copytree(self.model, model)
        self.ask(model, kind, "--user", 1, says="made an index")
        both = total = 0
        for user in range(1, 9):
            exact = {m["id"]: m["stars"] for m in self.ask(model, "flat", "--user", user, "--top", TOP)}
            found = self.ask(model, kind, "--user", user, "--top", TOP)
            self.assertEqual(len(found), TOP)
            self.assertEqual([m["stars"] for m in found], sorted((m["stars"] for m in found), reverse=True))
            for movie in found:
                if movie["id"] in exact:
                    self.assertEqual(movie["stars"], exact[movie["id"]])
                    both += 1
            total += TOP
        self.assertGreaterEqual(both / total, 0.95)
        exact, found = ([m["id"] for m in self.ask(model, index, "--movie", 7, command="similar")]
                        for index in ("flat", kind))
        self.assertGreaterEqual(len(set(exact) & set(found)), TOP - 1)

    def test_a_graph_finds_what_exact_search_finds(self):
        self.check_recall("hnsw")

    def test_lists_find_what_exact_search_finds(self):
        self.check_recall("ivf")

    def test_filters_never_make_an_answer_short(self):
        """Down to genres and years of which there are fewer than k, for both kinds of index."""
        model = self.path("model")
        shutil.copytree(self.model, model)
        everything = self.ask(model, "flat", "--user", 3, "--top", MOVIES)
        self.assertEqual(len(everything), MOVIES)
        for kind in "hnsw", "ivf":
            self.ask(model, kind, "--user", 3, says="made an index")
            server = Serve(model, "--index", kind)
            self.lines.append(server)
            rare = sorted({m["genres"][0] for m in everything}, key=lambda g: sum(g in m["genres"] for m in everything))
            for filters in [{"genre": genre} for genre in rare] + [{"year": f"{y}-{y}"} for y in range(1990, 1999, 2)] + \
                    [{"genre": rare[0], "year": f"{y}-9999"} for y in (1950, 1998)] + \
                    [{"ids": ",".join(str(i) for i in range(1, MOVIES, step))} for step in (40, 1000)]:
                wanted = set(map(int, filters["ids"].split(","))) if "ids" in filters else {m["id"] for m in everything}
                first, last = map(int, filters.get("year", "0-9999").split("-"))
                passing = [m for m in everything if filters.get("genre", m["genres"][0]) in m["genres"]
                           and first <= int(m["title"][-5:-1]) <= last and m["id"] in wanted]
                for k in 1, 10, 50:
                    code, said = server.get("/v1/recommend", user=3, k=k, include_untrained=True, **filters)
                    found = said["recommendations"]
                    self.assertEqual((code, len(found)), (200, min(k, len(passing))), filters)
                    self.assertLessEqual({m["id"] for m in found}, {m["id"] for m in passing}, filters)
                    if len(passing) <= k:
                        self.assertEqual([m["id"] for m in found], [m["id"] for m in passing])

    def test_many_users_at_once_get_what_each_gets_alone(self):
        model = self.path("model")
        shutil.copytree(self.model, model)
        ratings = os.path.join(self.data, "ratings.dat")
        users = [*range(1, 101), 7]
        with open(self.path("users"), "w") as file:
            file.write("\n".join(map(str, users)))
        for kind in "flat", "hnsw", "ivf":
            marquee("recommend", "--model", model, "--index", kind, "--user", 1)
            for more in (), ("--exclude-seen", ratings, "--top", 5), ("--year", "1990-1992", "--top", 70):
                said = marquee("recommend", "--model", model, "--index", kind, "--users", self.path("users"), "--json", *more)
                self.assertEqual((said.code, said.err), (0, ""))
                answers = [json.loads(line) for line in said.out.splitlines()]
                self.assertEqual([answer["user"] for answer in answers], users)
                for place in 0, 6, 57, 100:
                    alone = marquee("recommend", "--model", model, "--index", kind, "--user", users[place], "--json", *more)
                    self.assertEqual(json.loads(alone.out), answers[place])
        said = marquee("recommend", "--model", model, "--users", self.path("users"), "--user", 1)
        self.fails(said, 2, "--users says for whom")
        with open(self.path("users"), "a") as file:
            file.write(",4000")
        self.fails(marquee("recommend", "--model", model, "--users", self.path("users")), 1, "user 4000 is not in this model")

    def test_an_index_that_is_another_models_or_damaged_is_made_again(self):
        model = self.path("model")
        shutil.copytree(self.model, model)
        self.ask(model, "hnsw", "--user", 1, says="made an index")
        self.ask(model, "hnsw", "--user", 1)
        index = os.path.join(model, "movies.hnsw.index")
        with open(index, "r+b") as file:
            file.seek(-100, os.SEEK_END)
            file.write(b"\xff")
        self.ask(model, "hnsw", "--user", 1, says="damaged")
        self.ask(model, "hnsw", "--user", 1)
        other = self.path("other")
        shutil.copytree(self.other, other)
        for name in "movies.hnsw.index", "movies.hnsw.json":
            shutil.copy(os.path.join(model, name), other)
        exact = [m["id"] for m in self.ask(other, "flat", "--user", 1, "--top", TOP)]
        found = [m["id"] for m in self.ask(other, "hnsw", "--user", 1, "--top", TOP, says="is of another model")]
        self.assertGreaterEqual(len(set(exact) & set(found)), TOP - 1)
        os.truncate(os.path.join(other, "movies.hnsw.json"), 10)
        self.ask(other, "hnsw", "--user", 1, says="made an index")


@unittest.skipIf("asan" in os.path.realpath(BIN) or "tsan" in os.path.realpath(BIN), "a hundred thousand movies")
class Automatic(ProgramTest):
    """--index auto, by the number of movies. The vectors are short, so that their index is soon made."""
    users, ratings = 50, 1000
    narrow = {"hidden": 16}

    def export(self, movies, *arguments):
        data, checkpoints, model, config = (self.path(f"{name}{movies}") for name in ("data", "checkpoints", "model", "config"))
        with open(config, "w") as file:
            json.dump(self.narrow, file)
        if not os.path.exists(checkpoints):
            for step in (("synth", "--out", data, "--users", 50, "--movies", movies, "--ratings", 1000, "--seed", 3),
                         ("train", "--data", data, "--model", config, "--max-steps", 1, "--checkpoint-dir", checkpoints)):
                result = marquee(*step)
                self.assertEqual(result.code, 0, result.err)
        result = marquee("export", "--checkpoint", checkpoints, "--out", model, *arguments)
        self.assertEqual(result.code, 0, result.err)
        return model, result.out

    def indexes(self, model):
        return sorted(name for name in os.listdir(model) if name.endswith(".index"))

    def ask(self, model, *arguments):
        result = marquee("recommend", "--model", model, "--user", 1, "--include-untrained", "--json", *arguments)
        self.assertEqual((result.code, result.err), (0, ""))
        return result.out

    def test_below_100000_search_is_exact(self):
        model, said = self.export(99999)
        self.assertNotIn("index", said)
        server = Serve(model)
        self.lines.append(server)
        self.assertEqual(server.get("/v1/recommend", user=1, include_untrained=True), (200, json.loads(self.ask(model, "--index", "flat"))))
        self.assertEqual(self.indexes(model), [])

    def test_from_100000_on_export_and_serve_make_an_index_and_questions_use_it(self):
        model, said = self.export(100000)
        self.assertIn("made an index of 100000 movies, hnsw", said)
        self.assertEqual(self.indexes(model), ["movies.hnsw.index"])
        self.assertEqual(len(json.loads(self.ask(model))["recommendations"]), 10)
        model, said = self.export(100000, "--index", "flat")
        self.assertEqual(self.indexes(model), [])
        self.assertEqual(self.ask(model), self.ask(model, "--index", "flat"))
        self.assertEqual(self.indexes(model), [])
        self.lines.append(Serve(model))
        self.assertEqual(self.indexes(model), ["movies.hnsw.index"])
        model, said = self.export(100000, "--index", "ivf")
        self.assertIn("made an index of 100000 movies, ivf", said)
        self.lines.append(Serve(model))
        self.assertEqual(self.indexes(model), ["movies.ivf.index"])


if __name__ == "__main__":
    unittest.main()
