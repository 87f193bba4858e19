"""The form of what users see: help, list, show and info, with the numbers blanked."""

import re

import cli
from cli import blank, run

FILTER = ("--benchmark_filter=^allreduce/f32/(8B|1MiB)/out-of-place|^gemm/(f64|bf16)/m512n512k512|^tokens/tiny/f32",
          "--time-budget", "8s")


def form_of_header(text):
    """The labels at the left; the values are this machine's."""
    return "".join(line.split()[0] + " ...\n" for line in text.splitlines())


def form_of_tables(text):
    """Heads and rows, without the marks and values that differ from run to run."""
    lines = []
    for line in blank(text).splitlines():
        row = re.match(r"^(\S+/\S+) ([A-Z]+) ", line)
        if row:
            line = f"{row[1]} {row[2]} ..."
        if not line.startswith((" sampling", "~", "^", "=", "!", "*")):
            lines.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines) + "\n")


class Help(cli.TestCase):
    def test_help(self):
        for command in ((), ("run",), ("list",), ("info",), ("show",), ("network",), ("compare",), ("accept",), ("report",), ("recover",),
                        ("export",), ("selftest",)):
            with self.subTest(command=command):
                result = run(*command, "--help")
                self.assertEqual((result.returncode, result.stderr), (0, ""))
                self.assert_golden("-".join(("help", *command)) + ".txt", result.stdout)

    def test_version(self):
        result = run("--version")
        self.assertRegex(result.stdout, r"^rackproof \d+\.\d+\.\d+\n$")


class Tables(cli.TestCase):
    def test_list(self):
        result = run("list", "--device", "host", "--ranks", 2)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assert_golden("list.txt", re.sub(r" +", " ", result.stdout))

    def test_list_collectives(self):
        result = run("list", "--device", "host", "--ranks", 4, "--suite", "allreduce", "--collectives", "all", "--reductions", "sum,prod",
                     "--message-types", "f32,i8", "--message-sizes", "8B", "--groups", "every-2", "--arrivals", "one-late")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assert_golden("list-collectives.txt", re.sub(r" +", " ", result.stdout))

    def test_list_model_sizes(self):
        result = run("list", "--device", "host", "--ranks", 8, "--suite", "allreduce", "--message-sizes", "model", "--groups", "tp", "--model",
                     "llama-3-70b", "--tp", 8, "--batch", 64, "--message-types", "bf16")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assert_golden("list-model-sizes.txt", re.sub(r" +", " ", result.stdout))

    def test_list_tests_prints_names_alone(self):
        names = run("run", *FILTER, "--benchmark_list_tests", ranks=2)
        self.assertEqual((names.returncode, names.stderr), (0, ""))
        self.assert_golden("list_tests.txt", names.stdout)

    def test_run_and_show(self):
        out = self.folder / "x.h5"
        measured = run("run", *FILTER, "--out", out, "--label", "site=lab", ranks=2)
        self.assertEqual(measured.returncode, 0, measured.stderr)
        self.assertIn(f"Wrote {out}", measured.stderr)
        self.assertIn(f"rackproof show {out}", measured.stderr)
        shown = run("show", out)
        self.assertEqual((shown.returncode, shown.stderr), (0, ""))
        self.assertEqual(shown.stdout, measured.stdout)
        head, _, tables = shown.stdout.partition("\n\n")
        self.assert_golden("show.txt", form_of_header(head) + "\n" + form_of_tables(tables))
        self.assertIn("site=lab", shown.stdout)

    def test_tables_line_up(self):
        out = self.folder / "x.h5"
        self.assertEqual(run("run", *FILTER, "--out", out, ranks=2).returncode, 0)
        for options in ((), ("--ranks",)):
            for block in run("show", out, *options).stdout.split("\n\n"):
                rules = [line for line in block.splitlines() if re.fullmatch(r"[- ]*-{3,}[- ]*", line)]
                for rule in rules:
                    columns = [m.start() for m in re.finditer(r"(?<=-) +(?=-)", rule)]
                    after = block.splitlines()[block.splitlines().index(rule) + 1:]
                    for row in (line for line in after if "/" in line.split(" ")[0]):
                        for column in columns:
                            self.assertEqual((row + " " * 200)[column], " ", f"{row!r} crosses a column at {column}")

    def test_info(self):
        result = run("info")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for word in ("processor", "memory", "kernel", "libhdf5"):
            self.assertIn(word, result.stdout)


if __name__ == "__main__":
    cli.main()
