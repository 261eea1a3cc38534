"""Movies added, updated and removed without training, as people do it: commands, indexes, exports and a running server."""
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
import unittest

from http_client import Serve
from programs import ProgramTest, marquee, program

MOVIES = 2000
INDEXES = "flat", "hnsw", "ivf"


class Movies(ProgramTest):
    @classmethod
    def setUpClass(cls):
        cls.class_scratch = tempfile.TemporaryDirectory()
        cls.data, cls.trained, cls.checkpoints = (os.path.join(cls.class_scratch.name, name)
                                                  for name in ("data", "model", "checkpoints"))
        for step in (("synth", "--out", cls.data, "--users", 200, "--movies", MOVIES, "--ratings", 30000, "--seed", 3),
                     ("train", "--data", cls.data, "--threads", 1, "--checkpoint-dir", cls.checkpoints, "--epochs", 1),
                     ("export", "--checkpoint", cls.checkpoints, "--out", cls.trained)):
            result = marquee(*step)
            if result.code != 0:
                raise AssertionError(result.err)
        with open(os.path.join(cls.data, "movies.dat"), encoding="latin-1") as file:
            cls.catalogue = [line.rstrip("\n").split("::") for line in file]

    def setUp(self):
        super().setUp()
        self.model = self.path("model")
        shutil.copytree(self.trained, self.model)

    def movies(self, action, *arguments):
        result = marquee("movies", action, "--model", self.model, "--json", *arguments)
        self.assertEqual(result.code, 0, result.err)
        return json.loads(result.out)

    def ask(self, command, *arguments):
        result = marquee(command, "--model", self.model, "--json", *arguments)
        self.assertEqual(result.code, 0, result.err)
        return json.loads(result.out)

    def refused(self, code, text, *arguments):
        self.fails(marquee("movies", *arguments, "--model", self.model), code, text)

    def test_a_new_movie_is_found_where_its_genres_and_title_say(self):
        twin, title, genres = self.catalogue[40]
        new = 900001
        self.assertEqual(self.movies("add", "--movie", new, "--title", f" {title} ", "--genres", genres.lower()),
                         {"added": 1, "updated": 0, "removed": 0, "unchanged": 0, "unknown_words": 0, "unknown_genres": 0})
        again = self.movies("add", "--movie", new, "--title", title, "--genres", genres)
        self.assertEqual((again["added"], again["unchanged"]), (0, 1))
        for index in INDEXES:
            like = self.ask("similar", "--movie", new, "--top", 20, "--index", index)
            self.assertEqual(like["title"], title)
            # Same title, same genres: only what ratings taught about the twin is between them.
            self.assertIn(int(twin), [m["id"] for m in like["similar"]][:5])
            shared = sum(bool(set(genres.split("|")) & set(m["genres"])) for m in like["similar"])
            self.assertGreaterEqual(shared, 15)
            back = self.ask("similar", "--movie", twin, "--top", 5, "--index", index)
            self.assertIn(new, [m["id"] for m in back["similar"]])
            everything = self.ask("recommend", "--user", 7, "--top", MOVIES + 1, "--index", index)["recommendations"]
            place = {m["id"]: m for m in everything}
            self.assertTrue(place[new]["unknown_movie"])
            self.assertEqual(place[new]["score"], self.ask("predict", "--user", 7, "--movie", new)["score"])
        self.movies("update", "--movie", new, "--title", "Quite Another Thing (2031)")
        self.assertEqual([m["id"] for m in self.ask("recommend", "--user", 7, "--year", "2031")["recommendations"]], [new])
        self.assertEqual(self.movies("list"), {"changes": [{"id": new, "title": "Quite Another Thing (2031)", "change": "added",
                                                            "genres": genres.split("|")}]})
        self.movies("remove", "--movie", new)
        self.movies("remove", "--movie", new)
        self.fails(marquee("predict", "--model", self.model, "--user", 7, "--movie", new), 1, f"movie {new} is not in")
        for command in ("recommend", "--user", 7), ("similar", "--movie", twin):
            said = self.ask(*command, "--top", MOVIES)
            self.assertNotIn(new, [m["id"] for m in said.get("recommendations", said.get("similar"))])

    def change_many(self, seed):
        """Adds, updates and removes some 60 movies each; returns the ids."""
        draw = random.Random(seed)
        ids = [int(line[0]) for line in self.catalogue]
        draw.shuffle(ids)
        removed, updated = ids[:60], ids[60:120]
        added = draw.sample(range(MOVIES + 1, 10 * MOVIES), 60)
        for action, movies in ("add", added), ("update", updated):
            path = self.path(action)
            with open(path, "w", encoding="latin-1") as file:
                for movie in movies:
                    _, title, genres = draw.choice(self.catalogue)
                    file.write(f"{movie}::{title[:-6]}({draw.randrange(1960, 2030)})::{genres}\n")
            self.movies(action, "--file", path)
        with open(self.path("ids"), "w") as file:
            file.write("\n".join(map(str, removed)))
        self.assertEqual(self.movies("remove", "--ids", self.path("ids"))["removed"], 60)
        return added, updated, removed

    def test_indexes_and_exact_search_agree_on_a_changed_catalogue(self):
        """Exact search against numpy over the vectors of an export, indexes against exact search."""
        import numpy as np
        # One index of before the changes, one made with them; neither knows of them.
        self.ask("recommend", "--user", 1, "--index", "hnsw")
        added, updated, removed = self.change_many(5)
        exported = marquee("export", "--checkpoint", self.checkpoints, "--out", self.model, "--format", "npy,faiss,onnx")
        self.assertIn("180 changed movies stay changed", exported.out)
        ids = np.load(os.path.join(self.model, "movie_ids.npy"))
        vectors = np.load(os.path.join(self.model, "movie_vectors.npy")).astype(np.float64)
        self.assertEqual(set(ids.tolist()), set(range(1, MOVIES + 1)) - set(removed) | set(added))
        vectors /= np.linalg.norm(vectors, axis=1)[:, None]
        place = {int(movie): i for i, movie in enumerate(ids)}
        both = total = 0
        for movie in added[:4] + updated[:4]:
            cosines = vectors @ vectors[place[movie]]
            wanted = [int(ids[i]) for i in np.argsort(-cosines, kind="stable") if ids[i] != movie][:10]
            exact = self.ask("similar", "--movie", movie, "--index", "flat", "--include-untrained")["similar"]
            for found, expected in zip(exact, wanted):
                self.assertAlmostEqual(found["similarity"], cosines[place[expected]], delta=1e-6)
            for index in "hnsw", "ivf":
                found = self.ask("similar", "--movie", movie, "--index", index, "--include-untrained")["similar"]
                self.assertEqual(len(found), 10)
                # What was changed is scored one by one: none of it may be missing.
                self.assertEqual([m["id"] for m in found if m["id"] in added + updated][:3],
                                 [m["id"] for m in exact if m["id"] in added + updated][:3])
                both += len({m["id"] for m in exact} & {m["id"] for m in found})
                total += 10
        self.assertGreaterEqual(both / total, 0.95)
        for year in "1960-1962", "2025-":
            exact = self.ask("recommend", "--user", 9, "--year", year, "--top", 500, "--index", "flat")["recommendations"]
            first, last = int(year[:4]), int(year[5:] or 9999)
            self.assertTrue(exact and all(first <= int(m["title"][-5:-1]) <= last for m in exact))
            self.assertFalse({m["id"] for m in exact} & set(removed))
            for index in "hnsw", "ivf":
                found = self.ask("recommend", "--user", 9, "--year", year, "--top", 500, "--index", index)["recommendations"]
                self.assertEqual(found, exact)
        said = marquee("evaluate", "--model", self.model, "--ratings", os.path.join(self.data, "ratings.dat"))
        self.assertEqual(said.code, 0, said.err)
        self.assertRegex(said.err, r"passed over \d+ ratings of removed movies")

    def test_a_server_takes_changes_over_without_dropping_a_request(self):
        server = Serve(self.model)
        self.lines.append(server)
        new = 900002
        self.assertEqual(server.get("/v1/predict", user=1, movie=new)[0], 404)
        self.movies("add", "--movie", new, "--title", "The Served One (2030)", "--genres", self.catalogue[0][2])
        end = time.monotonic() + 30
        while server.get("/v1/predict", user=1, movie=new)[0] != 200:
            self.assertEqual(server.get("/v1/recommend", user=1)[0], 200)
            self.assertLess(time.monotonic(), end, "the server does not see the change")
        self.assertEqual([m["id"] for m in server.get("/v1/movies", q="served one")[1]["movies"]], [new])
        self.assertEqual([m["id"] for m in server.get("/v1/recommend", user=1, year="2030-")[1]["recommendations"]], [new])
        # A damaged file is refused, and the model of before answers on.
        with open(os.path.join(self.model, "movies.changes.json"), "r+b") as file:
            file.seek(40)
            file.write(b"#")
        server.wait_for(r"movies.changes.json")
        self.assertEqual(server.get("/v1/predict", user=1, movie=new)[0], 200)

    def test_commands_at_once_lose_nothing(self):
        running = [subprocess.Popen([program("marquee"), "movies", "add", "--model", self.model, "--movie", str(movie),
                                     "--title", f"At Once {movie} (2020)"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                   for movie in range(910000, 910008)]
        self.assertEqual([process.wait(60) for process in running], [0] * 8)
        self.assertEqual([change["id"] for change in self.movies("list")["changes"]], list(range(910000, 910008)))

    def test_what_is_wrong_is_said_and_nothing_is_done(self):
        there = "--movie", 3
        self.refused(1, "movie 3 is there already", "add", *there, "--title", "Another")
        self.refused(1, "genre 'Nonsense' is not known: one of", "add", "--movie", 900003, "--title", "A", "--genres", "Nonsense")
        self.refused(1, "movie 900003 is not in this model: use add", "update", "--movie", 900003, "--title", "A")
        self.refused(1, "movie 900003 is not in this model", "remove", "--movie", 900003)
        self.refused(2, "add needs --title", "add", "--movie", 900003)
        self.refused(2, "needs either --movie or --file", "add", "--title", "A")
        self.refused(2, "update needs --title, --genres or both", "update", *there)
        self.refused(2, "'change' is none of add, update, remove, list", "change", *there)
        self.refused(2, "remove takes --movie, or --ids", "remove", *there, "--title", "A")
        self.refused(2, "list takes none of", "list", *there)
        with open(self.path("new"), "wb") as file:
            file.write(b"900003::Good (2000)::Drama\n900004::Bad (2000)::Nonsense\n")
        self.refused(1, "movie 900004: genre 'Nonsense'", "add", "--file", self.path("new"))
        self.assertEqual(self.movies("list"), {"changes": []})
        said = self.movies("add", "--file", self.path("new"), "--accept-unknown-genres")
        self.assertEqual((said["added"], said["unknown_genres"]), (2, 1))
        with open(os.path.join(self.model, "movies.changes.json"), "ab") as file:
            file.write(b" ")
        self.fails(marquee("predict", "--model", self.model, "--user", 1, "--movie", 1), 1, "movies.changes.json: damaged")
        self.refused(1, "movies.changes.json: damaged", "remove", *there)


if __name__ == "__main__":
    unittest.main()
