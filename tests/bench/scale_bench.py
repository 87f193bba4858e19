#!/usr/bin/env python3
"""How long the commands take that read files of a whole cluster, and how much memory.

Writes two synthetic runs of one cluster with writer_bench (the second 3 % slower, one GPU of it 10 %), runs `rackproof
compare`, `report` and `show` on them, and prints the time on the wall, the CPU time and the largest memory of each
(resource usage of the child). With --cold, the files leave the page cache before each command. Files of several GB: they
are deleted at the end.
"""

import argparse
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

SECONDS, MEBIBYTES = 20, 1024  # what is wanted of compare and report, on two cores


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="example: tests/bench/scale_bench.py --build build/release --ranks 10240 --cases 200 --samples 100",
    )
    parser.add_argument("--build", default="build/release", type=pathlib.Path, help="the build (default: %(default)s)")
    parser.add_argument("--ranks", type=int, default=10240, help="default: %(default)s")
    parser.add_argument("--cases", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--samples", type=int, default=100, help="of each rank and case (default: %(default)s)")
    parser.add_argument("--room", type=int, default=0, help="for samples, as --max-samples of a run (default: no more)")
    parser.add_argument("--ticks", type=int, default=0, help="of telemetry (default: none)")
    parser.add_argument("--folder", help="where the files go (default: a temporary folder)")
    parser.add_argument("--commands", default="compare,report,show",
                        help="of compare, report, show, accept, make-limits, limits (accept with the limits that make-limits "
                             "made); default: %(default)s")
    parser.add_argument("--cold", action="store_true", help="drop the files from the page cache before each command")
    return parser.parse_args()


def run(command, stdout):
    """Exit code, seconds on the wall, seconds of CPU, MiB at most (of the largest process)."""
    begin = time.monotonic()
    child = subprocess.Popen(command, stdout=stdout)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    # What is guarded reads in a child of its own, whose CPU time is in this usage once it has been waited for.
    return child.returncode, time.monotonic() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def forget(files):
    """Takes files out of the page cache."""
    for name in files:
        with open(name, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def commands_of(arguments, folder, base, new):
    rackproof = str(arguments.build / "rackproof")
    known = {
        "compare": [rackproof, "compare", base, "--to", new],
        "report": [rackproof, "report", base, new, "-o", str(folder / "report.html")],
        "show": [rackproof, "show", new],
        "accept": [rackproof, "accept", new],
        "make-limits": [rackproof, "accept", base, "--make-limits", str(folder / "limits.toml")],
        "limits": [rackproof, "accept", new, "--limits", str(folder / "limits.toml")],  # behind make-limits
    }
    for name in arguments.commands.split(","):
        if name not in known:
            sys.exit(f"scale_bench.py: no command '{name}'; there are {', '.join(known)}")
        yield name, known[name]


def main():
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="rackproof-scale-") as name:
        folder = pathlib.Path(name)
        files = []
        for launch, slow in (("1", []), ("2", ["--slowdown", "0.03", "--slow-rank", str(arguments.ranks // 2)])):
            files.append(str(folder / f"launch{launch}.h5"))
            shape = [f"--{key}={getattr(arguments, key)}" for key in ("ranks", "cases", "samples", "room", "ticks")]
            command = [str(arguments.build / "tests/bench/writer_bench"), files[-1], *shape, "--launch", launch, *slow]
            if subprocess.run(command, check=False).returncode != 0:
                sys.exit("scale_bench.py: writer_bench failed")
        print(f"\n{'command':<10}{'wall s':>8}{'CPU s':>8}{'MiB':>8}  exit code   (wanted: {SECONDS} s, {MEBIBYTES} MiB)")
        for what, command in commands_of(arguments, folder, *files):
            if arguments.cold:
                forget(files)
            with open(folder / f"{what}.txt", "wb") as out:
                code, wall, cpu, memory = run(command, out)
            print(f"{what:<10}{wall:8.1f}{cpu:8.1f}{memory:8.0f}  {code}", flush=True)
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"largest of any process, writer_bench among them: {largest:.0f} MiB")


if __name__ == "__main__":
    main()
