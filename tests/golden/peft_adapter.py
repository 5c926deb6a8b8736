"""Scores pairs with PEFT adapters that we saved.

usage: peft_adapter.py BASE_FOLDER ADAPTER_FOLDER < texts.json

stdin: [text, ...], each as the adapted decoder reads it.
stdout: [raw logit, ...]
"""

import json
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

if __name__ == "__main__":
    base, adapter = sys.argv[1:]
    texts = json.load(sys.stdin)
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    model = PeftModel.from_pretrained(model, adapter).eval()
    # One at a time: nothing is padded.
    with torch.no_grad():
        batches = (tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"] for text in texts)
        json.dump([model(input_ids=ids).logits[0, 0].item() for ids in batches], sys.stdout)
