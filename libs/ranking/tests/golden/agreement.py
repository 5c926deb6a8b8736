"""Makes agreement.json: weighted kappas of two judges by scikit-learn 1.9.

    python agreement.py > agreement.json
"""
import json

import numpy as np
from sklearn.metrics import cohen_kappa_score


def main():
    rng = np.random.default_rng(5)
    cases = []
    for n in [4, 10, 50, 300]:
        for noise in np.linspace(0.05, 1.0, 10):
            first = rng.integers(0, 4, n)
            # Both ends of the scale, so that some disagreement is to be expected.
            first[:2] = [0, 3]
            second = np.where(rng.random(n) < noise, rng.integers(0, 4, n), first)
            kappa = lambda weights: cohen_kappa_score(first, second, labels=[0, 1, 2, 3], weights=weights)
            cases.append({"first": first.tolist(), "second": second.tolist(), "linear": kappa("linear"),
                          "quadratic": kappa("quadratic")})
    print(json.dumps(cases))


main()
