"""marquee serve: the commands' answers over HTTP, as its OpenAPI document says, and what it refuses."""
import json
import os
import signal
import unittest

from http_client import Serve
from programs import ProgramTest, marquee

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class ServeTest(ProgramTest):
    @classmethod
    def prepare(cls):
        """Changes the data before it is learned from."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.prepare()
        checkpoints, cls.model = (os.path.join(cls.class_scratch.name, name) for name in ("checkpoints", "model"))
        for step in (marquee("train", "--data", cls.data, "--max-steps", 3, "--threads", 1, "--checkpoint-dir", checkpoints),
                     marquee("export", "--checkpoint", checkpoints, "--out", cls.model)):
            if step.code != 0:
                raise AssertionError(step.err)

    def serve(self, *arguments, model=None):
        server = Serve(model or self.model, *arguments)
        self.lines.append(server)
        return server

    def ask(self, *arguments):
        result = marquee(*arguments, "--model", self.model, "--json")
        self.assertEqual(result.code, 0, result.err)
        return json.loads(result.out)


class Answers(ServeTest):
    def test_they_are_those_of_the_commands(self):
        server = self.serve()
        new = {"age": 29, "gender": "F", "occupation": "lawyer"}
        for who in {"user": 1}, {"user": 300}, new:
            flags = [text for name, value in who.items() for text in ("--" + name, value)]
            for top, filters in (3, {}), (1000, {"genre": "comedy"}), (20, {"year": "1980-1995"}), (1000, {"include_untrained": True}):
                more = [text for name, value in filters.items()
                        for text in (["--include-untrained"] if value is True else ["--" + name, value])]
                self.assertEqual(server.get("/v1/recommend", k=top, **who, **filters),
                                 (200, self.ask("recommend", *flags, "--top", top, *more)))
            said = self.ask("predict", *flags, "--movie", 17)
            del said["actual"], said["split"]
            self.assertEqual(server.get("/v1/predict", movie=17, **who), (200, said))
        for movie in 1, 200:
            self.assertEqual(server.get("/v1/similar", movie=movie, k=7),
                             (200, self.ask("similar", "--movie", movie, "--top", 7)))

    def test_why_says_what_is_left_without_each_feature(self):
        server = self.serve()
        new = {"age": 29, "gender": "F", "occupation": "lawyer"}
        for who, of_the_user in ({"user": 1}, ["age", "gender", "occupation", "ratings"]), (new, ["age", "gender", "occupation"]):
            for movie in server.get("/v1/recommend", k=3, **who)[1]["recommendations"]:
                code, why = server.get("/v1/recommend/why", movie=movie["id"], **who)
                self.assertEqual(code, 200, why)
                self.assertAlmostEqual(why["stars"], movie["stars"], places=5)
                for of, known in ("user", of_the_user), ("movie", ["genres", "ratings", "title"]):
                    self.assertEqual(sorted(f["feature"] for f in why["features"] if f["of"] == of), known)
                left = [f["without"] for f in why["features"]]
                self.assertEqual(left, sorted(left))
        # A gender has two values: without it the stars are their mean.
        why = server.get("/v1/recommend/why", movie=17, **new)[1]
        both = [server.get("/v1/predict", movie=17, **{**new, "gender": g})[1]["stars"] for g in "FM"]
        gender = next(f for f in why["features"] if f["feature"] == "gender")
        self.assertAlmostEqual(gender["without"], sum(both) / 2, places=5)
        # Without what is known of user 1 alone there is somebody new, of the same features.
        user = server.get("/v1/predict", movie=17, user=1)[1]
        somebody = server.get("/v1/predict", movie=17, **{n: user[n] for n in ("age", "gender", "occupation")})[1]
        why = server.get("/v1/recommend/why", movie=17, user=1)[1]
        self.assertAlmostEqual(next(f for f in why["features"] if (f["of"], f["feature"]) == ("user", "ratings"))["without"],
                               somebody["stars"], places=5)
        movies = {m["id"]: m for m in server.get("/v1/movies", k=1000)[1]["movies"]}
        for movie in server.get("/v1/similar", movie=17, k=3)[1]["similar"]:
            why = server.get("/v1/similar/why", movie=movie["id"], like=17)[1]
            self.assertAlmostEqual(why["similarity"], movie["similarity"], places=5)
            self.assertEqual(why["shared_genres"], [g for g in movie["genres"] if g in movies[17]["genres"]])
        why = server.get("/v1/similar/why", movie=17, like=17)[1]
        self.assertAlmostEqual(why["similarity"], 1, places=5)
        self.assertEqual(why["shared_genres"], movies[17]["genres"])

    def test_seen_movies_are_left_out(self):
        ratings = os.path.join(self.data, "ratings.dat")
        with open(ratings) as file:
            lines = [line.split("::") for line in file]
        grown = self.path("grown.dat")
        with open(grown, "w") as file:  # by what the model does not know, and by a movie of user 2
            file.writelines("::".join(line) for line in lines)
            file.write("99999::1::5::1\n1::99999::5::1\nnonsense\n2::150::5::1\n")
        server = self.serve("--seen", grown)
        for user in 1, 2, 17, 300:
            seen = {int(line[1]) for line in lines if int(line[0]) == user} | ({150} if user == 2 else set())
            for filters in {}, {"genre": "Comedy"}, {"year": "1950-1995", "include_untrained": True}:
                everything = server.get("/v1/recommend", user=user, k=1000, **filters)[1]["recommendations"]
                wanted = [m["id"] for m in everything if m["id"] not in seen]
                self.assertLess(len(wanted), len(everything))
                for k in 5, 1000:
                    code, said = server.get("/v1/recommend", user=user, k=k, exclude_seen=True, **filters)
                    self.assertEqual((code, [m["id"] for m in said["recommendations"]]), (200, wanted[:k]))
                self.assertEqual(server.get("/v1/recommend", user=user, k=1000, exclude_seen=False, **filters)[1]["recommendations"], everything)
        self.assertEqual(server.get("/v1/recommend", user=1, k=20, exclude_seen=True),
                         (200, self.ask("recommend", "--user", 1, "--top", 20, "--exclude-seen", ratings)))

    def test_ids_choose_among_movies(self):
        code, said = self.serve().get("/v1/recommend", user=1, ids="5,9,2", include_untrained=True)
        self.assertEqual(code, 200)
        self.assertEqual(sorted(movie["id"] for movie in said["recommendations"]), [2, 5, 9])

    def test_movies_are_found_by_words_of_their_titles(self):
        server = self.serve()
        everything = server.get("/v1/movies", k=1000)[1]
        self.assertEqual((everything["total"], len(everything["movies"])), (200, 200))
        self.assertEqual([m["id"] for m in everything["movies"]], sorted(m["id"] for m in everything["movies"]))
        for movie in everything["movies"][::40]:
            self.assertIn(f"({movie['year']})", movie["title"])
            word = "".join(c.upper() if c.isascii() else c for c in movie["title"].split()[0])
            found = server.get("/v1/movies", q=word, k=1000)[1]
            titles = [m["title"].lower() for m in everything["movies"] if word.lower() in m["title"].lower()]
            titles.sort(key=lambda title: not title.startswith(word.lower()))
            self.assertEqual([m["title"].lower() for m in found["movies"]], titles)
            self.assertEqual(found["total"], len(titles))
            only = server.get("/v1/movies", year=movie["year"], genre=movie["genres"][0], k=1)[1]
            self.assertEqual(only["total"], sum(m["year"] == movie["year"] and movie["genres"][0] in m["genres"]
                                                for m in everything["movies"]))
        self.assertEqual(server.get("/v1/movies", q="no such words")[1], {"total": 0, "movies": []})

    def test_the_model_says_what_may_be_asked(self):
        code, about = self.serve().get("/v1/model")
        self.assertEqual((code, about["users"], about["movies"], about["step"]), (200, 300, 200, 3))
        self.assertEqual([a["age"] for a in about["ages"]], [1, 18, 25, 35, 45, 50, 56])
        self.assertIn("Comedy", about["genres"])
        self.assertEqual(about["occupations"][12], "programmer")

    def test_head_has_the_headers_alone(self):
        self.assertEqual(self.serve().get("/v1/model", method="HEAD"), (200, None))


class Document(ServeTest):
    """The OpenAPI document against the server."""

    def resolve(self, node):
        while "$ref" in node:
            path = node["$ref"].split("/")[1:]
            node = self.document
            for name in path:
                node = node[name]
        return node

    def conforms(self, value, schema, where):
        schema = self.resolve(schema)
        if value is None:
            self.assertTrue(schema.get("nullable"), where)
            return
        kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}
        self.assertIsInstance(value, kinds[schema["type"]], where)
        self.assertTrue("enum" not in schema or value in schema["enum"], where)
        if schema["type"] == "object":
            self.assertEqual(sorted(value), sorted(schema["properties"]), where)
            for name in value:
                self.conforms(value[name], schema["properties"][name], f"{where}.{name}")
        for i, item in enumerate(value if schema["type"] == "array" else []):
            self.conforms(item, schema["items"], f"{where}[{i}]")

    def test_it_is_the_committed_one_and_matches_the_server(self):
        server = self.serve()
        with open(os.path.join(TREE, "inference", "web", "openapi.json")) as file:
            self.document = json.load(file)
        self.assertEqual(server.get("/openapi.json"), (200, self.document))
        sample = {"user": 1, "movie": 17, "like": 18, "genre": "Comedy", "year": "1950-2005", "ids": "17,18,19,20",
                  "include_untrained": "true", "k": 5, "q": "the"}
        for path, item in self.document["paths"].items():
            self.assertEqual(list(item), ["get"])
            known = [self.resolve(p)["name"] for p in item["get"]["parameters"]]
            asked = {name: sample[name] for name in known if name in sample}
            code, said = server.get(path, **asked)
            self.assertEqual(code, 200, said)
            self.conforms(said, item["get"]["responses"]["200"]["content"]["application/json"]["schema"], path)
            code, said = server.get(path, **asked, nonsense=1)
            self.assertEqual(code, 400)
            self.conforms(said, {"$ref": "#/components/schemas/Error"}, path)
            listed = said["error"]["message"].partition(": ")[2]
            self.assertEqual(listed, "one of " + ", ".join(known) if known else "there are none here")
            for parameter in map(self.resolve, item["get"]["parameters"]):
                if parameter["required"]:
                    rest = {name: value for name, value in asked.items() if name != parameter["name"]}
                    self.assertEqual(server.get(path, **rest)[0], 400)
                limit = parameter["schema"].get("maximum")
                if limit:
                    self.assertIn(f"to {limit}", server.get(path, **{**asked, parameter["name"]: limit + 1})[1]["error"]["message"])


class Refusals(ServeTest):
    def refused(self, server, code, name, text, path, **parameters):
        got, said = server.get(path, **parameters)
        self.assertEqual((got, said["error"]["code"]), (code, name), said)
        self.assertIn(text, said["error"]["message"])

    def test_errors_have_codes_and_say_what_to_do(self):
        server = self.serve()
        self.refused(server, 404, "NOT_FOUND", "nothing at this path", "/v2/recommend")
        self.refused(server, 404, "NOT_FOUND", "user 9999 is not in this model", "/v1/recommend", user=9999)
        self.refused(server, 404, "NOT_FOUND", "movie 0 is not in this model", "/v1/similar", movie=0)
        self.refused(server, 404, "NOT_FOUND", "genre 'Nonsense' is not known: one of", "/v1/recommend", user=1, genre="Nonsense")
        self.refused(server, 404, "NOT_FOUND", "is not known", "/v1/recommend", user=1, genre="ä" * 100)
        bad = "INVALID_ARGUMENT"
        self.refused(server, 400, bad, "give user, or age", "/v1/recommend")
        self.refused(server, 400, bad, "give it alone", "/v1/recommend", user=1, age=20)
        self.refused(server, 400, bad, "all three of age", "/v1/recommend", age=20)
        self.refused(server, 400, bad, "expected a number from 1 to 1000", "/v1/recommend", user=1, k=0)
        self.refused(server, 400, bad, "expected a number from 0", "/v1/recommend", user="-1")
        self.refused(server, 400, bad, "expected true or false", "/v1/recommend", user=1, include_untrained="yes")
        self.refused(server, 400, bad, "was not told what users have seen", "/v1/recommend", user=1, exclude_seen=True)
        self.refused(server, 400, bad, "needs user", "/v1/recommend", age=20, gender="M", occupation=1, exclude_seen=True)
        self.fails(marquee("serve", "--model", self.model, "--seen", "/nowhere/ratings.dat"), 1, "/nowhere/ratings.dat")
        self.refused(server, 400, bad, "genre: empty", "/v1/recommend?user=1&genre=")
        self.refused(server, 400, bad, "given twice", "/v1/recommend?user=1&user=1")
        self.refused(server, 400, bad, "not UTF-8", "/v1/recommend?user=1&genre=%ff")
        self.refused(server, 400, bad, "zero byte", "/v1/recommend?user=1&genre=a%00b")
        self.refused(server, 400, bad, "too many parameters", "/v1/recommend?" + "&".join(f"p{i}=1" for i in range(17)))
        self.refused(server, 405, "UNIMPLEMENTED", "only GET and HEAD", "/v1/model", method="DELETE")
        self.refused(server, 413, bad, "no body", "/v1/model", body=b"x" * 100)
        self.refused(server, 413, bad, "no body", "/v1/model", headers={"Transfer-Encoding": "chunked"})

    def test_only_loopback_unless_it_is_asked_for(self):
        for address in "0.0.0.0:0", "[::]:0":
            self.fails(marquee("serve", "--model", self.model, "--listen", address), 1, "is not a loopback address", "--public")
        for address in "8080", "127.0.0.1", "[::1", "::1:80", "127.0.0.1:x", "127.0.0.1:70000", ":80":
            self.fails(marquee("serve", "--model", self.model, "--listen", address), 2, "expected HOST:PORT")
        server = self.serve()
        self.fails(marquee("serve", "--model", self.model, "--listen", "127.0.0.1:%d" % server.address[1]), 1, "cannot listen on")

    def test_it_ends_on_a_signal(self):
        for number in signal.SIGTERM, signal.SIGINT:
            server = self.serve()
            server.get("/healthz")
            server.kill(number)
            self.assertEqual(server.finish(), 0, server.text)


if __name__ == "__main__":
    unittest.main()
