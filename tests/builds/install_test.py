"""An installed rackproof works from wherever its prefix is moved to."""

import os
import subprocess

import cli

BUILD = cli.RACKPROOF.parent


class Install(cli.TestCase):
    def test_prefix_can_be_moved(self):
        first = self.folder / "first"
        subprocess.run(["cmake", "--install", str(BUILD), "--prefix", str(first)], check=True, capture_output=True)
        moved = self.folder / "moved" / "elsewhere"
        moved.parent.mkdir()
        first.rename(moved)
        binary = moved / "bin" / "rackproof"
        self.assertTrue(os.access(binary, os.X_OK))
        header = subprocess.run(["readelf", "-d", str(binary)], check=True, capture_output=True, text=True).stdout
        self.assertNotIn(str(BUILD), header)
        self.assertNotIn(str(first), header)
        out = self.folder / "x.h5"
        measured = subprocess.run([*cli.MPIEXEC, "-n", "2", str(binary), "run", "--benchmark_filter=^gemm/f64/m512",
                                   "--time-budget", "2s", "--out", str(out)],
                                  env=cli.environment(), capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(measured.returncode, 0, measured.stderr)
        shown = subprocess.run([str(binary), "show", str(out)], capture_output=True, text=True, check=False)
        self.assertEqual(shown.stdout, measured.stdout)
        self.assertRegex(shown.stdout, r"gemm/f64/m512n512k512/plain +PASSED")


if __name__ == "__main__":
    cli.main()
