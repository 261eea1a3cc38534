"""Tries a benchmark program with tiny sizes: does it run, and does it print the lines that README.md here promises?

usage: smoke.py PROGRAM
"""
import json
import os
import subprocess
import sys

KINDS = {
    "bench": str, "case": str, "parameters": dict, "unit": str, "higher_is_better": bool, "median": (int, float),
    "p99": (int, float), "n": int, "limit": (dict, type(None)), "ratio": (int, float, type(None)),
    "holds": (bool, type(None)),
}


def check(line, program):
    found = json.loads(line)
    for name, kinds in KINDS.items():
        assert name in found and isinstance(found[name], kinds), f"{name}: not what it should be: {line}"
    assert found.keys() == KINDS.keys(), f"unknown members: {line}"
    assert found["bench"] == program, f"the bench is {program}: {line}"
    assert found["n"] > 0, f"no sample: {line}"
    return found["case"], json.dumps(found["parameters"], sort_keys=True)


def main():
    program = sys.argv[1]
    result = subprocess.run([program, "--smoke"], stdout=subprocess.PIPE, text=True, timeout=100)
    print(result.stdout, end="")
    assert result.returncode == 0, f"exit code {result.returncode}"
    cases = [check(line, os.path.basename(program)) for line in result.stdout.splitlines()]
    assert cases, "no case was measured"
    assert len(set(cases)) == len(cases), "two lines for one case with the same parameters"


main()
