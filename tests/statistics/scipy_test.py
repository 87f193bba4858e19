"""The statistics of verdicts against scipy and against their definitions: equal to 1e-9."""

import itertools
import math
import os
import subprocess
import unittest

import numpy as np
from scipy import stats

PROGRAM = os.environ["STATISTICS_VALUES"]
SIZES = ((1, 1), (1, 5), (3, 3), (4, 4), (5, 9), (10, 10), (12, 7), (20, 20), (30, 11))


def ask(questions):
    """One answer, a list of words, a question."""
    text = "".join(f"{question}\n" for question in questions)
    done = subprocess.run([PROGRAM], input=text, capture_output=True, text=True, check=True, timeout=120)
    answers = [line.split() for line in done.stdout.splitlines()]
    assert len(answers) == len(questions), done.stdout
    return answers


def words(values):
    return " ".join(repr(float(value)) for value in values)


def samples(seed, n, m, shift=0.3, decimals=None):
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=n), generator.normal(shift, size=m)
    return (x, y) if decimals is None else (np.round(x, decimals), np.round(y, decimals))


def permutation_p(x, y):
    """Over all ways to deal the values out, by scipy's own permutation test on the rank sum."""
    def rank_sum(a, b, axis):
        ranks = stats.rankdata(np.concatenate((a, b), axis=axis), axis=axis)
        return np.take(ranks, range(a.shape[axis]), axis=axis).sum(axis=axis)
    return stats.permutation_test((x, y), rank_sum, permutation_type="independent", n_resamples=np.inf,
                                  alternative="two-sided", vectorized=True, batch=20000).pvalue


def interval_by_inversion(x, y, confidence, method):
    """All shifts of y that scipy's test does not reject: between differences y - x the p-value does not change."""
    differences = np.sort(np.subtract.outer(y, x).ravel())
    width = differences[-1] - differences[0] + 1.0
    between = [differences[0] - width, *(differences[:-1] + differences[1:]) / 2, differences[-1] + width]
    kept = [stats.mannwhitneyu(x, y - shift, alternative="two-sided", method=method).pvalue > 1 - confidence
            for shift in between]
    ends = [-math.inf, *differences, math.inf]
    return ends[kept.index(True)], ends[len(kept) - kept[::-1].index(True)]


def holm_by_closed_testing(p):
    """A hypothesis is rejected when every intersection that holds it is, each by Bonferroni's test."""
    adjusted = []
    for i in range(len(p)):
        largest = 0.0
        for size in range(1, len(p) + 1):
            for subset in itertools.combinations(range(len(p)), size):
                if i in subset:
                    largest = max(largest, min(1.0, size * min(p[j] for j in subset)))
        adjusted.append(largest)
    return adjusted


def benjamini_hochberg_by_definition(p):
    """The smallest level at which the step-up procedure rejects."""
    n, order = len(p), sorted(p)
    levels = sorted({min(1.0, n * order[k] / (k + 1)) for k in range(n)})

    def rejects(level, value):
        below = [order[k] for k in range(n) if order[k] <= (k + 1) * level / n * (1 + 1e-15)]
        return bool(below) and value <= max(below)
    return [next(level for level in levels if rejects(level, value)) for value in p]


