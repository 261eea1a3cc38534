"""Real processes: the same bits from every way to run a job, and clear ends when something is wrong."""
import os
import re
import signal
import socket
import subprocess
import unittest

from programs import ProgramTest, marquee, mpirun, processes_with, program, run

EPOCH = ("--epochs", 1, "--seed", 4)


class SameBits(ProgramTest):
    def setUp(self):
        super().setUp()
        self.expected = marquee("train", "--data", self.data, *EPOCH, "--threads", 1).digest()

    def same(self, result):
        self.assertEqual(result.digest(), self.expected)

    def test_threads(self):
        self.same(marquee("train", "--data", self.data, *EPOCH, "--threads", 2))

    def test_cache(self):
        cache = ("--cache-dir", self.path("cache"))
        self.same(marquee("train", "--data", self.data, *EPOCH, "--no-cache"))
        first = mpirun(4, "--data", self.data, *EPOCH, *cache)
        self.same(first)
        self.assertEqual(first.out.count("wrote the cache"), 1)
        name, = os.listdir(self.path("cache"))
        second = marquee("train", "--data", self.data, *EPOCH, *cache)
        self.same(second)
        self.assertNotIn("cache", second.out)
        with open(os.path.join(self.path("cache"), name), "r+b") as file:
            file.seek(5000)
            file.write(b"damage")
        third = mpirun(2, "--data", self.data, *EPOCH, *cache)
        self.same(third)
        self.assertRegex(third.out, "made the cache .* anew: .*block 0 is damaged")
        both = marquee("train", "--data", self.data, *cache, "--no-cache")
        self.assertEqual(both.code, 2)
        self.assertIn("exclude each other", both.err)

    def test_mpirun_hosting_its_own_shards(self):
        for workers in (1, 2, 3, 4, 8):
            with self.subTest(workers=workers):
                self.same(mpirun(workers, "--data", self.data, *EPOCH))

    def test_fewer_embedded_servers_than_ranks(self):
        for servers in (1, 2, 3):
            with self.subTest(servers=servers):
                self.same(mpirun(4, "--data", self.data, *EPOCH, "--embedded-servers", servers))

    def test_more_embedded_servers_than_cores(self):
        self.same(mpirun(4, "--data", self.data, *EPOCH, "--embedded-servers", 4))

    def test_ranks_that_share_no_memory(self):
        # MPICH then takes every rank for a host of its own.
        apart = {**os.environ, "MPIR_CVAR_NOLOCAL": "1"}
        for workers in (2, 3, 4):
            with self.subTest(workers=workers):
                self.same(mpirun(workers, "--data", self.data, *EPOCH, env=apart))

    def test_worker_alone(self):
        self.same(run(program("worker"), "--data", self.data, *EPOCH))

    def test_standalone_servers(self):
        for transport in ("tcp", "ipc"):
            for servers in (1, 2, 3):
                with self.subTest(transport=transport, servers=servers):
                    urls = self.servers(servers, transport)
                    self.same(mpirun(2, "--data", self.data, *EPOCH, "--servers", urls))
                    self.same(run(program("worker"), "--data", self.data, *EPOCH, "--servers", urls))
                    for line in self.lines:
                        line.kill(signal.SIGTERM)
                        self.assertEqual(line.finish(), 0)
                    self.lines.clear()

    def test_every_optimizer(self):
        for optimizer in ("adagrad", "adam"):
            with self.subTest(optimizer=optimizer):
                options = (*EPOCH, "--optimizer", optimizer)
                expected = marquee("train", "--data", self.data, *options).digest()
                urls = self.servers(2)
                self.assertEqual(mpirun(4, "--data", self.data, *options, "--servers", urls).digest(), expected)

    def test_stopped_and_resumed_elsewhere(self):
        checkpoints = ("--checkpoint-dir", self.path("checkpoints"))
        mpirun(4, "--data", self.data, *EPOCH, "--max-steps", 9, *checkpoints).digest()
        urls = self.servers(3)
        mpirun(2, "--data", self.data, "--epochs", 1, "--max-steps", 15, *checkpoints, "--resume", "--servers",
               urls).digest()
        self.same(marquee("train", "--data", self.data, "--epochs", 1, *checkpoints, "--resume"))
        inspected = marquee("checkpoint", "inspect", self.path("checkpoints"))
        self.assertIn(self.expected, inspected.out)

    def test_launch(self):
        self.same(marquee("launch", "--workers", 2, "--servers", 2, "--data", self.data, *EPOCH))


