"""Long runs: a job that trains and writes checkpoints, watched from outside. Memory and descriptors stay as they are.

MARQUEE_SOAK_SECONDS says how long (default 12; 600 for the ten minutes of the record), with a checkpoint about every 5 s,
or every second in a short run.
"""
import os
import re
import signal
import time
import unittest

from programs import ProgramTest, descendants, marquee, program, program_of

SECONDS = int(os.environ.get("MARQUEE_SOAK_SECONDS", "12"))
EVERY_S = 5 if SECONDS >= 60 else 1
SAMPLE_S = SECONDS / 120
SLACK_KIB = 2 << 10


class Soak(ProgramTest):
    users, movies, ratings = (3000, 1500, 150000) if SECONDS >= 60 else (300, 200, 20000)

    def options(self, *more):
        return ("launch", "--workers", 2, "--servers", 2, "--data", self.data, "--seed", 7, "--batch-size", 64,
                "--checkpoint-dir", self.path("checkpoints"), "--max-restarts", 0, *more)

    def steps_in(self, seconds):
        """How many steps take so long here and now."""
        began = time.monotonic()
        line = self.start(program("marquee"), *self.options("--max-steps", 200, "--epochs", 1000000))
        line.wait_for("training begins")
        began = time.monotonic()
        self.assertEqual(line.finish(), 0, line.text.decode())
        return max(1, int(200 / (time.monotonic() - began) * seconds))

    def sample(self, line):
        """Resident KiB and descriptors of each process of the job, by name and id."""
        found = {}
        for pid in descendants(line.process.pid):
            name = program_of(pid)
            if name not in ("pserver", "worker"):
                continue
            try:
                with open(f"/proc/{pid}/status") as file:
                    resident = next(int(row.split()[1]) for row in file if row.startswith("VmRSS"))
                found[f"{name} {pid}"] = resident, len(os.listdir(f"/proc/{pid}/fd"))
            except (OSError, StopIteration):
                continue
        return found

    def test_memory_and_descriptors_are_flat(self):
        every = self.steps_in(EVERY_S)
        line = self.start(program("marquee"), *self.options("--resume", "--epochs", 1000000, "--checkpoint-every", every))
        line.wait_for("training begins")
        samples, seen, end = {}, set(), time.monotonic() + SECONDS
        while time.monotonic() < end:
            self.assertIsNone(line.process.poll())
            for name, figures in self.sample(line).items():
                samples.setdefault(name, []).append(figures)
            seen.update(name for name in os.listdir(self.path("checkpoints")) if re.fullmatch(r"step-\d+", name))
            line.drain()
            time.sleep(SAMPLE_S)
        line.kill(signal.SIGTERM)
        self.assertEqual(line.finish(60), 1, line.text.decode())
        verified = marquee("checkpoint", "verify", self.path("checkpoints"))
        self.assertEqual(verified.code, 0, verified.err)
        self.assertEqual(len(samples), 4, "two servers and two workers, none of which was started again")
        print(f"{SECONDS} s, a checkpoint every {every} steps, {len(seen)} seen", flush=True)
        self.assertGreater(len(seen), SECONDS / EVERY_S / 3)
        for name, figures in samples.items():
            quarter = len(figures) // 4
            early, late = figures[quarter:2 * quarter], figures[-quarter:]
            memory = [max(resident for resident, _ in part) for part in (early, late)]
            descriptors = [max(count for _, count in part) for part in (early, late)]
            print(f"{name}: second and last quarter: {memory} KiB, {descriptors} descriptors", flush=True)
            self.assertLess(memory[1], memory[0] * 1.02 + SLACK_KIB, name)
            self.assertLessEqual(descriptors[1], descriptors[0] + 1, name)


if __name__ == "__main__":
    unittest.main()
