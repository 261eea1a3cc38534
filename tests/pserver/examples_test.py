"""docs/examples/parameter_server.py, with nng and protobuf of others, against a running server: its rows are the server's."""
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLE = os.path.join(ROOT, "docs", "examples", "parameter_server.py")
DEADLINE_S = 30


def rows(text, *labels):
    """{(table, id): values} of the lines that begin with the labels."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        if words[:len(labels)] == list(labels):
            table, id, *values = words[len(labels):]
            found[table, int(id)] = [float.fromhex(value) for value in values]
    return found


class Examples(unittest.TestCase):
    def setUp(self):
        owner = tempfile.TemporaryDirectory()
        self.addCleanup(owner.cleanup)
        self.scratch = owner.name
        subprocess.run(["protoc", f"--proto_path={ROOT}/proto", f"--python_out={self.scratch}", "rpc.proto",
                        "parameter_server.proto"], check=True, timeout=DEADLINE_S, stdin=subprocess.DEVNULL)

    def example(self, *arguments):
        return subprocess.run([sys.executable, "-B", EXAMPLE, *arguments], env=dict(os.environ, PYTHONPATH=self.scratch),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE_S)

    def start(self, *command):
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def end():
            server.kill()
            server.communicate()
        self.addCleanup(end)
        return server

    def test_the_clients_rows_are_the_servers(self):
        server = self.start(os.environ["MARQUEE_EXAMPLE_ROWS"])
        url = server.stdout.readline().strip()
        # A second worker that never comes keeps the tables when the client has left.
        client = self.example(url, "--workers", "2")
        self.assertEqual(client.returncode, 0, client.stderr)
        out, _ = server.communicate("\n", timeout=DEADLINE_S)
        self.assertEqual(server.returncode, 0, out)
        mine, have, want = rows(client.stdout), rows(out, "have"), rows(out, "want")
        self.assertEqual(len(mine), 6, client.stdout)
        self.assertEqual(mine, have)
        self.assertEqual(mine, want)

    def test_the_token_is_asked_for_and_sent(self):
        token = os.path.join(self.scratch, "token")
        with open(token, "w") as file:
            file.write("open sesame\n")
        server = self.start(os.path.join(os.environ["MARQUEE_BIN"], "pserver"), "--listen", "tcp://127.0.0.1:0",
                            "--token-file", token)
        url = server.stdout.readline().split()[2]
        refused = self.example(url)
        self.assertEqual(refused.returncode, 1, refused.stdout)
        self.assertIn("status 16", refused.stderr)
        admitted = self.example(url, "--token-file", token)
        self.assertEqual(admitted.returncode, 0, admitted.stderr)
        self.assertEqual(len(rows(admitted.stdout)), 6)


if __name__ == "__main__":
    unittest.main()
