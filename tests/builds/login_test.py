"""The build for login nodes: the result commands, with no library of the measuring side."""

import os
import subprocess
import unittest

import cli

LOGIN = os.environ["RACKPROOF_LOGIN"]


def login(*arguments):
    return subprocess.run([LOGIN, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)


class Login(cli.TestCase):
    def test_needs_no_library_of_the_measuring_side(self):
        for binary, needed in ((LOGIN, False), (cli.RACKPROOF, True)):
            libraries = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout
            self.assertIn("libhdf5", libraries)
            for name in ("libmpi", "libdnnl", "libgomp", "libbenchmark"):
                self.assertEqual(name in libraries, needed, f"{name} of {binary}")
            self.assertNotIn("libopenblas", libraries)  # loaded by the measuring side alone, when it starts

    def test_shows_what_the_measuring_build_wrote(self):
        out = self.folder / "x.h5"
        written = cli.run("run", "--benchmark_filter=^gemm/f64/m512", "--time-budget", "2s", "--out", out)
        self.assertEqual(written.returncode, 0, written.stderr)
        for more in ((), ("--ranks",), ("--case", "gemm")):
            here = login("show", out, *more)
            there = cli.run("show", out, *more)
            self.assertEqual((here.returncode, here.stderr), (0, ""))
            self.assertIn("gemm/f64/m512", here.stdout)
            self.assertEqual(here.stdout, there.stdout)

    def test_has_the_network_command(self):
        refused = login("network", self.folder / "missing.h5")
        self.assertEqual(refused.returncode, 2, refused.stderr)
        self.assertRegex(refused.stderr, r"^rackproof: .*missing\.h5.*\n$")

    def test_tells_what_the_machine_is(self):
        info = login("info")
        self.assertEqual((info.returncode, info.stderr), (0, ""))
        self.assertRegex(info.stdout, r"(?m)^ +kernel|kernel ")

    def test_says_why_it_cannot_measure(self):
        refused = login("run")
        self.assertEqual(refused.returncode, 2, refused.stderr)
        self.assertRegex(refused.stderr, r"^rackproof: .*RACKPROOF_MPI.*\n$")


if __name__ == "__main__":
    unittest.main(verbosity=2)