class Statistics(unittest.TestCase):
    def assert_close(self, got, wanted, message=""):
        self.assertEqual(len(got), len(wanted), message)
        for a, b in zip(map(float, got), wanted):
            self.assertTrue(a == b or abs(a - b) <= 1e-9 * max(1.0, abs(b)), f"{a} is not {b} {message}")

    def test_mann_whitney_exact(self):
        pairs = [samples(seed, n, m) for seed, (n, m) in enumerate(SIZES)]
        pairs += [samples(90 + i, 10, 10, shift) for i, shift in enumerate((0.0, 1.0, 2.5, 9.0))]
        for (x, y), got in zip(pairs, ask([f"mann_whitney {words(x)} ; {words(y)}" for x, y in pairs])):
            wanted = stats.mannwhitneyu(x, y, alternative="two-sided", method="exact")
            self.assert_close(got[:2], [wanted.statistic, wanted.pvalue], f"{len(x)} against {len(y)}")
            # Small ones are right in their relative error too.
            self.assertLess(abs(float(got[1]) / wanted.pvalue - 1), 1e-9)
            self.assertEqual(got[2], "exact")

    def test_mann_whitney_with_ties(self):
        pairs = [samples(seed, n, m, 0.8, decimals=0 if seed % 2 else 1)
                 for seed, (n, m) in enumerate(((3, 3), (4, 4), (2, 8), (8, 2), (6, 6), (7, 5), (8, 8)))]
        pairs = [(np.append(x, 0.5), np.append(y, 0.5)) for x, y in pairs] + [(np.ones(5), np.ones(4))]
        for (x, y), got in zip(pairs, ask([f"mann_whitney {words(x)} ; {words(y)}" for x, y in pairs])):
            self.assertEqual(got[2], "exact_with_ties")
            self.assert_close(got[:2], [stats.mannwhitneyu(x, y).statistic, permutation_p(x, y)], f"{x} {y}")

    def test_mann_whitney_of_many(self):
        pairs = [samples(1, 60, 55, 0.2), samples(2, 200, 80, 0.4, decimals=1), samples(3, 25, 30, 0.5, decimals=1),
                 samples(4, 51, 4)]
        for (x, y), got in zip(pairs, ask([f"mann_whitney {words(x)} ; {words(y)}" for x, y in pairs])):
            wanted = stats.mannwhitneyu(x, y, alternative="two-sided", method="asymptotic", use_continuity=True)
            self.assertEqual(got[2], "normal")
            self.assert_close(got[:2], [wanted.statistic, wanted.pvalue], f"{len(x)} against {len(y)}")

    def test_hodges_lehmann(self):
        cases = [(samples(seed, n, m), confidence, "exact") for seed, (n, m) in enumerate(SIZES[2:8])
                 for confidence in (0.9, 0.95, 0.99)]
        cases.append((samples(20, 52, 12), 0.95, "asymptotic"))
        got = ask([f"hodges_lehmann {confidence} {words(x)} ; {words(y)}" for (x, y), confidence, _ in cases])
        for ((x, y), confidence, method), answer in zip(cases, got):
            low, high = interval_by_inversion(x, y, confidence, method)
            wanted = [float(np.median(np.subtract.outer(y, x))), low, high]
            self.assert_close(answer, wanted, f"{len(x)} against {len(y)} at {confidence}")

    def test_hodges_lehmann_says_nothing_of_too_few(self):
        x, y = samples(1, 3, 3)
        (answer,) = ask([f"hodges_lehmann 0.95 {words(x)} ; {words(y)}"])
        self.assertEqual(answer[1:], ["-inf", "inf"])

    def test_smallest_p(self):
        sizes = ((1, 1), (3, 3), (4, 4), (10, 10), (5, 12))
        for (n, m), answer in zip(sizes, ask([f"smallest_p {n} {m}" for n, m in sizes])):
            self.assert_close(answer, [min(1.0, 2 / math.comb(n + m, n))])
            lowest = stats.mannwhitneyu(range(n), range(100, 100 + m), method="exact").pvalue
            self.assert_close(answer, [lowest])

    def test_multiple_testing(self):
        generator = np.random.default_rng(5)
        families = [generator.uniform(size=n) ** 3 for n in (1, 2, 5, 9)]
        families += [[0.01, 0.04, 0.03, 0.005], [0.02] * 4, [0.5, 1.0, 1.0], [1e-7, 0.2, 1e-3, 1e-3, 0.9]]
        questions = [f"{name} {words(p)}" for p in families for name in ("holm", "benjamini_hochberg")]
        answers = ask(questions)
        for i, p in enumerate(families):
            self.assert_close(answers[2 * i], holm_by_closed_testing(list(p)), f"Holm of {p}")
            self.assert_close(answers[2 * i + 1], benjamini_hochberg_by_definition(list(p)), f"BH of {p}")
            if hasattr(stats, "false_discovery_control"):  # scipy 1.11
                self.assert_close(answers[2 * i + 1], stats.false_discovery_control(p))


if __name__ == "__main__":
    unittest.main(verbosity=2)
