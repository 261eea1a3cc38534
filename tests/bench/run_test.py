"""What run's comparison with a training peer takes from the built marquee, on generated data.

usage: run_test.py BUILD
"""
import argparse
import importlib.machinery
import importlib.util
import os
import subprocess
import sys
import tempfile


def load_run():
    loader = importlib.machinery.SourceFileLoader("run", os.path.join(os.path.dirname(os.path.abspath(__file__)), "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("run", loader))
    loader.exec_module(module)
    return module


def main():
    run, build = load_run(), sys.argv[1]
    with tempfile.TemporaryDirectory() as data:
        subprocess.run([os.path.join(build, "bin", "marquee"), "synth", "--out", data, "--users", "60", "--movies", "40",
                        "--ratings", "1000"], check=True, stdout=subprocess.DEVNULL)
        options = argparse.Namespace(build=build, data=data)
        rate = run.marquee_train(options, 64, 5)
        assert rate > 0, f"5 steps of an epoch of 14: {rate} ratings a second"


main()
