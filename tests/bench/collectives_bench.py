#!/usr/bin/python3
"""All-reduce by rackproof and by its peers, side by side: interleaved launches on one machine, one table with ratios.

usage: collectives_bench.py RACKPROOF [--osu OSU_ALLREDUCE] [--imb IMB-MPI1] [--reprompi MPIBENCHMARK]
                            [--launches 10] [--ranks 2] [--sizes 8,1024,1048576,67108864] [--mpirun "mpirun ..."]
                            [--seconds 2] [--json FILE]

A launch is one mpirun of one program for one message size; in each round every program is launched once for every size,
in an order drawn anew. All use float32 sums, out of place, one buffer that stays warm (rackproof: --buffers hot), and the
same level of thread support, which Open MPI's latencies depend on. Each peer is compared with the quantity that it measures:

  OSU (7.4)  times one operation at a time, with a barrier behind it, and prints the mean over operations and ranks of a
             rank's own time. rackproof barrier: the same mean, of --start barrier.
  IMB        with -sync off: operations back to back, the mean over ranks (t_avg). rackproof streamed: the median over rows
             of operations back to back, of the slowest rank.
  ReproMPI   round-time scheme with HCA3 clocks, global run time, the median. rackproof isolated: the median.

The table has, for each size, the median over launches of each program's figure, the ratio of ours to theirs (the median
over rounds of the ratio within a round), and the spread between launches: (largest quartile - smallest) / median.
"""
import argparse
import json
import os
import random
import re
import shlex
import statistics
import subprocess
import sys
import tempfile

import h5py
import numpy as np


