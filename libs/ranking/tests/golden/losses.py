"""Makes losses.json: the rank and distillation losses written with torch operations, and their gradients by autograd.

    python losses.py > losses.json
"""
import json

import torch
import torch.nn.functional as F

MARGIN, ALPHA, TEMPERATURE = 0.7, 0.3, 2.5
GEN = torch.Generator().manual_seed(11)


def differences(x):
    return x[:, None] - x[None, :]


def preferred(grades):
    return differences(grades) > 0


def per_pair(pair, lists):
    terms = torch.cat([pair(differences(s)[preferred(g)]) for s, g in lists])
    return terms.mean() if len(terms) else sum(s.sum() * 0 for s, _ in lists)


def softmax(lists):
    targets = [(s, torch.exp2(g) - 1) for s, g in lists]
    return torch.stack([F.cross_entropy(s, gain / gain.sum()) for s, gain in targets if gain.sum() > 0]).mean()


def lambda_of(s, g):
    gain = torch.exp2(g) - 1
    discount = 1 / torch.log2(torch.arange(len(s), dtype=torch.float64) + 2)
    ideal = (gain.sort(descending=True).values * discount).sum()
    rank = torch.empty(len(s), dtype=torch.long)
    rank[s.detach().argsort(descending=True, stable=True)] = torch.arange(len(s))
    change = (differences(gain) * differences(discount[rank])).abs() / ideal
    return (change * F.softplus(-differences(s)))[preferred(g)].sum()


def lambda_loss(lists):
    return torch.stack([lambda_of(s, g) for s, g in lists if preferred(g).any()]).mean()


def margin_mse(lists):
    terms = []
    for s, t in lists:
        i, j = torch.triu_indices(len(s), len(s), offset=1)
        terms.append(((t[i] - t[j]) - (s[i] - s[j])) ** 2)
    return torch.cat(terms).mean()


def kl(temperature, lists):
    terms = [F.kl_div(F.log_softmax(s / temperature, 0), F.log_softmax(t / temperature, 0), reduction="sum",
                      log_target=True) for s, t in lists if len(s) > 1]
    return temperature**2 * torch.stack(terms).mean()


def pointwise_mse(lists):
    return F.mse_loss(torch.cat([s for s, _ in lists]), torch.cat([t for _, t in lists]))


# Each loss as pipeline.toml writes it, beside its form here.
LOSSES = [
    ({"name": "hinge", "margin": MARGIN}, lambda lists: per_pair(lambda d: F.relu(MARGIN - d), lists)),
    ({"name": "logistic"}, lambda lists: per_pair(lambda d: F.softplus(-d), lists)),
    ({"name": "softmax"}, softmax),
    ({"name": "lambda"}, lambda_loss),
    ({"name": "pointwise_mse"}, pointwise_mse),
    ({"name": "margin_mse"}, margin_mse),
    ({"name": "hybrid", "alpha": ALPHA},
     lambda lists: ALPHA * pointwise_mse(lists) + (1 - ALPHA) * margin_mse(lists)),
    ({"name": "kl"}, lambda lists: kl(1, lists)),
    ({"name": "kl", "temperature": TEMPERATURE}, lambda lists: kl(TEMPERATURE, lists)),
]


def main():
    cases = []
    for sizes in [[5], [2, 1, 8], [3, 12, 4, 6]]:
        scores = torch.randn(sum(sizes), generator=GEN).float()
        scores[1] = scores[0]
        labels = torch.randint(0, 5, (sum(sizes),), generator=GEN).float()
        case = {"offsets": [0, *torch.tensor(sizes).cumsum(0).tolist()], "scores": scores.tolist(),
                "labels": labels.tolist(), "losses": []}
        for loss, function in LOSSES:
            leaf = scores.double().requires_grad_()
            value = function(list(zip(leaf.split(sizes), labels.double().split(sizes))))
            (grad,) = torch.autograd.grad(value, leaf)
            case["losses"].append({"loss": loss, "value": value.item(), "grad": grad.tolist()})
        cases.append(case)
    print(json.dumps(cases))


main()
