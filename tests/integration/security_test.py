"""Who is let in, and who is not: TLS and tokens, and a live job under attack that does not notice."""
import os
import random
import socket
import struct
import subprocess
import threading
import unittest

from programs import ProgramTest, Server, descendants, marquee, program, program_of, run

FRAMES = int(os.environ.get("MARQUEE_ATTACK_FRAMES", "2000"))
HALF_OPEN = int(os.environ.get("MARQUEE_ATTACK_CONNECTIONS", "200"))
SEED = int(os.environ.get("MARQUEE_ATTACK_SEED", "1"))
EPOCH = ("--epochs", 1, "--seed", 4)
OK, UNAUTHENTICATED = 0, 16


def certificate(path):
    """A self-signed certificate and its key."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                    "2", "-subj", "/CN=127.0.0.1", "-keyout", path + ".key", "-out", path + ".cert"],
                   check=True, stderr=subprocess.DEVNULL)
    return path + ".cert", path + ".key"


class Tls(ProgramTest):
    def setUp(self):
        super().setUp()
        self.cert, self.key = certificate(self.path("ours"))
        self.ours = ("--tls-cert", self.cert, "--tls-key", self.key, "--tls-ca", self.cert)

    def server(self):
        server = Server("0/1", "tls+tcp://127.0.0.1:0", *self.ours)
        self.lines.append(server)
        return server.url

    def test_a_job_over_tls_has_the_same_bits(self):
        expected = marquee("train", "--data", self.data, *EPOCH).digest()
        launched = marquee("launch", "--workers", 2, "--servers", 2, "--data", self.data, *EPOCH, *self.ours)
        self.assertEqual(launched.digest(), expected)
        self.assertIn("ready tls+tcp://", launched.out)

    def test_who_has_another_authority_or_none_is_not_let_in(self):
        url = self.server()
        other_cert, other_key = certificate(self.path("other"))
        for what in (("--tls-ca", other_cert), ("--tls-ca", self.cert),
                     ("--tls-ca", self.cert, "--tls-cert", other_cert, "--tls-key", other_key), ()):
            with self.subTest(what=what):
                result = run(program("worker"), "--data", self.data, *EPOCH, "--servers", url, "--connect-timeout", 1, *what)
                self.fails(result, 1, url if what else "--tls-ca")
        run(program("worker"), "--data", self.data, *EPOCH, "--servers", url, *self.ours).digest()

    def test_half_of_an_identity_is_refused(self):
        result = marquee("launch", "--data", self.data, "--tls-cert", self.cert)
        self.fails(result, 2, "--tls-cert, --tls-key and --tls-ca belong together")


def varint(n):
    out = b""
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def text(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def frame(method, token, body, raw):
    header = text(1, b"marquee.ps.v1.ParameterServer") + text(2, method) + varint(3 << 3) + varint(1000) + text(4, b"job")
    header += text(5, token) + varint(7 << 3) + varint(1) + varint(8 << 3) + varint(1)
    out = b"MQRP" + struct.pack("<HHIIQ", 1, 1, len(header), len(body), len(raw)) + header + body
    return out + b"\0" * (-len(out) % 8) + raw


class Peer:
    """nng's REQ over TCP, by hand."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=20)
        self.socket.sendall(b"\0SP\0" + struct.pack(">HH", 0x30, 0))
        self.receive(8)

    def receive(self, size):
        data = b""
        while len(data) < size:
            got = self.socket.recv(size - len(data))
            if not got:
                raise ConnectionError
            data += got
        return data

    def exchange(self, message):
        """The status of the answer."""
        self.socket.sendall(struct.pack(">QI", len(message) + 4, 0x80000001) + message)
        answer = self.receive(struct.unpack(">Q", self.receive(8))[0])[4:]
        header = answer[24:24 + struct.unpack("<I", answer[8:12])[0]]
        return header[1] if header[:1] == b"\x08" else OK

    def close(self):
        self.socket.close()


