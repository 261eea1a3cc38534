"""Runs the built programs for tests: with deadlines, ephemeral addresses, and nothing left behind."""
import json
import os
import re
import select
import signal
import subprocess
import tempfile
import time
import unittest

BIN = os.environ["MARQUEE_BIN"]
DEADLINE_S = 120


def program(name):
    return os.path.join(BIN, name)


class Result:
    def __init__(self, arguments, code, out, err):
        self.arguments, self.code, self.out, self.err = arguments, code, out, err

    def digest(self):
        found = re.findall(r"\bdigest ([0-9a-f]{32})$", self.out, re.M)
        if self.code != 0 or not found:
            raise AssertionError(f"{' '.join(self.arguments)}: exit {self.code}\n{self.out}\n{self.err}")
        return found[-1]


def run(*arguments, deadline_s=DEADLINE_S, env=None):
    process = subprocess.Popen([str(a) for a in arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               stdin=subprocess.DEVNULL, start_new_session=True, env=env)
    try:
        out, err = process.communicate(timeout=deadline_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"{' '.join(map(str, arguments))}: hangs: nothing after {deadline_s} s\n{out}\n{err}")
    return Result([str(a) for a in arguments], process.returncode, out, err)


def marquee(*arguments, **options):
    return run(program("marquee"), *arguments, **options)


def mpirun(workers, *arguments, **options):
    return run("mpirun", "-n", workers, program("worker"), *arguments, **options)


def read_safetensors(path):
    """The file's tensors by name, as numpy arrays."""
    import numpy as np
    kinds = {"F32": "<f4", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1"}
    with open(path, "rb") as file:
        data = file.read()
    begin = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, about in json.loads(data[8:begin]).items():
        if name != "__metadata__":
            first, last = about["data_offsets"]
            tensors[name] = np.frombuffer(data[begin + first:begin + last], kinds[about["dtype"]]).reshape(about["shape"])
    return tensors


def processes_with(*arguments):
    """The ids of the processes whose command lines have all of these arguments, the first as the program."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline") as file:
                line = file.read().split("\0")
        except OSError:
            continue
        if line[0] == arguments[0] and set(arguments) <= set(line):
            found.append(int(name))
    return sorted(found)


def descendants(pid):
    """Every process below pid: servers, mpirun, its proxies, workers."""
    children = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                parent = int(file.read().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found[1:]


def program_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return os.path.basename(file.read().split("\0")[0])
    except OSError:
        return None


class Line:
    """A process whose output is read line by line, each line with a deadline."""

    def __init__(self, *arguments, env=None):
        self.process = subprocess.Popen([str(a) for a in arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        stdin=subprocess.DEVNULL, start_new_session=True, env=env)
        self.text = b""

    def wait_for(self, pattern, deadline_s=30):
        end = time.monotonic() + deadline_s
        while True:
            found = re.search(pattern.encode(), self.text, re.M)
            if found:
                return found.group(1).decode() if found.groups() else found.group(0).decode()
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise AssertionError(f"no '{pattern}' within {deadline_s} s in: {self.text.decode()}")
            chunk = os.read(self.process.stdout.fileno(), 65536)
            if not chunk:
                raise AssertionError(f"ended without '{pattern}': {self.text.decode()}")
            self.text += chunk

    def drain(self):
        """Takes what has been printed, so that it does not wait for a reader."""
        while select.select([self.process.stdout], [], [], 0)[0]:
            chunk = os.read(self.process.stdout.fileno(), 65536)
            if not chunk:
                return
            self.text += chunk

    def finish(self, deadline_s=30):
        """Reads to the end; returns the exit code."""
        try:
            rest, _ = self.process.communicate(timeout=deadline_s)
        except subprocess.TimeoutExpired as late:
            self.kill()
            self.text += late.output or b""
            raise AssertionError(f"does not end within {deadline_s} s: {self.text.decode()}")
        self.text += rest
        return self.process.returncode

    def kill(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)


class Server(Line):
    def __init__(self, shard="0/1", listen="tcp://127.0.0.1:0", *arguments):
        super().__init__(program("pserver"), "--listen", listen, "--shard", shard, *arguments)
        self.url = self.wait_for(r"^pserver: ready (\S+) shard")


class ProgramTest(unittest.TestCase):
    """A scratch directory, generated data shared by the class, and servers that end with the test."""
    users, movies, ratings = 300, 200, 6000

    @classmethod
    def setUpClass(cls):
        cls.class_scratch = tempfile.TemporaryDirectory()
        cls.data = os.path.join(cls.class_scratch.name, "data")
        made = marquee("synth", "--out", cls.data, "--users", cls.users, "--movies", cls.movies,
                       "--ratings", cls.ratings, "--seed", 3)
        if made.code != 0:
            raise AssertionError(made.err)

    @classmethod
    def tearDownClass(cls):
        cls.class_scratch.cleanup()

    def setUp(self):
        self.scratch_owner = tempfile.TemporaryDirectory()
        self.scratch = self.scratch_owner.name
        self.lines = []

    def tearDown(self):
        for line in self.lines:
            line.kill()
            line.finish()
        self.scratch_owner.cleanup()

    def path(self, name):
        return os.path.join(self.scratch, name)

    def start(self, *arguments, env=None):
        line = Line(*arguments, env=env)
        self.lines.append(line)
        return line

    def servers(self, count, transport="tcp"):
        urls = []
        for i in range(count):
            listen = f"ipc://{self.path(f's{i}')}" if transport == "ipc" else "tcp://127.0.0.1:0"
            server = Server(f"{i}/{count}", listen)
            self.lines.append(server)
            urls.append(server.url)
        return ",".join(urls)

    def fails(self, result, code, *texts):
        said = f"{' '.join(result.arguments)}: exit {result.code}\n{result.out}\n{result.err}"
        self.assertEqual(result.code, code, said)
        for text in texts:
            self.assertIn(text, result.err, said)