class ClearEnds(ProgramTest):
    def test_malformed_line(self):
        bad = self.path("bad")
        run("cp", "-r", self.data, bad)
        with open(os.path.join(bad, "ratings.dat"), "a") as ratings:
            ratings.write("1::2::five::3\n")
        self.fails(marquee("train", "--data", bad), 1, f"ratings.dat:{self.ratings + 1}: expected UserID::MovieID::Rating")
        skipped = marquee("train", "--data", bad, *EPOCH, "--skip-bad-lines")
        self.assertEqual(skipped.code, 0, skipped.err)
        self.assertIn("skipped 1 malformed line", skipped.out)

    def test_missing_and_empty_data(self):
        self.fails(marquee("train", "--data", self.path("nowhere")), 1, "nowhere")
        empty = self.path("empty")
        run("cp", "-r", self.data, empty)
        open(os.path.join(empty, "ratings.dat"), "w").close()
        self.fails(marquee("train", "--data", empty), 1, "ratings.dat: ")
        os.remove(os.path.join(empty, "movies.dat"))
        self.fails(marquee("train", "--data", empty), 1, "movies.dat")

    def test_id_beyond_64_bits(self):
        bad = self.path("bad")
        run("cp", "-r", self.data, bad)
        with open(os.path.join(bad, "users.dat"), "a") as users:
            users.write("18446744073709551616::M::25::4::0\n")
        self.fails(marquee("train", "--data", bad), 1, "users.dat:301: ", "64 bits")

    def one_message(self, result, code, text):
        self.fails(result, code, text)
        said = [line for line in result.err.splitlines() if line.startswith("worker: ")]
        self.assertEqual(len(said), 1, result.err)

    def test_one_message_for_all_ranks(self):
        self.one_message(mpirun(4, "--data", self.path("nowhere")), 1, "nowhere: no such directory")
        self.one_message(mpirun(4, "--data", self.data, "--lanes", 7), 2, "not divisible")
        self.one_message(mpirun(4, "--data", self.data, "--lanes", 2), 1, "4 workers for 2 lanes")
        self.one_message(mpirun(2, "--data", self.data, "--checkpoint-dir", "/proc/checkpoints"), 1,
                         "--checkpoint-dir: /proc/checkpoints: cannot create")
        self.one_message(mpirun(2, "--data", self.data, *EPOCH, "--dump-metrics", "/dev/full"), 1, "/dev/full: No space")
        self.one_message(mpirun(2, "--data", self.data, "--servers", "ipc:///x", "--token-file", self.path("secret")), 1,
                         "--token-file: ")

    def test_what_one_rank_alone_cannot_do_ends_all_with_its_message(self):
        worker = (program("worker"), "--data")
        self.one_message(run("mpirun", "-n", 1, *worker, self.data, ":", "-n", 2, *worker, self.path("nowhere")), 1,
                         "worker: worker 1: ")
        self.one_message(run("mpirun", "-n", 2, *worker, self.data, ":", "-n", 1, *worker, self.data, "--seed", 5), 1,
                         "same options")

    def test_launch_refuses_before_it_starts_anything(self):
        result = marquee("launch", "--data", self.data, "--epoch-count", 3)
        self.fails(result, 2, "marquee launch: unknown option --epoch-count")
        self.assertEqual(result.out, "")
        self.fails(marquee("launch", "--data", self.data, "--lanes", 7), 2, "not divisible")
        said = marquee("launch", "--help").out
        for option in "--workers", "--learning-rate", "--checkpoint-every", "--connect-timeout":
            self.assertIn(f"  {option} ", said)

    def test_launch_does_not_repeat_what_fails_before_training(self):
        result = marquee("launch", "--data", self.path("nowhere"), "--max-restarts", 2)
        self.fails(result, 1, "nowhere", "worker failed first: it exited with code 1")
        self.assertNotIn("restart", result.err)

    def test_two_runs_in_one_checkpoint_directory(self):
        checkpoints = ("--checkpoint-dir", self.path("checkpoints"), "--resume")
        first = self.start(program("marquee"), "train", "--data", self.data, "--epochs", 100000, *checkpoints)
        first.wait_for(r"epoch 2/")
        self.fails(marquee("train", "--data", self.data, *checkpoints), 1, "another run is writing", self.path("checkpoints"))
        first.kill(signal.SIGINT)
        self.assertEqual(first.finish(), -signal.SIGINT)
        self.assertEqual(marquee("checkpoint", "verify", self.path("checkpoints")).code, 0)
        marquee("train", "--data", self.data, "--epochs", 1, *checkpoints).digest()

    def test_failures_of_training_are_no_usage_errors(self):
        users = os.path.join(self.data, "users.dat")
        for options in ("--data", users), ("--data", self.data, "--checkpoint-dir", users), \
                ("--data", self.data, "--dump-metrics", self.data):
            self.fails(marquee("train", *options), 1, options[-1])

    def test_usage(self):
        self.fails(marquee("train", "--data", self.data, "--batch-size", 100, "--lanes", 8), 2, "not divisible")
        self.fails(marquee("train"), 2, "--data")
        self.fails(marquee("train", "--data", self.data, "--epoch-count", 3), 2, "--epoch-count")
        self.fails(marquee("train", "--data", self.data, "--epochs", "three"), 2, "--epochs")
        self.fails(run(program("pserver"), "--listen", "tcp://127.0.0.1:0", "--shard", "2/2"), 2, "--shard")
        self.assertEqual(marquee("train", "--help").code, 0)

    def test_a_result_that_the_disk_did_not_take_is_no_success(self):
        train = ("train", "--data", self.data, "--max-steps", 1)
        for arguments in ((program("marquee"), "help"), (program("marquee"), *train), (program("worker"), *train[1:]),
                          (program("pserver"), "--help")):
            with open("/dev/full", "w") as full:
                done = subprocess.run([str(word) for word in arguments], stdout=full, stderr=subprocess.PIPE, encoding="utf-8",
                                      timeout=60)
            self.assertEqual(done.returncode, 1, arguments)
            self.assertIn(": standard output: ", done.stderr)

    def test_bad_model_file(self):
        path = self.path("model.json")
        with open(path, "w") as model:
            model.write('{"hiden": 3}')
        self.fails(marquee("train", "--data", self.data, "--model", path), 2, "hiden")

    def test_no_server_at_the_address(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
            result = run(program("worker"), "--data", self.data, "--servers", url, "--connect-timeout", 1, deadline_s=20)
            self.fails(result, 1, url)
            result = mpirun(2, "--data", self.data, "--servers", url, "--connect-timeout", 1, deadline_s=30)
            self.assertNotEqual(result.code, 0)

    def test_port_in_use(self):
        url = self.servers(1)
        result = run(program("pserver"), "--listen", url, "--shard", "0/1", deadline_s=20)
        self.fails(result, 1, url, "in use")

    def test_wrong_shards(self):
        urls = self.servers(2).split(",")
        self.fails(run(program("worker"), "--data", self.data, "--servers", urls[0]), 1, "shard 0 of 2")
        self.fails(run(program("worker"), "--data", self.data, "--servers", f"{urls[0]},{urls[0]}"), 1, "both shard 0")

    def test_server_of_another_job(self):
        url = self.servers(1)
        first = self.start(program("worker"), "--data", self.data, "--servers", url, "--epochs", 100000)
        first.wait_for(r"epoch 1/")
        self.fails(run(program("worker"), "--data", self.data, "--servers", url, deadline_s=30), 1, "job")

    def test_killed_server_ends_the_job_and_names_it(self):
        urls = self.servers(2)
        job = self.start("mpirun", "-n", 2, program("worker"), "--data", self.data, "--servers", urls, "--epochs", 100000,
                         "--deadline", 3)
        job.wait_for(r"epoch 1/")
        self.lines[1].kill()
        self.assertNotEqual(job.finish(60), 0)
        self.assertIn(urls.split(",")[1], job.text.decode())

    def test_killed_worker_ends_the_job(self):
        job = self.start("mpirun", "-n", 3, program("worker"), "--data", self.data, "--epochs", 100000, "--deadline", 3)
        job.wait_for(r"epoch 1/")
        os.kill(processes_with(program("worker"), self.data)[-1], signal.SIGKILL)
        self.assertNotEqual(job.finish(60), 0)

    def test_checkpoint_of_another_format(self):
        checkpoints = self.path("checkpoints")
        marquee("train", "--data", self.data, "--max-steps", 0, "--checkpoint-dir", checkpoints).digest()
        manifest = os.path.join(checkpoints, os.listdir(checkpoints)[0], "manifest.json")
        with open(manifest) as file:
            text = file.read()
        with open(manifest, "w") as file:
            file.write(re.sub(r'"format_version": *1\b', '"format_version": 99', text))
        self.fails(marquee("train", "--data", self.data, "--checkpoint-dir", checkpoints, "--resume"), 1, "99")


if __name__ == "__main__":
    unittest.main()