class Attack(ProgramTest):
    ratings = 20000
    methods = (b"Join", b"Pull", b"Push", b"PushPull", b"Snapshot", b"Restore", b"Digest", b"Stats", b"Leave")

    def setUp(self):
        super().setUp()
        self.token = self.path("token")
        with open(self.token, "w") as file:
            file.write("correct horse battery staple\n")

    def resident_kib(self, server):
        with open(f"/proc/{server.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def attack(self, address, random_source):
        """Frames with wrong tokens, mutated ones, noise; returns the statuses that came back."""
        answers = {}
        peer = Peer(address)
        for number in range(FRAMES):
            token = random_source.choice((b"", b"correct horse", b"correct horse battery staplf", random_source.randbytes(40)))
            message = frame(random_source.choice(self.methods), token, random_source.randbytes(random_source.randrange(40)),
                            random_source.randbytes(random_source.randrange(200)))
            if number % 3 == 1:
                at = random_source.randrange(len(message))
                message = message[:at] + random_source.randbytes(1) + message[at + 1:]
            elif number % 3 == 2:
                message = random_source.randbytes(random_source.randrange(300))
            try:
                status = peer.exchange(message)
                answers[status] = answers.get(status, 0) + 1
            except (ConnectionError, TimeoutError):
                peer.close()
                peer = Peer(address)
        peer.close()
        return answers

    def half_open(self, address, random_source):
        """Connections that stop at some point of the handshake or of a message, and oversized announcements."""
        held = []
        for number in range(HALF_OPEN):
            peer = socket.create_connection(address, timeout=20)
            start = b"\0SP\0" + struct.pack(">HH", 0x30, 0) + struct.pack(">Q", 1 << random_source.randrange(5, 63))
            try:
                peer.sendall(start[:random_source.randrange(len(start) + 1)])
            except ConnectionError:
                pass
            held.append(peer)
        return held

    def test_a_job_does_not_notice(self):
        random_source = random.Random(SEED)
        options = ("--data", self.data, "--epochs", 8, "--seed", 4, "--batch-size", 64)
        expected = marquee("train", *options).digest()
        servers = [Server(f"{i}/2", "tcp://127.0.0.1:0", "--token-file", self.token) for i in range(2)]
        self.lines += servers
        address = ("127.0.0.1", int(servers[0].url.rsplit(":", 1)[1]))
        job = self.start("mpirun", "-n", 2, program("worker"), *options, "--servers", ",".join(s.url for s in servers),
                         "--token-file", self.token)
        job.wait_for("training begins")
        before = self.resident_kib(servers[0])
        held = self.half_open(address, random_source)
        answers = self.attack(address, random_source)
        after = self.resident_kib(servers[0])
        print(f"seed {SEED}: {answers}, resident {before} KiB before, {after} KiB after", flush=True)
        self.assertEqual(job.finish(90), 0, job.text.decode())
        self.assertIn(f"digest {expected}", job.text.decode())
        self.assertNotIn(OK, answers)
        self.assertGreater(answers[UNAUTHENTICATED], FRAMES // 4)
        self.assertLess(after - before, 32 << 10)
        for peer in held:
            peer.close()
        for server in servers:
            with open(f"/proc/{server.process.pid}/cmdline") as file:
                self.assertNotIn("battery", file.read())
            self.assertNotIn(b"battery", server.text)
        self.assertNotIn(b"battery", job.text)


class Crowd(ProgramTest):
    """More connections than a server takes: it says so, and who trains still finds a place."""

    def silent(self, address, count):
        """Connections that make the transport's handshake and say nothing more; some with a wrong token."""
        held = []
        for number in range(count):
            try:
                held.append(Peer(address))
                if number % 2:
                    held[-1].exchange(frame(b"Stats", b"sesame", b"", b""))
            except ConnectionError:
                continue
        return held

    def test_a_crowd_keeps_nobody_out_for_long(self):
        token = self.path("token")
        with open(token, "w") as file:
            file.write("correct horse battery staple\n")
        expected = marquee("train", "--data", self.data, *EPOCH).digest()
        cert, key = certificate(self.path("ours"))
        tls = ("--tls-cert", cert, "--tls-key", key, "--tls-ca", cert)
        for listen, ours in (("tcp://127.0.0.1:0", ()), ("tls+tcp://127.0.0.1:0", tls)):
            with self.subTest(listen=listen):
                server = Server("0/1", listen, "--token-file", token, "--max-connections", 8, *ours)
                self.lines.append(server)
                address = ("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
                if ours:  # no handshake: these never get so far as to have a place
                    held = [socket.create_connection(address, timeout=20) for _ in range(HALF_OPEN)]
                else:
                    held = self.silent(address, 40)
                    server.wait_for(r"pserver: warning: refused a connection from 127\.0\.0\.1:\d+ .*: 8 are open; "
                                    r"--max-connections allows more")
                worker = run(program("worker"), "--data", self.data, *EPOCH, "--servers", server.url, "--token-file", token,
                             "--connect-timeout", 20, *ours)
                self.assertEqual(worker.digest(), expected)
                for peer in held:
                    peer.close()


class Secrets(ProgramTest):
    ratings = 20000

    def test_a_token_is_nowhere_but_in_its_file(self):
        secret = b"not-for-other-eyes-7c1d"
        token = self.path("token")
        with open(token, "wb") as file:
            file.write(secret + b"\n")
        job = self.start(program("marquee"), "launch", "--workers", 2, "--servers", 2, "--data", self.data, "--epochs", 4,
                         "--batch-size", 64, "--token-file", token, "--checkpoint-dir", self.path("checkpoints"),
                         "--checkpoint-every", 100, "--dump-metrics", self.path("metrics"), "--metrics-every", 10, "--log-dir",
                         self.path("log"))
        job.wait_for("training begins")
        looked = 0
        for pid in [job.process.pid, *descendants(job.process.pid)]:
            for what in "cmdline", "environ", "comm":
                try:
                    with open(f"/proc/{pid}/{what}", "rb") as file:
                        self.assertNotIn(secret, file.read(), f"{program_of(pid)}: {what}")
                        looked += 1
                except OSError:
                    continue  # it has ended
        self.assertGreater(looked, 3 * 5, "the launcher, two servers, mpirun, two workers")
        # A stranger's message is not told what it should have been.
        url = next(line.split()[-3] for line in job.text.decode().splitlines() if "pserver: ready" in line)
        stranger = run(program("worker"), "--data", self.data, "--servers", url, "--connect-timeout", 5)
        self.fails(stranger, 1, "token")
        self.assertNotIn(secret.decode(), stranger.err + stranger.out)
        self.assertEqual(job.finish(60), 0, job.text.decode())
        self.assertNotIn(secret, job.text)
        files = [os.path.join(folder, name) for folder, _, names in os.walk(self.scratch) for name in names]
        self.assertGreater(len(files), 5)
        for path in files:
            if path != token:
                with open(path, "rb") as file:
                    self.assertNotIn(secret, file.read(), path)


if __name__ == "__main__":
    unittest.main()
