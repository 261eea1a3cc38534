"""Disks that fail while checkpoints are written: full, read-only, failing. The last good one stays, training goes on."""
import os
import re
import signal
import subprocess
import unittest

from programs import ProgramTest, marquee, program

SIZE_MIB = 16
FAILING_DISK = os.environ.get("MARQUEE_FAILING_DISK")  # failing_disk.c, where it is built


def mount(directory, *options):
    return subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", directory], stderr=subprocess.PIPE, text=True)


def may_mount():
    """Root in a container may still not be allowed to mount."""
    import tempfile
    if os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as directory:
        if mount(directory, "-o", "size=1m").returncode != 0:
            return False
        subprocess.run(["umount", directory], check=True)
    return True


@unittest.skipUnless(may_mount(), f"mounting a tmpfs of {SIZE_MIB} MiB needs root")
class Disk(ProgramTest):
    ratings = 20000

    def setUp(self):
        super().setUp()
        self.checkpoints = self.path("checkpoints")
        os.mkdir(self.checkpoints)
        mounted = mount(self.checkpoints, "-o", f"size={SIZE_MIB}m")
        self.assertEqual(mounted.returncode, 0, mounted.stderr)
        self.options = ("train", "--data", self.data, "--epochs", 4, "--seed", 5, "--batch-size", 64)
        self.saving = ("--checkpoint-dir", self.checkpoints, "--checkpoint-every", 100, "--keep", 1)

    def tearDown(self):
        for line in self.lines:
            line.kill()
            line.finish()
        subprocess.run(["umount", self.checkpoints], check=True)
        super().tearDown()

    def steps(self):
        return sorted(name for name in os.listdir(self.checkpoints) if name.startswith("step-"))

    def fill(self):
        """Leaves no more room than some pages: the next checkpoint fills the disk in its middle."""
        free = os.statvfs(self.checkpoints)
        with open(os.path.join(self.checkpoints, "filler"), "wb") as file:
            file.write(bytes((free.f_bavail - 8) * free.f_frsize))

    def good_one_is_left(self, before):
        self.assertEqual(self.steps(), before)
        verified = marquee("checkpoint", "verify", self.checkpoints)
        self.assertEqual(verified.code, 0, verified.err)

    def trains_on(self, job):
        """Its checkpoints fail, which is said at once; it trains to its end, and fails there for its last checkpoint."""
        job.wait_for(r"marquee train: warning: checkpoint of step \d+: .*; training goes on")
        self.assertEqual(job.finish(60), 1, job.text.decode())
        text = job.text.decode()
        self.assertIn("epoch 4/4", text)
        return text

    def test_a_disk_that_is_full(self):
        expected = marquee(*self.options).digest()
        self.assertEqual(marquee(*self.options, *self.saving, "--max-steps", 100).code, 0)
        before = self.steps()
        self.fill()
        text = self.trains_on(self.start(program("marquee"), *self.options, *self.saving, "--resume"))
        self.assertIn("No space left on device", text)
        self.good_one_is_left(before)
        os.remove(os.path.join(self.checkpoints, "filler"))
        self.assertEqual(marquee(*self.options, *self.saving, "--resume").digest(), expected)

    def test_checkpoints_that_grow_until_the_disk_is_full(self):
        """All are kept; 16 MiB hold some dozens."""
        job = self.start(program("marquee"), "train", "--data", self.data, "--epochs", 6, "--seed", 5, "--batch-size", 64,
                         "--optimizer", "adam", "--checkpoint-dir", self.checkpoints, "--checkpoint-every", 20, "--keep", 1000)
        job.wait_for(r"warning: checkpoint of step \d+: .*No space left on device.*; training goes on", 60)
        self.assertEqual(job.finish(60), 1, job.text.decode())
        self.assertIn("epoch 6/6", job.text.decode())
        self.assertGreater(len(self.steps()), 1)
        self.good_one_is_left(self.steps())

    def test_a_directory_that_becomes_read_only(self):
        self.assertEqual(marquee(*self.options, *self.saving, "--max-steps", 100).code, 0)
        job = self.start(program("marquee"), *self.options[:3], "--epochs", 40, "--seed", 5, "--batch-size", 64, *self.saving,
                         "--resume")
        job.wait_for("training begins")
        job.process.send_signal(signal.SIGSTOP)
        remounted = mount(self.checkpoints, "-o", "remount,ro")
        job.process.send_signal(signal.SIGCONT)
        if remounted.returncode != 0:
            self.skipTest(f"a file is being written: {remounted.stderr}")
        job.wait_for(r"marquee train: warning: checkpoint of step \d+: .*Read-only file system.*; training goes on")
        job.kill(signal.SIGINT)
        job.finish(60)
        verified = marquee("checkpoint", "verify", self.checkpoints)
        self.assertEqual(verified.code, 0, verified.err)


