"""Scores pairs with the readers that our model folders are written for.

usage: round_trip.py TEACHER_FOLDER STUDENT_FOLDER < pairs.json

stdin: [[query, document], ...], a document being title and summary with a space between them.
stdout: {"transformers": [teacher's raw logits], "sentence_transformers": [student's scores], "chat_template": [teacher's
scores by sentence-transformers, which reads it by its chat template]}
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from sentence_transformers import CrossEncoder
from transformers import AutoModelForSequenceClassification, AutoTokenizer


def teacher_logits(folder, pairs):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    texts = [f"query: {query} document: {document}</s>" for query, document in pairs]
    batch = tokenizer(texts, padding=True, add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return logits[:, 0].tolist()


def cross_encoder_scores(folder, pairs):
    return CrossEncoder(folder).predict(pairs, show_progress_bar=False).tolist()


if __name__ == "__main__":
    teacher, student = sys.argv[1:]
    pairs = json.load(sys.stdin)
    scores = {
        "transformers": teacher_logits(teacher, pairs),
        "sentence_transformers": cross_encoder_scores(student, pairs),
        "chat_template": cross_encoder_scores(teacher, pairs),
    }
    json.dump(scores, sys.stdout)
