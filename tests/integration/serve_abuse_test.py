"""marquee serve under malformed, oversized and slow requests, and while its model changes: it goes on answering right.

MARQUEE_ABUSE_REQUESTS: how many malformed requests (default 1000).
"""
import concurrent.futures
import json
import os
import random
import resource
import shutil
import threading
import time
import unittest

from http_client import DEADLINE_S, Serve
from programs import marquee
from serve_test import ServeTest

REQUESTS = int(os.environ.get("MARQUEE_ABUSE_REQUESTS", "1000"))
AT_ONCE = 64
GOOD = b"GET /v1/recommend?user=1&k=5 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
SANITIZED = "asan" in os.path.realpath(os.environ["MARQUEE_BIN"]) or "tsan" in os.path.realpath(os.environ["MARQUEE_BIN"])


def mutate(dice):
    """A request that is wrong in one of many ways, or in all of them."""
    kind = dice.randrange(12)
    junk = bytes(dice.randrange(256) for _ in range(dice.randrange(1, 200)))
    name = "".join(dice.choice("useragkidyq%&=+;/?#\\ \t") for _ in range(dice.randrange(30))).encode()
    if kind == 0:
        return junk
    if kind == 1:  # one byte of a good one changed
        at = dice.randrange(len(GOOD))
        return GOOD[:at] + bytes([dice.randrange(256)]) + GOOD[at + 1:]
    if kind == 2:  # and cut
        return GOOD[:dice.randrange(len(GOOD))]
    if kind == 3:
        return b"GET /" + b"a" * dice.choice([1000, 16000, 17000, 100000]) + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    if kind == 4:
        return b"GET / HTTP/1.1\r\n" + b"".join(b"H%d: %s\r\n" % (i, b"v" * 90) for i in range(dice.choice([50, 200, 900]))) + b"\r\n"
    if kind == 5:
        return b"%s /v1/model HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (
            dice.choice([b"POST", b"PUT", b"GET", b"BREW"]), dice.choice([0, 5, 10 ** 6, 10 ** 18, 10 ** 25, -1]), junk)
    if kind == 6:
        return b"GET /v1/model HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + \
            dice.choice([b"5\r\nhello\r\n0\r\n\r\n", b"ffffffffffffffffff\r\n", b"-1\r\n", b"zz\r\n" + junk])
    if kind == 7:
        return b"GET /v1/recommend?%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % name
    if kind == 8:
        value = dice.choice([b"-1", b"99999999999999999999", b"1e9", b"%00", b"%ff%fe", b"0x10", b" 1", b"%", b"%zz", b"\xc3"])
        return b"GET /v1/%s?%s=%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % (
            dice.choice([b"recommend", b"predict", b"similar", b"movies"]),
            dice.choice([b"user", b"movie", b"k", b"genre", b"year", b"ids", b"q", b"age"]), value)
    if kind == 9:  # two requests on top of each other, the second one bad
        return GOOD.replace(b"close", b"keep-alive") + junk
    if kind == 10:
        return b"GET " + name + b" HTTP/" + dice.choice([b"0.9", b"1.0", b"1.1", b"2.0", b"9"]) + b"\r\n\r\n"
    return b"GET /../../etc/passwd%s HTTP/1.1\r\nHost: %s\r\n\r\n" % (name.replace(b" ", b""), junk.replace(b"\n", b""))


def codes(text):
    return [int(part[:3]) for part in text.split(b"HTTP/1.1 ")[1:]]


