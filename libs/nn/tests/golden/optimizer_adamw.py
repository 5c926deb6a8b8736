"""Ten steps of torch.optim.AdamW with gradient clipping: writes optimizer_adamw.safetensors beside this file.

Run: python optimizer_adamw.py   (needs torch and safetensors)
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

STEPS = 10
WEIGHT_DECAY = 0.1
MAX_NORM = 1.0

torch.manual_seed(7)
params = {"bias": torch.randn(5), "weight": torch.randn(4, 5)}
tensors = {f"start.{name}": value.clone() for name, value in params.items()}
params = {name: torch.nn.Parameter(value) for name, value in params.items()}
optimizer = torch.optim.AdamW(
    [
        {"params": [params["bias"]], "weight_decay": 0.0},
        {"params": [params["weight"]], "weight_decay": WEIGHT_DECAY},
    ]
)
norms = []
for step in range(STEPS):
    for group in optimizer.param_groups:
        group["lr"] = 0.1 / (step + 1)
    for name, param in params.items():
        # Some steps are clipped, some are not.
        param.grad = torch.randn_like(param) * (0.1 if step % 3 == 1 else 2.0)
        tensors[f"grad.{step}.{name}"] = param.grad.clone()
    norms.append(torch.nn.utils.clip_grad_norm_(params.values(), MAX_NORM))
    optimizer.step()
    for name, param in params.items():
        tensors[f"after.{step}.{name}"] = param.detach().clone()
tensors["norms"] = torch.stack(norms)
save_file(tensors, Path(__file__).with_suffix(".safetensors"))
