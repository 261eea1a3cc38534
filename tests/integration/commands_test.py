"""The commands from training to answers, against plain searches over what export wrote: numpy, none of our code."""
import importlib.util
import json
import os
import sys
import unittest

from programs import ProgramTest, marquee, program, read_safetensors, run

SKIPPED = 77
TOLERANCE = 1e-5
AGES = [1, 18, 25, 35, 45, 50, 56]


class Outsider:
    """A model directory, scored in float64 as docs/model-directory.md says."""

    def __init__(self, path):
        with open(os.path.join(path, "model.json")) as file:
            self.about = json.load(file)
        self.w = {name: np.asarray(values, dtype=np.float64)
                  for name, values in read_safetensors(os.path.join(path, "model.safetensors")).items()}
        self.c = read_safetensors(os.path.join(path, "catalog.safetensors"))
        self.config = self.about["model"]["config"]
        self.user_ids, self.movie_ids = (self.c[t + ".ids"].astype(int) for t in ("users", "movies"))
        self.vectors = np.array([self.movie_vector(m) for m in range(len(self.movie_ids))])

    def layer(self, name, x):
        return self.w[name + ".weight"] @ x + self.w[name + ".bias"]

    def row(self, table, at, id):
        own = self.c[table + "s.trained"][at] or not self.about["unknown_trained"][table]
        return self.w[table + ".weight"][id] if own else np.array(self.about["unknown"][table])

    def person_vector(self, row, gender, age, occupation):
        parts = [self.layer("user_fc", row)]
        for table, value in ("gender", gender), ("age", age), ("occupation", occupation):
            parts.append(self.layer(table + "_fc", self.w[table + ".weight"][value]))
        return np.tanh(self.layer("user_combined", np.concatenate(parts)))

    def user_vector(self, id):
        u = list(self.user_ids).index(id)
        return self.person_vector(self.row("user", u, id), *(int(self.c[f"users.{f}s"][u])
                                                             for f in ("gender", "age", "occupation")))

    def new_person_vector(self, age, gender, occupation):
        bucket = max(i for i, lower in enumerate(AGES) if lower <= age)
        return self.person_vector(np.array(self.about["unknown"]["user"]), "MF".index(gender), bucket, occupation)

    def items(self, field, m):
        begin, end = (int(i) for i in self.c[f"movies.{field}_offsets"][m:m + 2])
        return self.c[f"movies.{field}s"][begin:end].astype(int)

    def genres(self, m):
        return [self.about["genres"][g] for g in self.items("genre", m)]

    def movie_vector(self, m):
        words = self.w["word.weight"][self.items("word", m)]
        width = self.config["filter_width"]
        before = (width - 1) // 2
        padded = np.pad(words, ((before, width - 1 - before), (0, 0)))
        windows = [np.tanh(self.layer("title_conv", padded[t:t + width].ravel())) for t in range(len(words))]
        pool = np.max if self.config["pooling"] == "max" else np.sum
        title = pool(windows, axis=0) if windows else np.zeros(self.config["filters"])
        genres = self.w["genre.weight"][self.items("genre", m)].sum(axis=0)
        movie = self.layer("movie_fc", self.row("movie", m, self.movie_ids[m]))
        return np.tanh(self.layer("movie_combined", np.concatenate([movie, genres, title])))

    @staticmethod
    def cosine(x, y):
        return x @ y / np.sqrt(max(x @ x, 1e-8) * max(y @ y, 1e-8))

    def stars(self, x, m):
        return (5 * self.cosine(x, self.vectors[m]) + 5) / 2

    def search(self, value, wanted=lambda m: True):
        """(value, id) of all trained movies, the best first."""
        found = [(value(m), int(id)) for m, id in enumerate(self.movie_ids) if self.c["movies.trained"][m] and wanted(m)]
        return sorted(found, key=lambda entry: (-entry[0], entry[1]))


class Trained(ProgramTest):
    """A model trained for three epochs, its export, and the outsider's view of it."""
    model_options = ()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.checkpoints, cls.model = (os.path.join(cls.class_scratch.name, n) for n in ("checkpoints", "model"))
        options = ["--data", cls.data, "--epochs", 3, "--checkpoint-dir", cls.checkpoints]
        if cls.model_options:
            config = os.path.join(cls.class_scratch.name, "config.json")
            with open(config, "w") as file:
                json.dump(dict(cls.model_options), file)
            options += ["--model", config]
        cls.trained = marquee("train", *options)
        cls.trained.digest()
        exported = marquee("export", "--checkpoint", cls.checkpoints, "--out", cls.model)
        if exported.code != 0:
            raise AssertionError(exported.err)
        cls.outsider = Outsider(cls.model)


