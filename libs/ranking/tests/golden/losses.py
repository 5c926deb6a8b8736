"""Makes losses.json: the rank and distillation losses, those of sentence-transformers or written with torch operations,
and their gradients by autograd.

Needs torch and sentence-transformers 6.

    python losses.py > losses.json
"""
import functools
import json
import math
from unittest import mock

import torch
import torch.nn.functional as F
from sentence_transformers.cross_encoder import losses as sbert

MARGIN, ALPHA, TEMPERATURE, LABEL_TEMPERATURE, MU = 0.7, 0.3, 2.5, 0.8, 4.0
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


def kl(temperature, lists, label_temperature=None):
    terms = [F.kl_div(F.log_softmax(s / temperature, 0), F.log_softmax(t / (label_temperature or temperature), 0),
                      reduction="sum", log_target=True) for s, t in lists if len(s) > 1]
    return temperature**2 * torch.stack(terms).mean()


def pointwise_mse(lists):
    return F.mse_loss(torch.cat([s for s, _ in lists]), torch.cat([t for _, t in lists]))


def hybrid(lists, temperature=1.0):
    lists = [(s, t / temperature) for s, t in lists]
    return ALPHA * pointwise_mse(lists) + (1 - ALPHA) * margin_mse(lists)


def ranknet(lists):
    pairs = [(s, t, *torch.triu_indices(len(s), len(s), offset=1)) for s, t in lists]
    found = torch.cat([s[i] - s[j] for s, _, i, j in pairs])
    target = torch.cat([t[i] - t[j] for _, t, i, j in pairs]).sigmoid()
    return F.binary_cross_entropy_with_logits(found, target)


class Scores:
    """What the losses of sentence-transformers ask of a model, with the scores it is to give."""

    num_labels, device = 1, "cpu"

    def __init__(self, scores):
        self.scores = scores

    def preprocess(self, pairs, **_):
        assert len(pairs) == len(self.scores)
        return {}

    def __call__(self, _):
        return {"scores": self.scores}


def sentence_transformers(loss, scores, labels, **options):
    """The loss of one list by sentence-transformers, but in f64 and with ties in list order."""
    stable = functools.partialmethod(torch.Tensor.sort, stable=True)
    with mock.patch.multiple(torch.Tensor, float=torch.Tensor.double, sort=stable):
        made = loss(Scores(scores), mini_batch_size=-1, **options)
        return made(([""], [[""] * len(scores)]), [labels])


def per_list(loss, lists, **options):
    return torch.stack([sentence_transformers(loss, s, t, **options) for s, t in lists if len(s) > 1]).mean()


def ndcg_loss2(scheme, lists):
    """Theirs is the mean over the pairs, in binary logarithms."""
    terms = [sentence_transformers(sbert.LambdaLoss, s, g, weighting_scheme=scheme) * preferred(g).sum() * math.log(2)
             for s, g in lists if preferred(g).any()]
    return torch.stack(terms).mean()


def infonce(temperature, lists):
    terms = []
    for s, t in lists:
        best = t == t.max()
        if not best.all():
            groups = [torch.cat([positive[None], s[~best]]) / temperature for positive in s[best]]
            terms.append(torch.stack([-F.log_softmax(group, 0)[0] for group in groups]).mean())
    return torch.stack(terms).mean()


def approx_ndcg(temperature, lists):
    terms = []
    for s, g in lists:
        if preferred(g).any():
            rank = 0.5 + torch.sigmoid(-differences(s) / temperature).sum(1)
            gain = torch.exp2(g) - 1
            ideal = (gain.sort(descending=True).values / torch.log2(torch.arange(len(s)) + 2.0)).sum()
            terms.append(1 - (gain / torch.log2(1 + rank)).sum() / ideal)
    return torch.stack(terms).mean()