class Abuse(ServeTest):
    def memory(self, server):
        with open(f"/proc/{server.process.pid}/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def descriptors(self, server):
        return len(os.listdir(f"/proc/{server.process.pid}/fd"))

    def connections(self, server):
        """Sockets beside the listening one."""
        path = f"/proc/{server.process.pid}/fd"
        return sum(os.readlink(os.path.join(path, name)).startswith("socket:") for name in os.listdir(path)) - 1

    def wait_until(self, condition):
        end = time.monotonic() + DEADLINE_S
        while not condition():
            self.assertLess(time.monotonic(), end, "nothing came of it")
            time.sleep(0.01)

    def ends_well(self, server):
        """Which is also when the sanitizers tell of leaks."""
        server.kill(15)
        self.assertEqual(server.finish(), 0, server.text)

    def test_malformed_and_oversized_requests(self):
        server = self.serve("--request-timeout-ms", 1000)
        right = server.get("/v1/recommend", user=1, k=5)
        seen = set()

        def attack(seeds):
            """Many at once, since the server waits for the rest of what was cut."""
            with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
                for said in pool.map(lambda seed: codes(server.send(mutate(random.Random(seed)))), seeds):
                    seen.update(said)
            self.assertEqual(server.get("/v1/recommend", user=1, k=5), right)
        attack(range(REQUESTS // 5))
        self.wait_until(lambda: self.connections(server) == 0)
        before, open_before = self.memory(server), self.descriptors(server)
        for first in range(REQUESTS // 5, REQUESTS, REQUESTS // 5):
            attack(range(first, first + REQUESTS // 5))
        self.assertIsNone(server.process.poll())
        self.assertLessEqual({200, 400, 404, 405, 413}, seen)
        self.assertLessEqual(seen, {200, 400, 404, 405, 408, 411, 413, 414, 431, 500, 501, 503, 505}, seen)
        self.wait_until(lambda: self.descriptors(server) <= open_before)
        if not SANITIZED:
            self.assertLess(self.memory(server) - before, 4 << 20)
        self.assertEqual(server.get("/v1/recommend", user=1, k=5), right)
        self.ends_well(server)

    def test_slow_clients_are_cut_and_others_served(self):
        server = self.serve("--request-timeout-ms", 1000)
        start = time.monotonic()
        slow = [server.connect() for _ in range(20)]
        alive = set(slow)
        while alive:
            self.assertLess(time.monotonic() - start, DEADLINE_S)
            for connection in list(alive):  # a byte now and then, for ever
                try:
                    connection.sendall(b"G" if connection in slow[:10] else b"GET / HTTP/1.1\r\nA: b\r\n"[:1])
                    connection.settimeout(0.01)
                    if connection.recv(1000) == b"":
                        alive.discard(connection)
                except TimeoutError:
                    pass
                except OSError:
                    alive.discard(connection)
            self.assertEqual(server.get("/healthz")[0], 200)
        self.assertLess(time.monotonic() - start, 10)
        for connection in slow:
            connection.close()
        self.ends_well(server)

    def test_one_client_has_its_share_of_connections(self):
        server = self.serve("--threads", 1, "--connections", 20, "--connections-per-client", 8)
        held = [server.connect() for _ in range(8)]
        for connection in held:  # the server knows them all
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(b"200 OK", connection.recv(10000))
        self.assertEqual(server.send(GOOD), b"")
        held.pop().close()
        self.wait_until(lambda: codes(server.send(GOOD)) == [200])
        for connection in held:
            connection.close()
        self.ends_well(server)


class Reload(Abuse):
    test_malformed_and_oversized_requests = test_slow_clients_are_cut_and_others_served = None
    test_one_client_has_its_share_of_connections = None

    def other_model(self):
        checkpoints, other = self.path("checkpoints"), self.path("other")
        for step in (("train", "--data", self.data, "--max-steps", 4, "--threads", 1, "--checkpoint-dir", checkpoints),
                     ("export", "--checkpoint", checkpoints, "--out", other)):
            result = marquee(*step)
            self.assertEqual(result.code, 0, result.err)
        return other

    def test_a_new_model_takes_over_under_load_without_a_wrong_answer(self):
        models = [self.model, self.other_model()]
        link = self.path("served")

        def point_to(model):
            os.symlink(model, link + ".new")
            os.replace(link + ".new", link)
        point_to(models[0])
        server = self.serve(model=link)
        right = [self.right_answers(model) for model in models]
        stop, failures, counts = threading.Event(), [], [0, 0]

        def load(seed):
            dice = random.Random(seed)
            while not stop.is_set():
                path = dice.choice(list(right[0]))
                try:
                    said = server.get(path)
                except OSError as error:
                    failures.append(repr(error))
                    return
                which = [answers[path] for answers in right]
                if said[0] != 200 or said[1] not in which:
                    failures.append((path, said))
                    return
                counts[which.index(said[1])] += 1
        threads = [threading.Thread(target=load, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        try:
            for turn in range(1, 7):
                wanted = models[turn % 2]
                point_to(wanted)
                if turn % 2:  # else it is found by itself
                    server.process.send_signal(1)
                step = 3 + turn % 2
                self.wait_until(lambda: failures or server.get("/v1/model")[1]["step"] == step)
                before = counts[turn % 2]
                self.wait_until(lambda: failures or counts[turn % 2] > before + 20)
            broken = self.path("broken")
            shutil.copytree(models[1], broken)
            with open(os.path.join(broken, "model.safetensors"), "r+b") as file:
                file.seek(-8, os.SEEK_END)
                file.write(b"\xff" * 8)
            point_to(broken)
            server.wait_for("still serving the model from before: .*model.safetensors")
            self.assertEqual(server.get("/v1/model")[1]["step"], 3)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(failures, [])
        self.assertTrue(all(counts))
        self.ends_well(server)

    def right_answers(self, model):
        server = Serve(model)
        self.lines.append(server)
        paths = [f"/v1/recommend?user={user}&k=5" for user in (1, 7, 300)] + ["/v1/similar?movie=5&k=5",
                                                                             "/v1/predict?user=3&movie=8"]
        return {path: server.get(path)[1] for path in paths}

    def test_requests_under_way_are_answered_before_the_end(self):
        server = self.serve()
        connections = [server.connect() for _ in range(20)]
        for connection in connections:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIn(b"200 OK", connection.recv(10000))
        for connection in connections:
            connection.sendall(GOOD)
        said = []
        for connection in connections[:10]:
            said.append(connection.recv(100000))
        server.process.send_signal(15)
        for connection in connections:
            connection.close()
        self.assertTrue(all(b"200 OK" in text and json.loads(text.split(b"\r\n\r\n", 1)[1]) for text in said))
        self.assertEqual(server.finish(), 0, server.text)


del ServeTest
if __name__ == "__main__":
    unittest.main()