class Answers(Trained):
    def ask(self, command, *options):
        result = marquee(command, "--model", self.model, *options, "--json")
        self.assertEqual(result.code, 0, result.err)
        return json.loads(result.out)

    def ranks(self, answer, key, expected):
        """The answer's ranking is the search's, but for the order of what is equal within the tolerance."""
        self.assertEqual([entry["rank"] for entry in answer], list(range(1, len(answer) + 1)))
        self.assertEqual(len(answer), len(expected))
        values = {id: value for value, id in expected}
        for entry, (value, _) in zip(answer, expected):
            self.assertAlmostEqual(entry[key], value, delta=TOLERANCE)
            self.assertAlmostEqual(entry[key], values.get(entry["id"], value), delta=TOLERANCE)

    def test_predict_is_the_outsiders(self):
        own = self.outsider
        for user in own.user_ids[::37]:
            x = own.user_vector(user)
            for m in range(0, len(own.movie_ids), 23):
                said = self.ask("predict", "--user", user, "--movie", own.movie_ids[m])
                self.assertAlmostEqual(said["stars"], own.stars(x, m), delta=TOLERANCE)
                self.assertAlmostEqual(said["stars"], (said["score"] + 5) / 2, delta=1e-6)
                self.assertEqual((said["user"], said["movie"]), (user, own.movie_ids[m]))

    def test_predict_shows_what_was_given(self):
        with open(os.path.join(self.data, "ratings.dat")) as ratings:
            user, movie, stars, _ = ratings.readline().split("::")
        said = self.ask("predict", "--user", user, "--movie", movie)
        self.assertEqual(said["actual"], float(stars))
        self.assertIn(said["split"], ("trained", "held out"))

    def test_somebody_new_gets_the_unknown_row(self):
        own = self.outsider
        self.assertTrue(own.about["unknown_trained"]["user"])
        for age, gender, occupation in (25, "M", 12), (17, "F", 0), (70, "F", 20):
            who = ("--age", age, "--gender", gender, "--occupation", occupation)
            x = own.new_person_vector(age, gender, occupation)
            said = self.ask("predict", *who, "--movie", own.movie_ids[3])
            self.assertIsNone(said["user"])
            self.assertTrue(said["unknown_user"])
            self.assertAlmostEqual(said["stars"], own.stars(x, 3), delta=TOLERANCE)
            self.ranks(self.ask("recommend", *who, "--top", 7)["recommendations"], "stars",
                       own.search(lambda m: own.stars(x, m))[:7])

    def test_recommend_is_an_exact_search(self):
        own = self.outsider
        for user in own.user_ids[::60]:
            x = own.user_vector(user)
            everything = own.search(lambda m: own.stars(x, m))
            for top in (1, 10, 100000):
                said = self.ask("recommend", "--user", user, "--top", top)["recommendations"]
                self.ranks(said, "stars", everything[:top])
            self.ranks(self.ask("recommend", "--user", user)["recommendations"], "stars", everything[:10])

    def test_recommend_of_a_genre(self):
        own, user = self.outsider, self.outsider.user_ids[5]
        x = own.user_vector(user)
        for genre in own.about["genres"][:4]:
            said = self.ask("recommend", "--user", user, "--genre", genre, "--top", 15)["recommendations"]
            self.ranks(said, "stars", own.search(lambda m: own.stars(x, m), lambda m: genre in own.genres(m))[:15])
            self.assertTrue(all(genre in entry["genres"] for entry in said))

    def test_recommend_without_what_was_seen(self):
        own, path = self.outsider, os.path.join(self.data, "ratings.dat")
        seen = {}
        with open(path) as ratings:
            for line in ratings:
                user, movie = line.split("::")[:2]
                seen.setdefault(int(user), set()).add(int(movie))
        user = max(seen, key=lambda u: len(seen[u]))
        x = own.user_vector(user)
        said = self.ask("recommend", "--user", user, "--top", 1000, "--exclude-seen", path)["recommendations"]
        self.ranks(said, "stars", own.search(lambda m: own.stars(x, m), lambda m: own.movie_ids[m] not in seen[user]))
        self.assertFalse(seen[user] & {entry["id"] for entry in said})
        self.assertLess(len(said), int(own.c["movies.trained"].sum()))

    def test_similar_is_an_exact_search(self):
        own = self.outsider
        for movie in range(0, len(own.movie_ids), 41):
            said = self.ask("similar", "--movie", own.movie_ids[movie], "--top", 12)
            expected = own.search(lambda m: own.cosine(own.vectors[movie], own.vectors[m]), lambda m: m != movie)[:12]
            self.ranks(said["similar"], "similarity", expected)

    def test_evaluate_is_the_outsiders(self):
        own, path = self.outsider, self.path("some.dat")
        with open(os.path.join(self.data, "ratings.dat")) as ratings:
            some = [line for i, line in enumerate(ratings) if i % 9 == 0]
        with open(path, "w") as file:
            file.writelines(some)
        row = {int(id): m for m, id in enumerate(own.movie_ids)}
        errors = []
        for line in some:
            user, movie, stars = (int(text) for text in line.split("::")[:3])
            errors.append(own.stars(own.user_vector(user), row[movie]) - stars)
        said = self.ask("evaluate", "--ratings", path)
        self.assertEqual(said["ratings"], len(some))
        self.assertAlmostEqual(said["rmse"], np.sqrt(np.mean(np.square(errors))), delta=TOLERANCE)
        self.assertAlmostEqual(said["mae"], np.mean(np.abs(errors)), delta=TOLERANCE)

    def test_the_checkpoint_is_that_of_the_training(self):
        for command in "verify", "inspect":
            self.assertEqual(marquee("checkpoint", command, self.checkpoints).code, 0)
        inspected = marquee("checkpoint", "inspect", self.checkpoints)
        self.assertEqual(inspected.digest(), self.trained.digest())
        self.assertEqual(self.outsider.about["digest"], self.trained.digest())
        verified = json.loads(marquee("checkpoint", "verify", self.checkpoints, "--json").out)
        self.assertTrue(verified["good"])
        newest = verified["checkpoints"][-1]
        self.assertEqual((newest["good"], newest["step"]), (True, self.outsider.about["step"]))
        self.assertTrue(os.path.isdir(newest["path"]))
        same = marquee("checkpoint", "diff", self.checkpoints, self.checkpoints)
        self.assertEqual(same.code, 0, same.out + same.err)


