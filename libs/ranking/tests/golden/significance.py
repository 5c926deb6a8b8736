"""Makes significance.json: paired tests by scipy 1.17, the randomisation test by full enumeration of the signs, and
Holm's correction as the largest of the scaled p-values up to each rank.

    python significance.py > significance.json
"""
import itertools
import json

import numpy as np
from scipy import stats


def holm(p_values):
    p = np.asarray(p_values)
    scaled = lambda i: min(1.0, (p >= p[i]).sum() * p[i])
    return [max(scaled(j) for j in range(len(p)) if p[j] <= p[i]) for i in range(len(p))]


def main():
    rng = np.random.default_rng(3)
    t_tests = []
    for n in [2, 3, 5, 11, 30, 200, 1000]:
        for shift in [0.0, 0.05, 0.2]:
            differences = np.round(rng.normal(shift, 0.4, n), 4)
            t, p = stats.ttest_rel(differences, np.zeros(n))
            above = stats.ttest_1samp(differences, 0, alternative="greater").pvalue
            interval = stats.t.interval(0.95, n - 1, differences.mean(), stats.sem(differences))
            t_tests.append({"differences": differences.tolist(), "t": t, "p": p, "p_above": above, "interval": interval})
    randomisation = []
    for n, shift in [(4, 0.4), (8, 0.2), (12, 0.1), (12, 0.3), (13, 0.0)]:
        differences = np.round(rng.normal(shift, 0.4, n), 2)
        signs = np.array(list(itertools.product([1, -1], repeat=n)))
        extreme = np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9
        randomisation.append({"differences": differences.tolist(), "p": extreme.mean()})
    adjusted = []
    for n in [1, 2, 5, 9]:
        p_values = np.round(rng.uniform(0, 0.3, n) ** 2, 5).tolist()
        adjusted.append({"p_values": p_values, "adjusted": holm(p_values)})
    adjusted.append({"p_values": [0.01, 0.01, 0.04, 0.04], "adjusted": holm([0.01, 0.01, 0.04, 0.04])})
    print(json.dumps({"t_tests": t_tests, "randomisation": randomisation, "holm": adjusted}))


main()
