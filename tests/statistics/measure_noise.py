#!/usr/bin/python3
"""Measures the noise between launches of one build on this machine: the log-deviations of every case's time.

    measure_noise.py LAUNCHES COMMAND... > launch_noise.csv

COMMAND is a `mpirun ... rackproof run ...` without --out, on a machine that does nothing else. Every launch is a line: of
each case log(time / geometric mean over launches)."""

import math
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np


def times_of(path):
    """{case: s}, as `rackproof show` prints them."""
    times = {}
    with h5py.File(path) as file:
        for suite in file["suites"].values():
            for i, name in enumerate(suite["case"].asstr()[:]):
                if suite["status"][i] != 1 or "/again" in name or "/apart" in name:
                    continue
                if suite["collective"][i]:
                    times[name] = np.nanmedian(suite["figure_time"][i])
                else:
                    ranks = [np.nanmedian(rank) for rank in suite["time"][i] if np.isfinite(rank).any()]
                    times[name] = np.median(ranks)
    return times


def main():
    if len(sys.argv) < 3 or not sys.argv[1].isdigit():
        sys.exit(__doc__)
    count, command = int(sys.argv[1]), sys.argv[2:]
    launches = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            out = Path(folder) / f"{i}.h5"
            subprocess.run([*command, "--out", str(out)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            launches.append(times_of(out))
            print(f"launch {i + 1} of {count}", file=sys.stderr)
    names = [name for name in launches[0] if all(name in launch for launch in launches)]
    middle = {name: np.mean([math.log(launch[name]) for launch in launches]) for name in names}
    shown = " ".join(f"'{word}'" if any(c in word for c in "^|()*") else word for word in command)
    print(f"# log(time / geometric mean) of {count} launches: measure_noise.py {count} {shown}")
    print("launch," + ",".join(names))
    for i, launch in enumerate(launches):
        print(f"{i + 1}," + ",".join(f"{math.log(launch[name]) - middle[name]:.6f}" for name in names))


if __name__ == "__main__":
    main()
