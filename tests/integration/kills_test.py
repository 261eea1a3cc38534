"""Kill -9 of any process of a job at any moment: the job ends by itself with the bits of the undisturbed one.

MARQUEE_KILL_RUNS says how many jobs (default 4), MARQUEE_KILL_SEED which ones; every second job is hit twice.
"""
import os
import random
import re
import signal
import tempfile
import time
import unittest

from programs import ProgramTest, descendants, program, program_of

RUNS = int(os.environ.get("MARQUEE_KILL_RUNS", "4"))
SEED = int(os.environ.get("MARQUEE_KILL_SEED", "1"))


class Kills(ProgramTest):
    ratings = 20000

    def job(self, directory):
        return self.start(program("marquee"), "launch", "--workers", 4, "--servers", 3, "--data", self.data, "--epochs", 2,
                          "--seed", 7, "--batch-size", 64, "--checkpoint-dir", directory, "--checkpoint-every", 40,
                          "--max-restarts", 10, "--deadline", 10)

    def finish(self, line):
        self.assertEqual(line.finish(90), 0, line.text.decode())
        return re.findall(r"\bdigest ([0-9a-f]{32})$", line.text.decode(), re.M)[-1]

    def hit(self, line, random_source, within_s):
        """Kills one process at a random moment; what it was, or None when the job was over before."""
        end = time.monotonic() + random_source.uniform(0, within_s)
        while time.monotonic() < end:
            if line.process.poll() is not None:
                return None
            time.sleep(0.005)
        there = descendants(line.process.pid)
        if not there:
            return None
        victim = random_source.choice(there)
        name = program_of(victim)
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            return None
        return name

    def test_every_job_ends_with_the_same_bits(self):
        began = time.monotonic()
        expected = self.finish(self.job(self.path("undisturbed")))
        seconds = time.monotonic() - began
        print(f"seed {SEED}, {RUNS} jobs, undisturbed {seconds:.1f} s", flush=True)
        random_source = random.Random(SEED)
        for number in range(RUNS):
            with self.subTest(job=number), tempfile.TemporaryDirectory() as scratch:
                line = self.job(os.path.join(scratch, "checkpoints"))
                killed = [self.hit(line, random_source, seconds) for _ in range(1 + number % 2)]
                digest = self.finish(line)
                restarts = line.text.decode().count("; restart ")
                print(f"job {number}: killed {killed}, {restarts} restarts", flush=True)
                self.assertEqual(digest, expected, line.text.decode())


if __name__ == "__main__":
    unittest.main()
