"""docs/tutorial.md: its commands run, one behind the other, and answer in the form that it shows."""
import os
import re
import subprocess
import unittest

from programs import BIN, DEADLINE_S, ProgramTest, marquee

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# What depends on the data: whether somebody has rated a movie, and whether all are known.
BY_CHANCE = ("actual", "0 of them")


def commands():
    with open(os.path.join(ROOT, "docs", "tutorial.md")) as file:
        for block in re.findall(r"^```console\n\$ (.*?)^```$", file.read(), re.S | re.M):
            command, _, shown = block.partition("\n")
            yield command, shown


def form(text):
    """The lines' beginnings, without numbers and names: the data is generated, not MovieLens."""
    lines = [re.sub(r"\S*::.*", "record", re.sub(r"\d+", "0", line)) for line in text.splitlines() if line]
    return [" ".join(line.split()[:1]) for line in lines if not line.startswith(BY_CHANCE)]


class Tutorial(ProgramTest):
    def test_its_commands(self):
        # As large as MovieLens 1M in users and movies, so that the ids are there; the ratings are fewer.
        made = marquee("synth", "--out", self.path("ml-1m"), "--users", 6040, "--movies", 3883, "--ratings", 40000, "--seed", 3)
        self.assertEqual(made.code, 0, made.err)
        ran = 0
        for command, shown in commands():
            done = subprocess.run(["bash", "-c", command], cwd=self.scratch, encoding="utf-8", errors="replace", stdin=subprocess.DEVNULL,
                                  env=dict(os.environ, PATH=f"{BIN}:{os.environ['PATH']}"), capture_output=True,
                                  timeout=DEADLINE_S)
            self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}\n{done.stderr}")
            self.assertEqual(form(done.stdout), form(shown), f"{command}\n{done.stdout}")
            ran += 1
        self.assertGreaterEqual(ran, 9)
        self.assertTrue(os.path.exists(self.path("report.html")))


if __name__ == "__main__":
    unittest.main()
