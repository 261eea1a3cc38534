"""The virtual environment is what requirements.txt says, and its packages go with Debian's NumPy and FAISS."""
import importlib
import importlib.metadata
import os
import re
import unittest

MODULES = ["faiss", "google.protobuf", "numpy", "onnx", "onnxruntime", "prometheus_client", "pynng", "safetensors.numpy",
           "tensorboard.backend.event_processing.event_accumulator"]


class Venv(unittest.TestCase):
    def test_versions_are_the_pinned_ones(self):
        with open(os.path.join(os.path.dirname(__file__), "requirements.txt")) as file:
            pinned = re.findall(r"^([\w-]+)==(\S+)$", file.read(), re.M)
        self.assertGreaterEqual(len(pinned), 7)
        for name, version in pinned:
            self.assertEqual(importlib.metadata.version(name), version, name)

    def test_packages_load(self):
        for name in MODULES:
            importlib.import_module(name)


if __name__ == "__main__":
    unittest.main()
