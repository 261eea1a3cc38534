"""pserver --metrics: Prometheus's own parser reads the text, and its numbers are what happened."""
import os
import re
import socket
import sys
import unittest
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
from programs import Line, ProgramTest, program, run  # noqa: E402

from prometheus_client.parser import text_string_to_metric_families  # noqa: E402

DEADLINE_S = 20
SECRET = "a secret that nobody may read"


def scrape(url):
    with urllib.request.urlopen(url, timeout=DEADLINE_S) as reply:
        text = reply.read().decode()
        assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4"), reply.headers
    families = list(text_string_to_metric_families(text))
    names = [family.name for family in families]
    assert len(names) == len(set(names)), names
    values = {}
    for family in families:
        assert family.type != "unknown" and family.documentation, family
        for sample in family.samples:
            key = (sample.name, *(value for _, value in sorted(sample.labels.items())))
            assert key not in values, key
            values[key] = sample.value
    return text, values


class Metrics(ProgramTest):
    def server(self, *arguments):
        server = Line(program("pserver"), "--listen", "tcp://127.0.0.1:0", "--metrics", "127.0.0.1:0", *arguments)
        self.lines.append(server)
        url = server.wait_for(r"^pserver: ready (\S+) shard")
        return server.wait_for(r"^pserver: metrics (\S+)"), url

    def token(self):
        with open(self.path("token"), "w") as file:
            file.write(SECRET)
        return self.path("token")

    def test_an_idle_server(self):
        metrics, _ = self.server("--shard", "1/3")
        _, values = scrape(metrics)
        self.assertEqual(values["marquee_ps_shard_info", "1", "3"], 1)
        self.assertEqual(values["marquee_ps_job_active",], 0)
        self.assertEqual(values["marquee_ps_calls_total", "PushPull", "OK"], 0)
        self.assertGreater(values["process_resident_memory_bytes",], 1e6)

    def test_a_job_is_told_as_it_was(self):
        metrics, url = self.server("--token-file", self.token())
        refused = run(program("worker"), "--data", self.data, "--servers", url, "--connect-timeout", 1)
        self.assertEqual(refused.code, 1)
        steps, every = 40, 10
        before = scrape(metrics)[1]
        self.assertGreaterEqual(before["marquee_ps_refused_total",], 1)
        self.assertGreaterEqual(before["marquee_ps_calls_total", "unknown", "UNAUTHENTICATED"], 1)
        worker = run(program("worker"), "--data", self.data, "--servers", url, "--token-file", self.path("token"),
                     "--batch-size", 64, "--max-steps", steps, "--holdout", 0, "--checkpoint-dir", self.path("checkpoints"),
                     "--checkpoint-every", every)
        self.assertEqual(worker.code, 0, worker.err)
        text, values = scrape(metrics)
        self.assertNotIn(SECRET, text)
        ok = {key[1]: value for key, value in values.items()
              if key[0] == "marquee_ps_calls_total" and key[2] == "OK"}
        # One exchange a step; the first has nothing to push, the last nothing to pull.
        self.assertEqual(ok["Pull"] + ok["PushPull"] + ok["Push"], steps + 1)
        self.assertEqual((ok["Push"], ok["Join"], ok["Leave"]), (1, 1, 1))
        self.assertEqual(values["marquee_ps_call_duration_seconds_count", "PushPull"], ok["PushPull"])
        self.assertEqual(values["marquee_ps_call_duration_seconds_bucket", "+Inf", "PushPull"], ok["PushPull"])
        self.assertGreater(values["marquee_ps_call_duration_seconds_sum", "PushPull"], 0)
        self.assertEqual((values["marquee_ps_jobs_total",], values["marquee_ps_job_active",]), (1, 0))
        # One that is due while another is being written is left out.
        cuts = values["marquee_ps_checkpoint_cuts_total",]
        self.assertTrue(1 <= cuts <= steps / every, cuts)
        self.assertEqual(values["marquee_ps_checkpoint_cuts_read_total",], cuts)
        self.assertTrue(0 < values["marquee_ps_checkpoint_read_seconds",] < DEADLINE_S)
        for name in ("received", "sent"):
            name = f"marquee_ps_{name}_bytes_total"
            self.assertGreater(values[name,] - before[name,], steps * 1000)

    def test_a_job_under_way_shows_its_tables(self):
        metrics, url = self.server()
        worker = self.start(program("worker"), "--data", self.data, "--servers", url, "--batch-size", 64)
        worker.wait_for("training begins")
        # Another job is refused meanwhile, and counted.
        other = run(program("worker"), "--data", self.data, "--servers", url, "--seed", 5)
        self.assertEqual(other.code, 1, other.out)
        _, values = scrape(metrics)
        self.assertEqual(values["marquee_ps_job_active",], 1)
        self.assertGreaterEqual(values["marquee_ps_calls_total", "Join", "FAILED_PRECONDITION"], 1)
        self.assertEqual(values["marquee_ps_members", "training"], 1)
        for table in ("user", "movie", "word"):
            self.assertGreaterEqual(values["marquee_ps_rows_pulled_total", table],
                                    values["marquee_ps_rows_pushed_total", table])
            self.assertGreater(values["marquee_ps_table_bytes", table], 0)
        worker.kill()

    def test_who_may_ask_and_what(self):
        metrics, _ = self.server()
        for path in ("/", "/metrics/", "/metricsx"):
            with self.assertRaises(urllib.error.HTTPError) as failure:
                urllib.request.urlopen(metrics.removesuffix("/metrics") + path, timeout=DEADLINE_S)
            self.assertIn(failure.exception.code, (400, 404))
            failure.exception.close()
        host, port = re.match(r"http://([\d.]+):(\d+)/metrics", metrics).groups()
        with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as half:
            half.sendall(b"GET /metr")
            scrape(metrics)
        public = ("--listen", "tcp://127.0.0.1:0", "--metrics")
        self.fails(run(program("pserver"), *public, "0.0.0.0:0"), 1, "--metrics", "loopback")
        self.fails(run(program("pserver"), *public, "nonsense"), 2, "--metrics")
        told = self.start(program("pserver"), *public, "0.0.0.0:0", "--metrics-public")
        told.wait_for(r"^pserver: ready")
        taken = run(program("pserver"), *public, f"{host}:{port}")
        self.fails(taken, 1, "--metrics", port)


if __name__ == "__main__":
    unittest.main()