class OtherModel(Answers):
    """Everything again for the smallest tower and the other pooling."""
    model_options = {"hidden": 1, "pooling": "max", "filter_width": 2, "filters": 5, "user_dim": 3, "genre_dim": 7}


class HeldOutFile(ProgramTest):
    def test_evaluate_equals_the_trainers_rmse(self):
        train, test = self.path("data"), self.path("test.dat")
        os.mkdir(train)
        for name in "users.dat", "movies.dat":
            os.link(os.path.join(self.data, name), os.path.join(train, name))
        with open(os.path.join(self.data, "ratings.dat")) as ratings, open(test, "w") as held_out, \
                open(os.path.join(train, "ratings.dat"), "w") as kept:
            for i, line in enumerate(ratings):
                (held_out if i % 8 == 0 else kept).write(line)
        metrics, checkpoints, model = self.path("metrics.jsonl"), self.path("checkpoints"), self.path("model")
        # Every user and movie has its own row: a training that leaves some out tests with their first values.
        trained = marquee("train", "--data", train, "--test-ratings", test, "--unknown-rate", 0, "--epochs", 2,
                          "--dump-metrics", metrics, "--checkpoint-dir", checkpoints)
        trained.digest()
        with open(metrics) as file:
            last = [json.loads(line) for line in file][-1]
        self.assertEqual(set(last), {"epoch", "step", "seconds", "ratings_per_second", "train_cost", "test_rmse",
                                     "test_mae", "wire_bytes_per_rating", "wire_messages_per_rating",
                                     "checkpoint_blocked_seconds", "restarts"})
        exported = json.loads(marquee("export", "--checkpoint", checkpoints, "--out", model, "--json").out)
        self.assertEqual((exported["model"], exported["step"]), (model, last["step"]))
        self.assertAlmostEqual(exported["test_rmse"], last["test_rmse"], delta=TOLERANCE)
        self.assertEqual(exported["trained_users"], exported["users"])
        said = marquee("evaluate", "--model", model, "--ratings", test, "--json")
        self.assertEqual(said.code, 0, said.err)
        said = json.loads(said.out)
        self.assertAlmostEqual(said["rmse"], last["test_rmse"], delta=TOLERANCE)
        self.assertAlmostEqual(said["mae"], last["test_mae"], delta=TOLERANCE)
        self.assertIn(f"held-out RMSE {said['rmse']:.4f} stars, MAE {said['mae']:.4f} stars", trained.out)


