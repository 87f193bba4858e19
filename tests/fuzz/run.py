#!/usr/bin/env python3
"""Fuzzes the reader of result files: tests/fuzz/run.py [--seconds N] [--keep FOLDER].

Needs the preset `fuzz` (clang) and the release build. libFuzzer changes files that the real writer wrote, for N seconds.
Then every input that ended in a crash, a hang or too much memory is looked at:
  - Was it our code? The first frame of the sanitizer's stack that is neither the sanitizer's nor the C library's decides.
    That fails this program, and so does an error that breaks a promise (no usage error, no single line).
  - Was it HDF5's? That cannot be mended here, and is what the guard of the commands is for: the built `rackproof` must
    refuse the file, or show it, in one line and with exit code 0 or 2; with its checksums as they are, and made right.
Without crashes, the commands are tried on some of the inputs that libFuzzer found interesting."""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FRAME = re.compile(r"^\s*#\d+ 0x[0-9a-f]+ +(?:in )?(.*)$", re.MULTILINE)
# Of the sanitizers, libFuzzer, and the C and C++ libraries: whoever called these is to blame.
NOBODY = re.compile(r"__asan|__ubsan|__sanitizer|__interceptor|sanitizer_common|asan_|ubsan_|fuzzer::|libc\.so|libstdc\+\+|"
                    r"sysdeps/|^_*(raise|abort|gsignal|malloc|calloc|realloc|free|mem\w+|str\w+|operator (new|delete).*|"
                    r"pthread_\w+)[ (]|libz\.so")


def blame(stderr):
    """'hdf5', 'ours' and the frame; 'unknown' where there is no stack."""
    if "broken promise:" in stderr:
        return "ours", re.search(r"broken promise: .*", stderr)[0]
    frames = FRAME.findall(stderr)
    # The fuzzer's stand-in for a function of HDF5's, which is given the length that HDF5 believed.
    inside = [i for i, frame in enumerate(frames) if "H5F_get_checksums" in frame]
    for frame in frames[inside[0] + 1 if inside else 0:]:
        if "libhdf5" in frame:
            return "hdf5", frame
        if not NOBODY.search(frame):
            return "ours", frame
    return "unknown", stderr[-300:]


def refused_or_shown(rackproof, path):
    """None, or what is wrong with how the command takes the file."""
    for command in (["show"], ["show", "--ranks"], ["export", "--format", "json", "--allow-fake"]):
        result = subprocess.run([rackproof, command[0], path, *command[1:], "--max-time", "5s", "--max-memory", "1GiB"],
                                capture_output=True, timeout=120, check=False)
        lines = result.stderr.decode(errors="replace").splitlines()
        if result.returncode not in (0, 2) or len(lines) != (1 if result.returncode else 0):
            return f"{' '.join(command)}: exit code {result.returncode}, {lines}"
        if result.returncode == 2 and result.stdout:
            return f"{' '.join(command)}: refused, and printed"
    return None


