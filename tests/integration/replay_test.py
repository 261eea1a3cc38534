"""Twenty steps of training equal an outsider's float64 replay of them, tensor by tensor (replay.py)."""
import importlib.util
import os
import sys
import unittest

from programs import ProgramTest, marquee, run

SKIPPED = 77


class Replay(ProgramTest):
    def replay(self, data, *extra):
        held_out = self.path("test.dat")
        with open(os.path.join(data, "ratings.dat"), encoding="latin-1") as ratings, open(held_out, "w") as out:
            out.write(ratings.readline())
        models = {}
        for steps in (0, 20):
            checkpoints, models[steps] = self.path(f"checkpoints-{steps}"), self.path(f"model-{steps}")
            marquee("train", "--data", data, "--test-ratings", held_out, "--shuffle", "none", "--unknown-rate", 0, "--no-cache",
                    "--max-steps", steps, "--checkpoint-dir", checkpoints).digest()
            exported = marquee("export", "--checkpoint", checkpoints, "--out", models[steps])
            self.assertEqual(exported.code, 0, exported.err)
        return run(sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "replay.py"), "--data", data,
                   "--test-ratings", held_out, "--initial", models[0], "--final", models[20], *extra)

    def test_generated_data(self):
        result = self.replay(self.data)
        self.assertEqual(result.code, 0, result.out + result.err)

    def test_the_replay_notices_another_learning_rate(self):
        result = self.replay(self.data, "--learning-rate", 0.199)
        self.assertEqual(result.code, 1, result.out + result.err)

    @unittest.skipUnless(os.environ.get("MARQUEE_ML1M"), "MARQUEE_ML1M is not set: ml-1m is not here")
    def test_ml_1m(self):
        result = self.replay(os.environ["MARQUEE_ML1M"])
        self.assertEqual(result.code, 0, result.out + result.err)


if __name__ == "__main__":
    if importlib.util.find_spec("numpy") is None:
        print("skipped: numpy is not here")
        sys.exit(SKIPPED)
    unittest.main()
