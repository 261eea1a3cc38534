"""marquee plot and train --report: what the page shows in a real browser is what the metrics say."""
import html
import json
import re
import shutil
import sys
import unittest

from programs import ProgramTest, marquee, run

SKIPPED = 77
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HOSTILE = "<img src=x onerror=alert(1)></script><script>document.title='taken'</script>&amp;"


class Report(ProgramTest):
    def train(self, *options):
        result = marquee("train", "--data", self.data, "--batch-size", 64, *options)
        self.assertEqual(result.code, 0, result.err)
        return result

    def metrics(self, path):
        with open(path) as file:
            return [json.loads(line) for line in file]

    def browse(self, page):
        """The page's elements and text once its script has run; a message on the console fails the test."""
        shown = run(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                    "--disable-background-networking", "--enable-logging=stderr", f"--user-data-dir={self.path('profile')}",
                    "--window-size=1200,900", "--virtual-time-budget=3000", "--dump-dom", f"file://{page}")
        self.assertEqual(shown.code, 0, shown.err)
        self.assertNotIn("CONSOLE", shown.err)
        dom = re.sub(r"<(script|style)\b.*?</\1>", "", shown.out, flags=re.S)
        return dom, html.unescape(re.sub(r"<[^>]*>", " ", dom))

    def test_a_resumed_run(self):
        page = self.path("page.html")
        where = ("--checkpoint-dir", self.path("checkpoints"), "--metrics-every", 10, "--report", page)
        self.train("--epochs", 1, *where)
        self.train("--epochs", 3, "--resume", *where)
        lines = self.metrics(f"{page}.jsonl")
        self.assertEqual([line["run"]["first_step"] for line in lines if "run" in line],
                         [0, lines[0]["run"]["steps_per_epoch"]])
        epochs = [line for line in lines if line["test_rmse"] is not None]
        dom, text = self.browse(page)
        for line in epochs:
            self.assertIn(f"{line['test_rmse']:.4f}", text)
        for title in ("Error", "Absolute error", "Throughput", "Loss by step", "Tables", "Hot movies", "Hot users",
                      "Configuration", "Starts", "Epochs"):
            self.assertRegex(dom, f"<h2[^>]*>{title}</h2>")
        # Every chart is named and described, and has its numbers as a table.
        charts = re.findall(r'<svg [^>]*role="img"[^>]*>.*?</svg>', dom, re.S)
        self.assertEqual(len(charts), 4)
        for chart in charts:
            self.assertRegex(chart, r"<title[^>]*>[^<]+</title><desc[^>]*>[^<]+</desc>")
            self.assertIn('class="series', chart)
        self.assertEqual(dom.count("<summary>Numbers</summary>"), 4)
        self.assertIn("restart 1", text)
        hot = next(line["hot"] for line in lines if "hot" in line)
        self.assertEqual(hot["examples"], lines[0]["run"]["train_ratings"])
        self.assertIn(html.escape(hot["movies"][0]["title"], quote=False), dom)

    def test_the_hot_rows_are_the_datas(self):
        self.train("--epochs", 1, "--holdout", 0, "--dump-metrics", self.path("metrics"))
        hot = next(line["hot"] for line in self.metrics(self.path("metrics")) if "hot" in line)
        users, movies = {}, {}
        with open(f"{self.data}/ratings.dat") as file:
            for user, movie, *_ in (line.split("::") for line in file):
                users[int(user)] = users.get(int(user), 0) + 1
                movies[int(movie)] = movies.get(int(movie), 0) + 1
        for counts, key in ((users, "users"), (movies, "movies")):
            self.assertEqual(hot[f"distinct_{key}"], len(counts))
            self.assertEqual([row["count"] for row in hot[key]], sorted(counts.values(), reverse=True)[:len(hot[key])])
            for row in hot[key]:
                self.assertEqual(row["count"], counts[row["id"]])

    def test_runs_are_compared_and_text_stays_text(self):
        self.train("--epochs", 2, "--dump-metrics", self.path("a.jsonl"))
        self.train("--epochs", 2, "--optimizer", "adam", "--dump-metrics", self.path("b.jsonl"))
        lines = self.metrics(self.path("b.jsonl"))
        lines[0]["run"]["data"] = HOSTILE
        lines[0]["hot"]["movies"][0]["title"] = HOSTILE
        lines[0]["run"]["options"][HOSTILE] = HOSTILE
        # Values of other kinds than the page expects.
        lines[0]["run"]["tables"][0] = {"name": {"a": 1}, "rows": "many", "dim": None, "bytes": 1e308}
        lines[0]["run"]["workers"] = ["x"]
        with open(self.path("b.jsonl"), "w") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        page = self.path("page.html")
        made = marquee("plot", self.path("a.jsonl"), self.path("b.jsonl"), "--out", page)
        self.assertEqual((made.code, made.out), (0, f"report in {page}\n"), made.err)
        dom, text = self.browse(page)
        self.assertRegex(dom, "<h2[^>]*>Comparison</h2>")
        self.assertNotIn("<img", dom)
        self.assertIn(HOSTILE, text)
        self.assertIn("<title>a, b · Marquee training report</title>", dom)

    def test_what_cannot_be_drawn(self):
        bad = self.path("bad.jsonl")
        with open(bad, "w") as file:
            file.write("{}\n")
        self.fails(marquee("plot", bad, "--out", self.path("page.html")), 1, "bad.jsonl:1", "epoch")
        self.fails(marquee("plot", self.path("none"), "--out", self.path("page.html")), 1, "none")
        self.fails(marquee("plot", "--out", self.path("page.html")), 2, "METRICS")
        self.fails(marquee("plot", bad), 2, "--out")


if __name__ == "__main__":
    if CHROMIUM is None:
        print("skipped: chromium is not here")
        sys.exit(SKIPPED)
    unittest.main()
