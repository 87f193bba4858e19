#!/usr/bin/env python3
"""The bare library against the suite, over several launches.

Where pages lie in memory is decided once a process and moves a small product by some per cent, so one process cannot
tell whether the suite costs anything: the launch is the replicate. Each launch of gemm_bench interleaves the two loops;
this script prints the median over launches of the ratio suite / bare, the smallest and the largest, and the
probability of so many ratios on one side of 1 if there were no difference (sign test).
"""

import argparse
import math
import os
import re
import shlex
import statistics
import subprocess
import sys

ROW = re.compile(r"^(gemm/\S+)\s.*?\s(\d+\.\d+)\s+(\d+\.\d+)$")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="example: tests/bench/gemm_bench.py --bench build/release/tests/bench/gemm_bench --launches 9",
    )
    parser.add_argument("--bench", default="build/release/tests/bench/gemm_bench", help="the program (default: %(default)s)")
    parser.add_argument("--launches", type=int, default=7, help="launches of it (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=10, help="rounds of one launch (default: %(default)s)")
    parser.add_argument("--case", default=".", help="regular expression of cases (default: all)")
    parser.add_argument("--mpiexec", default="mpirun -n 1 --bind-to none", help="how to launch (default: '%(default)s')")
    return parser.parse_args()


def launch(arguments):
    """The ratios of one launch, by case."""
    mpiexec = shlex.split(arguments.mpiexec)
    if os.geteuid() == 0 and "mpirun" in mpiexec[0]:
        mpiexec.insert(1, "--allow-run-as-root")
    command = [*mpiexec, arguments.bench, "--case", arguments.case, "--rounds", str(arguments.rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"gemm_bench.py: {shlex.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    ratios = {}
    for line in done.stdout.splitlines():
        if match := ROW.match(line):
            ratios[match[1]] = float(match[2])
    if not ratios:
        sys.exit(f"gemm_bench.py: no case matches '{arguments.case}'")
    return ratios


def sign_probability(ratios):
    """Two-sided: of a split as uneven as this one, or more, by chance."""
    n = len(ratios)
    fewer = min(sum(ratio > 1 for ratio in ratios), sum(ratio < 1 for ratio in ratios))
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n)


def main():
    arguments = parse_arguments()
    if arguments.launches < 1 or arguments.rounds < 1:
        sys.exit("gemm_bench.py: --launches and --rounds are at least 1")
    launches = []
    for number in range(arguments.launches):
        launches.append(launch(arguments))
        print(f"launch {number + 1} of {arguments.launches} done", file=sys.stderr)
    width = max(len(case) for case in launches[0])
    print(f"suite / bare, median of {arguments.launches} launches of {arguments.rounds} rounds")
    print(f"{'case':<{width}}  median     min     max  sign test p")
    beyond = 0
    for case in launches[0]:
        ratios = [ratios[case] for ratios in launches]
        median = statistics.median(ratios)
        beyond += abs(median - 1) > 0.02
        print(f"{case:<{width}}  {median:6.4f}  {min(ratios):6.4f}  {max(ratios):6.4f}  {sign_probability(ratios):11.2f}")
    print(f"{len(launches[0]) - beyond} of {len(launches[0])} within 2 %")


if __name__ == "__main__":
    main()