@unittest.skipUnless(FAILING_DISK, "the sanitizers want to be the first library")
class InputOutputErrors(ProgramTest):
    """EIO of one call, or of all from one on, at each of the calls by which a checkpoint comes to be."""
    ratings = 8000
    calls = ("open", "mkdir", "pwrite", "fsync", "rename")

    def setUp(self):
        super().setUp()
        self.options = ("--data", self.data, "--epochs", 4, "--seed", 5, "--batch-size", 64)
        self.digest = marquee("train", *self.options).digest()

    def saving(self, name):
        return "--checkpoint-dir", self.path(name), "--checkpoint-every", 50, "--keep", 100

    def environment(self, name, call, first, count):
        return {**os.environ, "LD_PRELOAD": FAILING_DISK, "FAILING_DISK_ROOT": self.path(name) + "/", "FAILING_DISK_CALL": call,
                "FAILING_DISK_FIRST": str(first), "FAILING_DISK_COUNT": str(count), "FAILING_DISK_TOTAL": self.path("total")}

    def total(self, call):
        """How many of these calls an undisturbed run makes."""
        result = marquee("train", *self.options, *self.saving("whole-" + call), env=self.environment("whole-" + call, call, 0, 0))
        self.assertEqual(result.digest(), self.digest)
        with open(self.path("total")) as file:
            return int(file.read())

    def all_verify(self, name):
        """Every checkpoint that is there; their number."""
        steps = [entry for entry in os.listdir(self.path(name)) if re.fullmatch(r"step-\d+", entry)]
        for step in steps:
            verified = marquee("checkpoint", "verify", os.path.join(self.path(name), step))
            self.assertEqual(verified.code, 0, verified.err)
        return len(steps)

    def said_at_once(self, text):
        """The warning comes before training has ended."""
        warning = re.search(r"warning: checkpoint of step \d+: .*Input/output error.*; training goes on", text)
        self.assertIsNotNone(warning, text)
        self.assertLess(warning.start(), text.index("epoch 4/4"))

    def test_one_call_costs_one_checkpoint(self):
        for call in self.calls:
            with self.subTest(call=call):
                job = self.start(program("marquee"), "train", *self.options, *self.saving(call),
                                 env=self.environment(call, call, self.total(call) // 3, 1))
                self.assertEqual(job.finish(60), 0, job.text.decode())
                text = job.text.decode()
                self.said_at_once(text)
                self.assertEqual(text.count("; training goes on"), 1, text)
                self.assertIn(f"digest {self.digest}", text)
                self.assertGreater(self.all_verify(call), 5)

    def test_all_calls_from_one_on_leave_what_was_good(self):
        for call in self.calls[2:]:
            with self.subTest(call=call):
                environment = self.environment(call, call, self.total(call) // 3, 1 << 40)
                job = self.start(program("marquee"), "train", *self.options, *self.saving(call), env=environment)
                self.assertEqual(job.finish(60), 1, job.text.decode())
                self.said_at_once(job.text.decode())
                self.assertGreater(self.all_verify(call), 1)
                self.assertEqual(marquee("train", *self.options, *self.saving(call), "--resume").digest(), self.digest)

    def test_workers_under_mpirun(self):
        first = self.total("fsync") // 2
        job = self.start("mpirun", "-n", 2, program("worker"), *self.options, *self.saving("ranks"),
                         env=self.environment("ranks", "fsync", first, 1))
        self.assertEqual(job.finish(60), 0, job.text.decode())
        self.said_at_once(job.text.decode())
        self.assertIn(f"digest {self.digest}", job.text.decode())
        self.assertGreater(self.all_verify("ranks"), 5)


if __name__ == "__main__":
    unittest.main()
