"""Damaged checkpoints of a real run: each is refused with the file and the reason, none is loaded, older ones are."""
import json
import os
import random
import shutil
import unittest

from programs import ProgramTest, marquee

DAMAGES = int(os.environ.get("MARQUEE_DAMAGES", "300"))
SEED = int(os.environ.get("MARQUEE_DAMAGE_SEED", "1"))


def flip(random_source, path):
    with open(path, "r+b") as file:
        at = random_source.randrange(os.path.getsize(path))
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << random_source.randrange(8)]))
    return f"byte {at} flipped"


def cut(random_source, path):
    size = random_source.randrange(os.path.getsize(path))
    os.truncate(path, size)
    return f"cut to {size} bytes"


def lengthen(random_source, path):
    with open(path, "ab") as file:
        file.write(bytes(random_source.randrange(1, 100)))
    return "lengthened"


def remove(_, path):
    os.remove(path)
    return "removed"


def swap(random_source, path):
    others = [name for name in os.listdir(os.path.dirname(path)) if name != os.path.basename(path)]
    other = os.path.join(os.path.dirname(path), random_source.choice(sorted(others)))
    os.rename(path, path + ".away")
    os.rename(other, path)
    os.rename(path + ".away", other)
    return f"swapped with {os.path.basename(other)}"


class Damage(ProgramTest):
    ratings = 3000

    def setUp(self):
        super().setUp()
        self.checkpoints = self.path("checkpoints")
        self.options = ("train", "--data", self.data, "--epochs", 1, "--seed", 5, "--batch-size", 128,
                        "--checkpoint-dir", self.checkpoints, "--checkpoint-every", 8)
        self.digest = marquee(*self.options).digest()
        self.steps = sorted(name for name in os.listdir(self.checkpoints) if name.startswith("step-"))
        self.newest = os.path.join(self.checkpoints, self.steps[-1])

    def damaged(self, random_source, kind):
        """A copy of the newest checkpoint with one thing wrong; its path, the file, what was done."""
        path = self.path("damaged")
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self.newest, path)
        name = random_source.choice(sorted(os.listdir(path)))
        return path, name, kind(random_source, os.path.join(path, name))

    def test_each_is_refused_and_names_the_file(self):
        random_source = random.Random(SEED)
        print(f"seed {SEED}, {DAMAGES} checkpoints", flush=True)
        for number in range(DAMAGES):
            kind = (flip, cut, lengthen, remove, swap)[number % 5]
            path, name, done = self.damaged(random_source, kind)
            with self.subTest(number=number, file=name, done=done):
                result = marquee("checkpoint", "verify", path)
                self.assertEqual(result.code, 1, result.out)
                # Of two files that changed places either may be met first.
                self.assertTrue(name in result.err or done.split()[-1] in result.err, result.err)
        said = marquee("checkpoint", "verify", path, "--json")
        self.assertEqual(said.code, 1)
        found = json.loads(said.out)
        self.assertFalse(found["good"])
        self.assertIn(found["checkpoints"][0]["error"], result.err)

    def test_resume_passes_over_it_and_ends_with_the_same_bits(self):
        random_source = random.Random(SEED)
        kept = self.path("kept")
        shutil.copytree(self.checkpoints, kept)
        for kind in (flip, cut, remove, swap):
            shutil.rmtree(self.checkpoints)
            shutil.copytree(kept, self.checkpoints)
            name = random_source.choice(sorted(os.listdir(self.newest)))
            done = kind(random_source, os.path.join(self.newest, name))
            with self.subTest(file=name, done=done):
                result = marquee(*self.options, "--resume")
                self.assertEqual(result.digest(), self.digest)
                if os.path.exists(os.path.join(self.newest, "manifest.json")) and kind is not remove:
                    self.assertIn("passed over, not usable:", result.out)
                    self.assertIn(self.steps[-1], result.out)

    def test_nothing_is_trained_from_damage_alone(self):
        random_source = random.Random(SEED)
        for step in self.steps:
            flip(random_source, os.path.join(self.checkpoints, step, "dense.safetensors"))
        self.fails(marquee(*self.options, "--resume"), 1, "dense.safetensors", self.steps[-1])


if __name__ == "__main__":
    unittest.main()