def size_text(size):
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}B"


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.launch = [*shlex.split(arguments.mpirun), "-n", str(arguments.ranks)]

    def output_of(self, command, **environment):
        result = subprocess.run(self.launch + command, capture_output=True, text=True, check=False, timeout=600,
                                stdin=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1",
                                     "OMPI_MPI_THREAD_LEVEL": "1", **environment})
        if result.returncode != 0:
            sys.exit(f"collectives_bench.py: {' '.join(command)} ended with {result.returncode}:\n"
                     f"{result.stdout}{result.stderr}")
        return result.stdout

    def iterations(self, size):
        """OSU's own choice, but not for minutes."""
        return 1000 if size <= 8192 else 100 if size <= 1 << 22 else 20

    def run_rackproof(self, size, modes, *options):
        """The cases of one launch: {mode: (figure times, times of ranks)}, in us."""
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "x.h5")
            self.output_of([self.arguments.rackproof, "run", "--suite", "allreduce", "--message-sizes", size_text(size),
                            "--message-types", "f32", "--modes", ",".join(modes), "--buffers", "hot",
                            "--benchmark_filter=/out-of-place", "--time-budget",
                            f"{len(modes) * self.arguments.seconds}s", "--precision", "0.5%", "--progress", "never",
                            "--out", out, *options])
            with h5py.File(out) as file:
                suite = file["suites/allreduce"]
                if any(status != 1 for status in suite["status"]):
                    sys.exit(f"collectives_bench.py: not all cases passed: {list(suite['case'].asstr())}")
                return {mode: (1e6 * suite["figure_time"][i], 1e6 * suite["time"][i])
                        for i, mode in enumerate(suite["mode"].asstr())}

    def rackproof(self, size):
        return {f"rackproof {mode}": float(np.nanmedian(figures))
                for mode, (figures, _) in self.run_rackproof(size, ["isolated", "streamed"]).items()}

    def rackproof_barrier(self, size):
        (_, times), = self.run_rackproof(size, ["isolated"], "--start", "barrier").values()
        return {"rackproof barrier": float(np.nanmean(times))}

    def osu(self, size):
        text = self.output_of([self.arguments.osu, "-m", f"{size}:{size}", "-T", "mpi_float",
                               "-i", str(self.iterations(size)), "-x", str(max(2, self.iterations(size) // 10)),
                               "-M", str(1 << 30)])
        return {"OSU": float(re.search(rf"^{size}\s+([\d.]+)", text, re.MULTILINE).group(1))}

    def imb(self, size):
        with tempfile.NamedTemporaryFile("w", suffix=".lengths") as lengths:
            lengths.write(f"{size}\n")
            lengths.flush()
            # Without -msglog it cuts lengths down to 4 MiB.
            text = self.output_of([self.arguments.imb, "Allreduce", "-thread_level", "funneled", "-msglen", lengths.name,
                                   "-msglog", f"1:{max(2, (size - 1).bit_length())}",
                                   "-iter", str(self.iterations(size)), "-iter_policy", "off", "-sync", "off",
                                   "-time", "60", "-mem", "4"])
        row = re.search(rf"^\s*{size}\s+\d+\s+[\d.]+\s+[\d.]+\s+([\d.]+)", text, re.MULTILINE)
        if row is None:
            sys.exit(f"collectives_bench.py: no row of {size} bytes in what IMB prints:\n{text}")
        return {"IMB": float(row.group(1))}

    def reprompi(self, size):
        library = os.environ.get("LD_LIBRARY_PATH", "")
        text = self.output_of([self.arguments.reprompi, "--calls-list=MPI_Allreduce", f"--msizes-list={size}",
                               "--datatype=MPI_FLOAT", "--operation=MPI_SUM", "--nrep=2000", "--proc-sync=roundtime",
                               "--clock-sync=HCA3", f"--rt-bench-time-ms={int(1000 * self.arguments.seconds)}",
                               "--runtime-type=global", "--summary=median"], LD_LIBRARY_PATH=library)
        row = [line.split() for line in text.splitlines() if line.strip().startswith("MPI_Allreduce")]
        return {"ReproMPI": 1e6 * float(row[-1][-1])}


def spread(values):
    if len(values) < 4:
        return float("nan")
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / statistics.median(values)


def print_table(figures, sizes, launches):
    print(f"{'size':>8}  {'program':<20} {'median us':>12} {'spread':>8} {'ours/theirs':>12}   of {launches} launches each")
    for size in sizes:
        ours = figures[size]
        for peer, mine in (("OSU", "rackproof barrier"), ("IMB", "rackproof streamed"),
                           ("ReproMPI", "rackproof isolated")):
            if peer not in ours:
                continue
            ratios = [a / b for a, b in zip(ours[mine], ours[peer])]
            print(f"{size_text(size):>8}  {peer:<20} {statistics.median(ours[peer]):12.4g} {spread(ours[peer]):8.1%}")
            print(f"{size_text(size):>8}  {mine:<20} {statistics.median(ours[mine]):12.4g} {spread(ours[mine]):8.1%} "
                  f"{statistics.median(ratios):12.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("rackproof")
    parser.add_argument("--osu")
    parser.add_argument("--imb")
    parser.add_argument("--reprompi")
    parser.add_argument("--launches", type=int, default=10)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each mode of rackproof, and for ReproMPI")
    parser.add_argument("--sizes", default="8,1024,1048576,67108864")
    parser.add_argument("--mpirun", default="mpirun --bind-to core" + (" --allow-run-as-root" if os.geteuid() == 0 else ""))
    parser.add_argument("--seed", type=int, default=1, help="of the order of launches")
    parser.add_argument("--json", help="keeps every figure of every launch")
    arguments = parser.parse_args()
    bench = Bench(arguments)
    sizes = [int(size) for size in arguments.sizes.split(",")]
    programs = [bench.rackproof, bench.rackproof_barrier] + [getattr(bench, name) for name in ("osu", "imb", "reprompi")
                                    if getattr(arguments, name)]
    figures = {size: {} for size in sizes}
    chance = random.Random(arguments.seed)
    for launch in range(arguments.launches):
        turns = [(program, size) for program in programs for size in sizes]
        chance.shuffle(turns)
        for i, (program, size) in enumerate(turns):
            if sys.stderr.isatty():
                print(f"\rround {launch + 1}/{arguments.launches}, launch {i + 1}/{len(turns)}", end="", file=sys.stderr)
            for name, figure in program(size).items():
                figures[size].setdefault(name, []).append(figure)
    if sys.stderr.isatty():
        print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    print_table(figures, sizes, arguments.launches)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({size_text(size): figures[size] for size in sizes}, file, indent=1)


if __name__ == "__main__":
    main()
