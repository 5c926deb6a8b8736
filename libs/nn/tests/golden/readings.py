"""Writes the golden files of two other ways to read a score, with every gradient, for the tiny checkpoint of models.py.

    python readings.py

needs torch, transformers and safetensors, and leaves llama_mean.safetensors beside itself: a head on the mean of all tokens'
states, with a logistic loss; and llama_grades.safetensors: a classifier of five grades read at the last token, with the
cross-entropy of the grades; the grade expected under its softmax is `scores`, and the sum of these the loss `expected`.
"""

import torch
import transformers

import models

GRADES = torch.tensor([4, 0, 3, 1, 2])


def llama_mean():
    torch.manual_seed(1)
    model = models.spread(transformers.LlamaForSequenceClassification(models.llama_config(2, num_labels=1)))

    def scores():
        states = [model.model(input_ids=torch.tensor([ids])).last_hidden_state[0] for ids in models.SEQUENCES]
        return torch.cat([model.score(state.mean(0)) for state in states])

    tensors = models.record(model, {"logistic": lambda: models.logistic(scores())})
    tensors["logits"] = scores().detach()
    models.write("llama_mean.safetensors", model, tensors)


def llama_grades():
    torch.manual_seed(2)
    model = models.spread(transformers.LlamaForSequenceClassification(models.llama_config(2, num_labels=5)))

    def logits():
        return torch.cat([model(input_ids=torch.tensor([ids])).logits for ids in models.SEQUENCES])

    def scores():
        return logits().softmax(1) @ torch.arange(5.0)

    losses = {"grades": lambda: torch.nn.functional.cross_entropy(logits(), GRADES), "expected": lambda: scores().sum()}
    tensors = models.record(model, losses)
    tensors["logits"] = logits().detach().flatten()
    tensors["scores"] = scores().detach()
    models.write("llama_grades.safetensors", model, tensors)


if __name__ == "__main__":
    torch.set_num_threads(1)
    llama_mean()
    llama_grades()
