"""--log-dir: TensorBoard's own reader finds the run's numbers in the event files."""
import json
import math
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
from programs import ProgramTest, marquee  # noqa: E402

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402

CURVES = ["train/loss", "train/rmse", "train/learning_rate", "train/staleness", "throughput/ratings_per_second",
          "throughput/rows_per_second"]
EPOCH = ["epoch/train_loss", "epoch/test_rmse", "epoch/test_mae", "epoch/ratings_per_second", "wire/bytes_per_rating",
         "wire/messages_per_rating", "checkpoint/blocked_seconds"]
TABLES = ["user", "gender", "age", "occupation", "movie", "genre", "word"]


def read(directory):
    events = EventAccumulator(directory, size_guidance={"scalars": 0, "histograms": 0, "tensors": 0})
    events.Reload()
    return events


class EventLog(ProgramTest):
    def train(self, *options):
        result = marquee("train", "--data", self.data, "--batch-size", 64, "--log-dir", self.path("log"), *options)
        self.assertEqual(result.code, 0, result.err)

    def metrics(self):
        with open(self.path("metrics")) as file:
            return [json.loads(line) for line in file]

    def test_the_run_is_in_the_events(self):
        self.train("--epochs", 2, "--metrics-every", 20, "--dump-metrics", self.path("metrics"), "--optimizer", "adam")
        events, lines = read(self.path("log")), self.metrics()
        self.assertEqual(sorted(events.Tags()["scalars"]), sorted(CURVES + EPOCH))
        self.assertEqual(sorted(events.Tags()["histograms"]), sorted(f"row_norm/{name}" for name in TABLES))
        steps = [line for line in lines if line["test_rmse"] is None]
        epochs = [line for line in lines if line["test_rmse"] is not None]
        self.assertEqual(len(epochs), 2)
        self.assertGreater(len(steps), 4)
        for tag, key, of in (("train/loss", "train_cost", steps), ("epoch/train_loss", "train_cost", epochs),
                             ("epoch/test_rmse", "test_rmse", epochs), ("epoch/test_mae", "test_mae", epochs),
                             ("epoch/ratings_per_second", "ratings_per_second", epochs),
                             ("wire/bytes_per_rating", "wire_bytes_per_rating", epochs)):
            scalars = events.Scalars(tag)
            self.assertEqual([scalar.step for scalar in scalars], [line["step"] for line in of], tag)
            for scalar, line in zip(scalars, of):
                self.assertTrue(math.isclose(scalar.value, line[key], rel_tol=1e-6), (tag, scalar, line))
        for tag in ("throughput/ratings_per_second", "throughput/rows_per_second"):
            self.assertTrue(all(scalar.value > 0 for scalar in events.Scalars(tag)), tag)
        self.assertEqual({scalar.value for scalar in events.Scalars("train/staleness")}, {0.0})
        self.assertAlmostEqual(events.Scalars("train/learning_rate")[0].value, 0.001, places=6)
        for name in TABLES:
            histograms = events.Histograms(f"row_norm/{name}")
            self.assertEqual([histogram.step for histogram in histograms], [line["step"] for line in epochs])
            for histogram in histograms:
                values = histogram.histogram_value
                self.assertEqual(sum(values.bucket), values.num)
                self.assertGreater(values.num, 0)
                self.assertTrue(0 < values.min <= values.max < 100, values)
        (text,) = events.Tensors("configuration/text_summary")
        self.assertIn("| batch_size | 64 |", text.tensor_proto.string_val[0].decode())

    def test_a_resumed_run_goes_on_by_step(self):
        where = ("--checkpoint-dir", self.path("checkpoints"), "--dump-metrics", self.path("metrics"), "--metrics-every", 5)
        # Stops in the middle of an epoch; what it wrote behind the checkpoint it is resumed from is void.
        self.train("--max-steps", 30, *where)
        self.train("--max-steps", 60, "--resume", *where)
        self.assertEqual(len(os.listdir(self.path("log"))), 2)
        steps = [scalar.step for scalar in read(self.path("log")).Scalars("train/loss")]
        self.assertEqual(steps, list(range(5, 65, 5)))
        # From the beginning into the same directory: only the new run is shown.
        self.train("--max-steps", 10, "--metrics-every", 5)
        steps = [scalar.step for scalar in read(self.path("log")).Scalars("train/loss")]
        self.assertEqual(steps, [5, 10])

    def test_workers_that_run_apart_say_how_far(self):
        result = marquee("launch", "--workers", 2, "--servers", 1, "--data", self.data, "--batch-size", 64, "--max-steps", 80,
                         "--mode", "ssp", "--staleness", 3, "--log-dir", self.path("log"), "--metrics-every", 1)
        self.assertEqual(result.code, 0, result.err)
        self.assertEqual(len(os.listdir(self.path("log"))), 1)
        staleness = [scalar.value for scalar in read(self.path("log")).Scalars("train/staleness")]
        self.assertEqual(len(staleness), 80)
        self.assertTrue(all(0 <= value <= 3 for value in staleness), staleness)


if __name__ == "__main__":
    unittest.main()
