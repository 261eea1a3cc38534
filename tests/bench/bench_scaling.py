#!/usr/bin/env python3
"""What a rating costs: ranks that share this machine's cores, and jobs that grow.

Ranks are held against one process on all cores, and many ranks against few; the runs of a comparison take turns, and
the ratio is the median of the rounds'. The other cases tell the time of a rating as one size of the job grows, on
generated data. Steps only: without reading the data and without evaluation.

CMake puts it into build/bench, beside the programs; README.md here has the rules that it keeps.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

BUILD = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RUN_LIMIT_S = 300
CORES = len(os.sched_getaffinity(0))
BATCH, LANES = 4096, 8


def program(name):
    return os.path.join(BUILD, "bin", name)


def output_of(command, **options):
    return subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                          timeout=RUN_LIMIT_S, check=True, **options).stdout


class Work:
    """Generated or given data, and training runs on it that tell ratings a second."""

    def __init__(self, options, scratch):
        self.options, self.scratch, self.made = options, scratch, {}

    def data(self, users, movies, ratings):
        size = (users, movies, ratings)
        if size not in self.made:
            self.made[size] = os.path.join(self.scratch, "-".join(map(str, size)))
            output_of([program("marquee"), "synth", "--out", self.made[size], "--users", users, "--movies", movies,
                       "--ratings", ratings])
        return self.made[size]

    def rate(self, data, before=(), after=()):
        """One run: `before` and the program, then the options in common, then `after`."""
        batch = 64 if self.options.smoke else BATCH
        metrics = os.path.join(self.scratch, "metrics")
        output_of([*before, "--data", data, "--no-cache", "--epochs", 1, "--batch-size", batch, "--lanes", LANES, "--seed", 7,
                   "--dump-metrics", metrics, *after], stderr=subprocess.DEVNULL)
        with open(metrics, encoding="utf-8") as file:
            rate = json.loads(file.readlines()[-1])["ratings_per_second"]
        os.remove(metrics)
        return rate

    def process(self, data):
        return self.rate(data, [program("marquee"), "train", "--threads", CORES])

    def ranks(self, data, count, *after):
        return self.rate(data, ["mpirun", "-n", count, program("worker")], after)


def report(case, parameters, unit, samples, better_high, limit=None):
    """One line of README.md's format. limit: (name, value)."""
    median = statistics.median(samples)
    ordered = sorted(samples, reverse=better_high)
    line = {"bench": "bench_scaling", "case": case, "parameters": parameters, "unit": unit,
            "higher_is_better": better_high, "median": median, "p99": ordered[-1], "n": len(samples),
            "limit": None, "ratio": None, "holds": None}
    if limit:
        holds = median >= limit[1] if better_high else median <= limit[1]
        line.update(limit={"name": limit[0], "value": limit[1]}, ratio=median / limit[1], holds=holds)
    print(json.dumps(line), flush=True)


def ranks_that_share_cores(work, data):
    rounds = []
    for _ in range(work.options.rounds):
        rounds.append((work.process(data), work.ranks(data, 2), work.ranks(data, 8)))
    about = {"batch": BATCH, "lanes": LANES, "cores": CORES}
    report("ranks", {"ranks": 2, **about}, "of one process", [two / one for one, two, _ in rounds], True,
           (f"one process, {CORES} threads", 0.6))
    report("ranks", {"ranks": 8, **about}, "of 2 ranks", [eight / two for _, two, eight in rounds], True,
           ("2 ranks", 0.7))


def growth(work, case, settings, run):
    """Microseconds a rating for every setting, which take turns."""
    samples = [[] for _ in settings]
    for _ in range(work.options.rounds):
        for setting, taken in zip(settings, samples):
            taken.append(1e6 / run(setting))
    for setting, taken in zip(settings, samples):
        report(case, {case: setting, "batch": BATCH, "lanes": LANES, "cores": CORES}, "us/rating", taken, False)


def grow_all(work, data):
    usual = (6000, 4000, 400000)
    cases = {
        "users": ((6000, 60000, 300000), lambda n: work.process(work.data(n, *usual[1:]))),
        "movies": ((4000, 40000, 200000), lambda n: work.process(work.data(usual[0], n, usual[2]))),
        "ratings": ((200000, 800000, 3200000), lambda n: work.process(work.data(*usual[:2], n))),
        "workers": ((1, 2, 4, 8), lambda n: work.ranks(data, n)),
        "servers": ((1, 2, 4, 8), lambda n: work.ranks(data, 8, "--embedded-servers", n)),
    }
    for case, (settings, run) in cases.items():
        if work.options.only in (None, case):
            growth(work, case, settings, run)


def options_of():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the ranks alone, one round")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: tries the program, measures nothing")
    parser.add_argument("--seconds", type=float, help="not used: a run is an epoch")
    parser.add_argument("--only", metavar="CASE", help="ranks, users, movies, ratings, workers or servers")
    parser.add_argument("--data", metavar="DIR", help="for the cases that grow no data (default: generated)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    options.rounds = 1 if options.smoke or options.quick else options.rounds
    return options


def main():
    options = options_of()
    if not shutil.which("mpirun"):
        print("bench_scaling: no mpirun (Debian: mpich)", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        work = Work(options, scratch)
        data = work.data(200, 100, 2000) if options.smoke else options.data or work.data(6000, 4000, 1000000)
        if options.only in (None, "ranks"):
            ranks_that_share_cores(work, data)
        if not options.quick and not options.smoke:
            grow_all(work, data)
    return 0


sys.exit(main())