# Each loss as pipeline.toml writes it, beside its form here.
LOSSES = [
    ({"name": "hinge", "margin": MARGIN}, lambda lists: per_pair(lambda d: F.relu(MARGIN - d), lists)),
    ({"name": "logistic"}, lambda lists: per_pair(lambda d: F.softplus(-d), lists)),
    ({"name": "softmax"}, softmax),
    ({"name": "lambda"}, lambda_loss),
    ({"name": "pointwise_mse"}, pointwise_mse),
    ({"name": "margin_mse"}, margin_mse),
    ({"name": "hybrid", "alpha": ALPHA}, hybrid),
    ({"name": "kl"}, lambda lists: kl(1, lists)),
    ({"name": "kl", "temperature": TEMPERATURE}, lambda lists: kl(TEMPERATURE, lists)),
    ({"name": "kl", "temperature": TEMPERATURE, "label_temperature": LABEL_TEMPERATURE},
     lambda lists: kl(TEMPERATURE, lists, LABEL_TEMPERATURE)),
    ({"name": "hybrid", "alpha": ALPHA, "temperature": TEMPERATURE}, lambda lists: hybrid(lists, TEMPERATURE)),
    ({"name": "ranknet"}, ranknet),
    ({"name": "lambda", "weighting": "ndcg_loss2"}, lambda lists: ndcg_loss2(sbert.NDCGLoss2Scheme(), lists)),
    ({"name": "lambda", "weighting": "ndcg_loss2pp"}, lambda lists: ndcg_loss2(sbert.NDCGLoss2PPScheme(), lists)),
    ({"name": "lambda", "weighting": "ndcg_loss2pp", "mu": MU},
     lambda lists: ndcg_loss2(sbert.NDCGLoss2PPScheme(MU), lists)),
    ({"name": "listnet"}, lambda lists: per_list(sbert.ListNetLoss, lists)),
    ({"name": "listmle"}, lambda lists: per_list(sbert.ListMLELoss, lists, respect_input_order=False)),
    ({"name": "position_aware_listmle"}, lambda lists: per_list(sbert.PListMLELoss, lists, respect_input_order=False)),
    ({"name": "adr_mse"}, lambda lists: per_list(sbert.ADRMSELoss, lists)),
    ({"name": "adr_mse", "temperature": TEMPERATURE},
     lambda lists: per_list(sbert.ADRMSELoss, lists, alpha=1 / TEMPERATURE)),
    ({"name": "infonce"}, lambda lists: infonce(1, lists)),
    ({"name": "infonce", "temperature": TEMPERATURE}, lambda lists: infonce(TEMPERATURE, lists)),
    ({"name": "approx_ndcg"}, lambda lists: approx_ndcg(0.1, lists)),
    ({"name": "approx_ndcg", "temperature": TEMPERATURE}, lambda lists: approx_ndcg(TEMPERATURE, lists)),
]
# Those that labels below 0 have no gain for.
ON_GRADES = {"softmax", "lambda", "approx_ndcg"}


def case(sizes, scores, labels, every=1):
    """The losses of a batch, and their gradients at each `every`th document."""
    made = {"offsets": [0, *torch.tensor(sizes).cumsum(0).tolist()], "scores": scores.tolist(),
            "labels": labels.tolist(), "losses": []}
    if every > 1:
        made["every"] = every
    for loss, function in LOSSES:
        if (labels < 0).any() and loss["name"] in ON_GRADES:
            continue
        leaf = scores.double().requires_grad_()
        value = function(list(zip(leaf.split(sizes), labels.double().split(sizes))))
        (grad,) = torch.autograd.grad(value, leaf)
        made["losses"].append({"loss": loss, "value": value.item(), "grad": grad[::every].tolist()})
    return made


def of_classes(sizes, spread):
    """The loss of documents with a logit for each of five grades."""
    count = sum(sizes)
    logits = (torch.randn(5 * count, generator=GEN) * spread).float()
    grades = random_grades(count)
    leaf = logits.double().requires_grad_()
    value = F.cross_entropy(leaf.view(count, 5), grades.long())
    (grad,) = torch.autograd.grad(value, leaf)
    found = {"loss": {"name": "grade_cross_entropy"}, "value": value.item(), "grad": grad.tolist()}
    return {"offsets": [0, *torch.tensor(sizes).cumsum(0).tolist()], "scores": logits.tolist(),
            "labels": grades.tolist(), "losses": [found]}


def random_scores(count, spread=1.0, steps=64):
    return ((torch.randn(count, generator=GEN) * spread * steps).round() / steps).float()


def random_grades(count):
    return torch.randint(0, 5, (count,), generator=GEN).float()


def main():
    # What sentence-transformers makes beside the scores is then of f64 too.
    torch.set_default_dtype(torch.float64)
    cases = []
    for sizes in [[5], [2, 1, 8], [3, 12, 4, 6]]:
        scores = torch.randn(sum(sizes), generator=GEN, dtype=torch.float32)
        scores[1] = scores[0]
        cases.append(case(sizes, scores, random_grades(sum(sizes))))
    # Many ties of scores and of labels, a list of equal labels, lists of one document.
    grades = torch.cat([torch.tensor([3.0] + [2.0] * 3), random_grades(8) % 3, torch.tensor([0.0])]).float()
    cases.append(case([1, 3, 8, 1], random_scores(13, steps=2), grades))
    # A teacher's scores.
    cases.append(case([4, 1, 7], random_scores(12, 3.0), random_scores(12, 5.0)))
    # Scores far apart.
    cases.append(case([2, 6], random_scores(8, 1e4), random_grades(8)))
    cases.append(case([1000], random_scores(1000, 2.0), random_grades(1000), every=37))
    cases += [of_classes([4, 1], 1.0), of_classes([9], 30.0)]
    print(json.dumps(cases))


main()