class Fuzzing:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.artifacts = folder / "artifacts"
        self.corpus = folder / "corpus"
        for path in (self.artifacts, self.corpus, folder / "seeds"):
            path.mkdir(parents=True, exist_ok=True)
        self.environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1:"
                                "max_allocation_size_mb=2048:handle_abort=1:symbolize=1",
                                UBSAN_OPTIONS="print_stacktrace=1")

    def fuzz(self):
        if not any((self.folder / "seeds").iterdir()):
            subprocess.run([self.options.examples, self.folder / "seeds"], check=True, timeout=60)
        log = subprocess.run(
            [self.options.fuzzer, self.corpus, self.folder / "seeds", "-fork=1", "-ignore_crashes=1", "-ignore_ooms=1",
             "-ignore_timeouts=1", f"-max_total_time={self.options.seconds}", "-timeout=20", "-rss_limit_mb=3000",
             "-malloc_limit_mb=100000", "-detect_leaks=0", "-max_len=1000000", f"-artifact_prefix={self.artifacts}/"],
            env=self.environment, capture_output=True, text=True, errors="replace", check=False)
        (self.folder / "log").write_text(log.stderr)
        rounds = [int(n) for n in re.findall(r"^#(\d+):? ", log.stderr, re.MULTILINE)]
        coverage = re.findall(r"cov: (\d+)", log.stderr)
        return (max(rounds) if rounds else 0), (int(coverage[-1]) if coverage else 0), log.stderr

    def sealed(self, path):
        """The same file with checksums that HDF5 accepts, and what the fuzzer says of it."""
        out = self.folder / "sealed.h5"
        out.unlink(missing_ok=True)
        result = subprocess.run([self.options.fuzzer, "-timeout=20", "-rss_limit_mb=3000", "-malloc_limit_mb=100000", path],
                                env=dict(self.environment, RACKPROOF_SEAL=str(out)), capture_output=True, text=True,
                                errors="replace", timeout=300, check=False)
        return out, result

    def judge(self, path):
        """(who, what) to blame; who is 'guard' where the command does not take the file as it must."""
        out, result = self.sealed(path)
        for one in (path, out):
            if one.exists() and (wrong := refused_or_shown(self.options.rackproof, one)):
                return "guard", wrong
        if result.returncode == 0:
            return "nobody", "it does not happen again"
        if "ERROR: libFuzzer: timeout" in result.stderr or "ERROR: libFuzzer: out-of-memory" in result.stderr:
            who, frame = blame(result.stderr)
            # Much to read is no defect; that the commands end in time and memory was seen above.
            return ("limits" if who != "unknown" else who), frame
        return blame(result.stderr)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60, help="of fuzzing (default: 60)")
    parser.add_argument("--keep", type=Path, help="folder for corpus and artifacts; given again, it goes on from there")
    parser.add_argument("--fuzzer", type=Path, default=ROOT / "build/fuzz/tests/fuzz/reader_fuzz")
    parser.add_argument("--examples", type=Path, default=ROOT / "build/release/tests/unit/example_files")
    parser.add_argument("--rackproof", type=Path, default=ROOT / "build/release/rackproof")
    options = parser.parse_args()
    for path in (options.fuzzer, options.examples, options.rackproof):
        if not path.exists():
            parser.error(f"there is no {path}; build the presets fuzz and release")
    return options


def run(options, folder):
    fuzzing = Fuzzing(options, folder)
    rounds, coverage, log = fuzzing.fuzz()
    found = sorted(path for path in fuzzing.artifacts.iterdir() if not path.name.startswith("slow-unit"))
    print(f"{rounds} inputs in {options.seconds} s, {coverage} edges of our code covered, {len(found)} ended badly", flush=True)
    if coverage == 0 or rounds < 100:
        print(f"the fuzzer did not work:\n{log[-3000:]}")
        return 1
    blamed = {}
    for path in found[:200]:
        who, what = fuzzing.judge(path)
        blamed.setdefault(who, []).append((path.name, what))
    for who, cases in sorted(blamed.items()):
        print(f"{who}: {len(cases)}")
        for name, what in cases[:10]:
            print(f"  {name}: {what}")
    # What was interesting and did not crash the fuzzer must not crash the command either.
    interesting = sorted(fuzzing.corpus.iterdir(), key=lambda path: path.name)
    wrong = [(path.name, what) for path in interesting[::max(1, len(interesting) // 25)]
             if (what := refused_or_shown(options.rackproof, path))]
    for name, what in wrong:
        print(f"guard: {name}: {what}")
    return 1 if wrong or {"ours", "guard", "unknown"} & set(blamed) else 0


def main():
    options = arguments()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
        return run(options, options.keep.resolve())
    with tempfile.TemporaryDirectory(prefix="rackproof-fuzz-") as folder:
        return run(options, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
