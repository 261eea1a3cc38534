"""Disks that fail while checkpoints are written: full, read-only, failing. The last good one stays, training goes on."""
import os
import signal
import subprocess
import sys
import unittest

from programs import ProgramTest, marquee, program

SIZE_MIB = 16


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


if __name__ == "__main__":
    if not may_mount():
        print("skipped: mounting a tmpfs of 16 MiB needs root")
        sys.exit(77)
    unittest.main()
