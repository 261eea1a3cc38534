"""cluster/Containerfile, which no test here can build: what it names is there, and what it copies is enough to configure."""
import glob
import json
import os
import re
import shutil
import subprocess
import unittest

from programs import BIN, ProgramTest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def instructions():
    """(stage, instruction, rest) of each, with continued lines joined."""
    with open(os.path.join(ROOT, "cluster", "Containerfile")) as file:
        text = re.sub(r"(?m)^#.*\n", "", file.read()).replace("\\\n", " ")
    stage = None
    for line in filter(None, text.splitlines()):
        name, rest = line.split(None, 1)
        stage = rest.split()[-1] if name == "FROM" else stage
        yield stage, name, rest


class Containerfile(ProgramTest):
    setUpClass = tearDownClass = classmethod(lambda cls: None)

    def test_stages_build_on_each_other_and_end_with_programs(self):
        stages, users, entries = set(), {}, {}
        for stage, name, rest in instructions():
            self.assertIn(name, ("FROM", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT"))
            if name == "FROM":
                image = rest.split()[0]
                self.assertTrue(image in stages or image == "debian:12-slim", rest)
                users[stage] = users.get(image, "0")
                stages.add(stage)
            elif name == "USER":
                users[stage] = rest
            elif name == "ENTRYPOINT":
                entries[stage] = json.loads(rest)
            elif name == "COPY" and rest.startswith("--from="):
                self.assertIn(rest.split()[0].removeprefix("--from="), stages)
        self.assertEqual(entries, {name: [name] for name in ("pserver", "worker", "marquee")})
        for name in entries:
            self.assertTrue(os.access(os.path.join(BIN, name), os.X_OK))
            self.assertRegex(users[name], "^[1-9][0-9]*$")

    def test_what_is_copied_is_there_and_can_be_configured(self):
        for stage, name, rest in instructions():
            if name == "COPY" and not rest.startswith("--from="):
                *sources, target = rest.split()
                for source in sources:
                    at = os.path.join(ROOT, source)
                    to = os.path.join(self.scratch, target, os.path.basename(source) if target == "./" else "")
                    os.makedirs(os.path.dirname(to.rstrip("/")), exist_ok=True)
                    (shutil.copytree if os.path.isdir(at) else shutil.copy)(at, to.rstrip("/"), **(
                        {"dirs_exist_ok": True} if os.path.isdir(at) else {}))
            if name == "RUN" and stage == "build":
                for command in rest.split("&&"):
                    program = command.split()[0]
                    if "/" in program:
                        self.assertTrue(os.access(os.path.join(self.scratch, program), os.X_OK), program)
                    else:
                        self.assertIn(program, ("apt-get", "cmake", "cpack"))
        done = subprocess.run(["cmake", "--preset", "release", "-DMARQUEE_TESTS=OFF"], cwd=self.scratch, capture_output=True,
                              text=True, timeout=100)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertTrue(glob.glob(os.path.join(self.scratch, "build", "CPackConfig.cmake")))


if __name__ == "__main__":
    unittest.main()
