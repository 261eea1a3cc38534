"""Processes of a job that are stopped (SIGSTOP): for a while, and for longer than anybody waits."""
import json
import os
import signal
import time
import unittest

from programs import ProgramTest, descendants, marquee, program, program_of

DEADLINE_S = 4


class Stuck(ProgramTest):
    ratings = 20000

    def launch(self, *options):
        line = self.start(program("marquee"), "launch", "--workers", 2, "--servers", 2, "--data", self.data, "--epochs", 3,
                          "--seed", 7, "--batch-size", 64, "--deadline", DEADLINE_S, "--checkpoint-dir",
                          self.path("checkpoints"), "--checkpoint-every", 40, "--dump-metrics", self.path("metrics"), *options)
        line.wait_for(r"training begins")
        return line

    def mpirun(self, workers):
        line = self.start("mpirun", "-n", workers, program("worker"), "--data", self.data, "--epochs", 100000,
                          "--batch-size", 64, "--deadline", DEADLINE_S)
        line.wait_for(r"epoch 1/")
        return line

    def stop(self, line, name, number):
        """In the order of their numbers, which is that of their starts."""
        found = sorted(pid for pid in descendants(line.process.pid) if program_of(pid) == name)
        os.kill(found[number], signal.SIGSTOP)
        return found[number]

    def digest_undisturbed(self):
        return marquee("train", "--data", self.data, "--epochs", 3, "--seed", 7, "--batch-size", 64).digest()

    def finish(self, line, deadline_s=60):
        self.assertEqual(line.finish(deadline_s), 0, line.text.decode())
        text = line.text.decode()
        self.assertIn(f"digest {self.digest_undisturbed()}", text)
        return text

    def test_who_comes_back_in_time_is_waited_for(self):
        for name in "pserver", "worker":
            with self.subTest(stopped=name):
                line = self.launch("--restart")
                pid = self.stop(line, name, 0)
                time.sleep(DEADLINE_S / 3)  # stopped for that long is what is tested
                os.kill(pid, signal.SIGCONT)
                self.assertIn("0 restarts", self.finish(line))

    def expect_restart(self, name, sentence):
        line = self.launch()
        line.wait_for(r"epoch 1/3")  # its checkpoint is under way, those before are there
        self.stop(line, name, 1)
        text = self.finish(line)
        summary = text[text.rindex("marquee launch: restart 1: "):]
        self.assertRegex(summary.splitlines()[0], sentence)
        self.assertIn("1 restart\n", summary)
        with open(self.path("metrics")) as file:
            lines = [json.loads(line) for line in file]
        events = [line for line in lines if "event" in line]
        self.assertEqual([(e["event"], e["restart"]) for e in events], [("restart", 1)])
        self.assertRegex(events[0]["reason"], sentence)
        self.assertEqual(lines[-1]["restarts"], 1)
        self.assertRegex(text, r"training begins after step [1-9]", "from a checkpoint")

    def test_a_stuck_server_ends_the_attempt_and_is_named(self):
        self.expect_restart("pserver", r"step \d+: .*pserver 1: .*(no answer|no server answered) within 4 s")

    def test_a_stuck_worker_ends_the_attempt_and_is_named(self):
        self.expect_restart("worker", r"step \d+: .*waiting for the push of worker 1")

    def test_a_stuck_rank_that_hosts_a_shard_ends_the_job_and_is_named(self):
        for rank in 0, 1:
            with self.subTest(rank=rank):
                line = self.mpirun(3)
                self.stop(line, "worker", rank)
                self.assertNotEqual(line.finish(90), 0)
                self.assertRegex(line.text.decode(), rf"waited \d+ s for worker {rank}: stopped, or hanging|"
                                                     r"waiting for the push of worker|no answer within|no server answered")

    def test_a_rank_that_is_killed_ends_the_job(self):
        line = self.mpirun(3)
        victim = self.stop(line, "worker", 0)
        os.kill(victim, signal.SIGKILL)
        self.assertNotEqual(line.finish(90), 0)


if __name__ == "__main__":
    unittest.main()
