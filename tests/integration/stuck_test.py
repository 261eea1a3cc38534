"""Processes of a job that are stopped (SIGSTOP): for a while, and for longer than anybody waits."""
import fcntl
import json
import os
import re
import signal
import struct
import termios
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
                # Another worker may be in the list, or be it: it waits for an answer of the stopped one's shard.
                asks = rf"\d+ \(waits for the shard of worker {rank}\)"
                self.assertRegex(line.text.decode(),
                                 rf"waited \d+ s for workers? ([^:]*, )?({rank}\b|{asks})[^:]*: stopped, or hanging|"
                                 r"waiting for the push of worker|no answer within|no server answered")

    def unread_errors(self, pid):
        """How much of what it wrote to its errors, a pipe, nobody has taken yet."""
        with open(f"/proc/{pid}/fd/2", "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as pipe:
            return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))[0]

    def words_behind_a_stopped_proxy(self):
        """What a worker says, and how much of it was unread half a second after its first word, when the proxy went on."""
        line = self.start("mpirun", "-n", 2, program("worker"), "--data", self.data, "--epochs", 100000, "--batch-size", 64,
                          "--deadline", 0.5, "--servers", self.servers(1))
        line.wait_for(r"epoch 1/")
        proxy = self.stop(line, "hydra_pmi_proxy", 0)  # it is between the ranks and mpirun
        self.stop(line, "worker", 1)
        rank = next(pid for pid in sorted(descendants(line.process.pid)) if program_of(pid) == "worker")
        end = time.monotonic() + 30
        while not self.unread_errors(rank):
            self.assertLess(time.monotonic(), end, "the worker says nothing")
            time.sleep(0.01)
        time.sleep(0.5)  # that late the proxy is
        unread = self.unread_errors(rank)
        os.kill(proxy, signal.SIGCONT)
        self.assertEqual(line.finish(), 1)
        return line.text.decode(), unread

    def test_a_rank_does_not_end_the_job_before_mpirun_has_taken_its_words(self):
        for _ in range(5):
            text, unread = self.words_behind_a_stopped_proxy()
            # Stopped between two epochs, it is waited for in another way, with a warning long before the last word.
            if "and goes on to wait" not in text:
                break
        said = re.findall(r"^worker: .*\n", text, re.M)
        self.assertRegex(text, r"worker: worker 0: step \d+: .*waiting for the push of worker 1")
        # What ends the job, MPI_Abort, says something itself: not yet.
        self.assertEqual(unread, sum(map(len, said)), text)

    def test_a_rank_that_is_killed_ends_the_job(self):
        line = self.mpirun(3)
        victim = self.stop(line, "worker", 0)
        os.kill(victim, signal.SIGKILL)
        self.assertNotEqual(line.finish(90), 0)


if __name__ == "__main__":
    unittest.main()