class ClearErrors(Trained):
    def refused(self, code, text, command, *options):
        result = marquee(command, *options)
        self.fails(result, code, f"marquee {command}: ", text)
        self.assertEqual(result.out, "")
        self.assertEqual(result.err.count("\n"), 1, result.err)

    def test_unknown_entities(self):
        model = ("--model", self.model)
        self.refused(1, "999999", "predict", *model, "--user", 999999, "--movie", self.outsider.movie_ids[0])
        self.refused(1, "999999", "predict", *model, "--user", self.outsider.user_ids[0], "--movie", 999999)
        self.refused(1, "999999", "recommend", *model, "--user", 999999)
        self.refused(1, "999999", "similar", *model, "--movie", 999999)
        self.refused(1, "Commedy", "recommend", *model, "--user", self.outsider.user_ids[0], "--genre", "Commedy")
        self.refused(1, "99", "recommend", *model, "--age", 25, "--gender", "M", "--occupation", 99)

    def test_missing_and_wrong_options(self):
        model = ("--model", self.model)
        self.refused(2, "--user", "recommend", *model)
        self.refused(2, "--occupation", "recommend", *model, "--age", 25, "--gender", "M")
        self.refused(2, "--gender", "recommend", *model, "--age", 25, "--gender", "X", "--occupation", 1)
        self.refused(2, "--movie", "predict", *model, "--user", 1)
        self.refused(2, "--model", "predict", "--user", 1, "--movie", 1)
        self.refused(2, "--movie", "similar", *model)
        self.refused(2, "--ratings", "evaluate", *model)
        self.refused(2, "--out", "export", "--checkpoint", self.checkpoints)
        self.refused(2, "--user", "recommend", *model, "--user", "-3")
        self.refused(2, "--year: ", "recommend", *model, "--user", 1, "--year", "19x")
        self.refused(2, "--year: ", "similar", *model, "--movie", 1, "--year", "2000-1990")
        self.refused(2, "HOST:PORT", "serve", *model, "--listen", "nowhere")
        self.refused(2, "half of all pairs", "synth", "--out", self.path("synth"), "--users", 10, "--movies", 10, "--ratings", 51)
        for url in "nowhere", "tcp://127.0.0.1:1,":
            worker = run(program("worker"), "--data", self.data, "--servers", url)
            self.fails(worker, 2, "worker: --servers: ")
        self.refused(2, "--exclude-seen", "recommend", *model, "--age", 25, "--gender", "M", "--occupation", 1,
                     "--exclude-seen", os.path.join(self.data, "ratings.dat"))

    def test_places_that_are_not_there(self):
        nowhere = self.path("nowhere")
        self.refused(1, nowhere, "predict", "--model", nowhere, "--user", 1, "--movie", 1)
        self.refused(1, nowhere, "export", "--checkpoint", nowhere, "--out", self.path("model"))
        self.refused(1, nowhere, "evaluate", "--model", self.model, "--ratings", nowhere)
        self.refused(1, nowhere, "launch", "--data", self.data, "--hostfile", nowhere)

    def test_no_epoch_no_best(self):
        checkpoints = self.path("checkpoints")
        marquee("train", "--data", self.data, "--max-steps", 2, "--checkpoint-dir", checkpoints).digest()
        self.refused(1, "no best checkpoint", "export", "--checkpoint", checkpoints, "--best", "--out", self.path("model"))

    def test_a_log_directory_that_cannot_be_written_ends_the_training_at_once(self):
        self.fails(marquee("train", "--data", self.data, "--log-dir", "/proc/no"), 1, "--log-dir: ", "/proc/no")

    def test_a_report_that_cannot_be_written_is_no_end_of_a_training(self):
        nowhere = self.path("nowhere/report.html")
        for more in (), ("--dump-metrics", self.path("metrics.jsonl")):
            self.refused(1, f"--report: {os.path.dirname(nowhere)}", "train", "--data", self.data, "--report", nowhere, *more)


if __name__ == "__main__":
    if importlib.util.find_spec("numpy") is None:
        print("skipped: numpy is not here")
        sys.exit(SKIPPED)
    import numpy as np
    unittest.main()
