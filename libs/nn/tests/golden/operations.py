"""What PyTorch computes for each fused operation, and its gradients, in double precision.

    python operations.py

needs torch, transformers and safetensors, and leaves operations.safetensors beside itself. It holds for each case
`<case>.input.<i>`, `<case>.output`, `<case>.cotangent`, and `<case>.grad.<i>`: the gradient of the sum of the output times
the cotangent for that input. `buckets.<count>.<farthest>` are the rows of the distances from the greatest to 0.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers.models.deberta_v2.modeling_deberta_v2 import build_relative_position
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

# Lengths of the packed sequences, and widths no vector register divides.
LENGTHS = [5, 1, 70, 3]
TOKENS = sum(LENGTHS)
HEAD_DIM = 6
IDS = [3, 0, 3, 7, 7, 7, 1]
TARGETS = [6, 0, 3, 3, 1]
LORA_SCALE = 0.75
ROPE_THETA = 100.0


def rotary(x):
    """Turns [heads, n, HEAD_DIM] to the positions 0..n."""
    frequencies = ROPE_THETA ** (-torch.arange(0, HEAD_DIM, 2, dtype=torch.float64) / HEAD_DIM)
    angles = torch.outer(torch.arange(x.shape[1], dtype=torch.float64), frequencies)
    angles = torch.cat([angles, angles], dim=-1)[None]
    return apply_rotary_pos_emb(x[None], x[None], angles.cos(), angles.sin())[0][0]


# Buckets of distances and the farthest one, of a table of twice as many rows.
BUCKETS, FARTHEST = 6, 20
# Those of published models, and distances up to which their buckets are recorded.
PUBLISHED = [(256, 512), (128, 300)]
MOST = 700


def buckets(tokens, count, farthest):
    """The rows of the distances of every token (row) to every token (column)."""
    index = torch.zeros(1, tokens, 1)
    distances = build_relative_position(index, index, bucket_size=count, max_position=farthest)[0]
    return (distances + count).clamp(0, 2 * count - 1)


def disentangled(q, k, v, keys, queries):
    mixed = []
    keys, queries = (x.view(2 * BUCKETS, -1, HEAD_DIM).transpose(0, 1) for x in (keys, queries))
    for q, k, v in zip(q.split(LENGTHS), k.split(LENGTHS), v.split(LENGTHS)):
        q, k, v = (x.view(len(x), -1, HEAD_DIM).transpose(0, 1) for x in (q, k, v))
        rows = buckets(q.shape[1], BUCKETS, FARTHEST).expand(len(q), -1, -1)
        scores = q @ k.transpose(1, 2) + (q @ keys.transpose(1, 2)).gather(2, rows)
        # As seen from a key, the distance to a query is the other way round.
        scores = scores + (k @ queries.transpose(1, 2)).gather(2, rows.transpose(1, 2)).transpose(1, 2)
        weights = (scores / (3 * HEAD_DIM) ** 0.5).softmax(dim=2)
        mixed.append((weights @ v).transpose(0, 1).reshape(q.shape[1], -1))
    return torch.cat(mixed)


def attention(q, k, v, causal=False, window=None, turn=False):
    rows = []
    for q, k, v in zip(q.split(LENGTHS), k.split(LENGTHS), v.split(LENGTHS)):
        n = len(q)
        q, k, v = (x.view(n, -1, HEAD_DIM).transpose(0, 1) for x in (q, k, v))
        if turn:
            q, k = rotary(q), rotary(k)
        distance = torch.arange(n)[:, None] - torch.arange(n)[None, :]
        seen = torch.ones(n, n, dtype=torch.bool)
        if causal:
            seen &= distance >= 0
        if window:
            seen &= distance.abs() < window
        groups = len(q) // len(k)
        k, v = (x.repeat_interleave(groups, dim=0) for x in (k, v))
        mixed = F.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=seen)[0]
        rows.append(mixed.transpose(0, 1).reshape(n, -1))
    return torch.cat(rows)


def qkv(heads, kv_heads):
    return [[TOKENS, count * HEAD_DIM] for count in (heads, kv_heads, kv_heads)]


CASES = {
    "linear": ([[5, 7], [3, 7], [3]], F.linear),
    "low_rank": (
        [[5, 7], [2, 7], [3, 2], [3, 7]],
        lambda x, a, b, w: F.linear(x, w.detach()) + LORA_SCALE * F.linear(F.linear(x, a), b) + 0 * w.sum(),
    ),
    "layer_norm": ([[5, 19], [19], [19]], lambda x, w, b: F.layer_norm(x, x.shape[1:], w, b, 1e-5)),
    "rms_norm": ([[5, 19], [19]], lambda x, w: F.rms_norm(x, x.shape[1:], w, 1e-5)),
    "gelu": ([[5, 19]], F.gelu),
    "swiglu": ([[5, 19], [5, 19]], lambda gate, up: F.silu(gate) * up),
    "residual": ([[5, 19], [5, 19]], lambda x, update: x + update),
    "embedding": ([[8, 5]], lambda table: F.embedding(torch.tensor(IDS), table)),
    "cross_entropy": ([[5, 4], [7, 4]], lambda x, head: F.cross_entropy(F.linear(x, head), torch.tensor(TARGETS))),
    "attention": (qkv(2, 2), attention),
    "attention_causal": (qkv(4, 2), lambda q, k, v: attention(q, k, v, causal=True, turn=True)),
    "attention_window": (qkv(3, 1), lambda q, k, v: attention(q, k, v, causal=True, window=4)),
    "layer_norm_plain": ([[5, 19], [19]], lambda x, w: F.layer_norm(x, x.shape[1:], w, None, 1e-5)),
    "geglu": ([[5, 19], [5, 19]], lambda gate, up: F.gelu(gate) * up),
    "sequence_means": ([[TOKENS, 5]], lambda x: torch.stack([rows.mean(dim=0) for rows in x.split(LENGTHS)])),
    "attention_local": (qkv(2, 2), lambda q, k, v: attention(q, k, v, window=4, turn=True)),
    "disentangled": (qkv(2, 2) + [[2 * BUCKETS, 2 * HEAD_DIM]] * 2, disentangled),
}


def main():
    torch.manual_seed(7)
    golden = {}
    for name, (shapes, operation) in CASES.items():
        # Rounded to single precision, so that both sides start from the same numbers.
        inputs = [torch.randn(shape).double().requires_grad_() for shape in shapes]
        output = operation(*inputs)
        cotangent = torch.randn(output.shape).double()
        (output * cotangent).sum().backward()
        golden |= {f"{name}.output": output.detach(), f"{name}.cotangent": cotangent}
        for index, x in enumerate(inputs):
            golden |= {f"{name}.input.{index}": x.detach(), f"{name}.grad.{index}": x.grad}
    for count, farthest in PUBLISHED:
        golden[f"buckets.{count}.{farthest}"] = buckets(MOST + 1, count, farthest)[MOST]
    golden = {name: tensor.float().contiguous() for name, tensor in golden.items()}
    save_file(golden, Path(__file__).parent / "operations.safetensors")


if __name__ == "__main__":
    main()
