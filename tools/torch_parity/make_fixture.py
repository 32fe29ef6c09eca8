"""Writes weights from Python and the scores PyTorch gives with them.

The Go test TestTorchParity loads the weights with our reader and must reproduce the
scores, the loss and the gradients. Run by hand when the weights format changes:

    pip install torch numpy safetensors
    python tools/torch_parity/make_fixture.py internal/seqmodel/testdata

The network here is written with PyTorch's own layers (nn.LayerNorm, scaled_dot_product_attention)
in float64, so it shares nothing with the Go code but the equations of SASRec
(Kang & McAuley 2018) and of the pre-norm variant.
"""
import json
import math
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

ITEMS, WIDTH, LENGTH, BLOCKS, HEADS = 40, 16, 12, 2, 2
HISTORIES = [[3, 7, 39, 0, 12], [5], list(range(10, 22)), [1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 7, 6, 5, 4, 3]]


def parameters(generator, layout):
    """Our names; matrices are stored inputs x outputs (y = x W + b)."""
    def normal(*shape):
        return (0.3 * torch.randn(*shape, generator=generator)).double()
    p = {"item": normal(ITEMS, WIDTH), "position": normal(LENGTH, WIDTH)}
    for b in range(BLOCKS):
        names = ["attention.query", "attention.key", "attention.value", "ffn.in", "ffn.out"]
        if layout == "pre-ln":
            names.append("attention.output")
        for name in names:
            p[f"block.{b}.{name}.weight"] = normal(WIDTH, WIDTH)
            p[f"block.{b}.{name}.bias"] = normal(WIDTH)
        for name in ("norm1", "norm2"):
            p[f"block.{b}.{name}.gain"] = 1 + normal(WIDTH)
            p[f"block.{b}.{name}.bias"] = normal(WIDTH)
    p["final_norm.gain"], p["final_norm.bias"] = 1 + normal(WIDTH), normal(WIDTH)
    # What is stored is float32, so that is what the float64 network starts from.
    return {k: v.float().double().requires_grad_() for k, v in p.items()}


def states(p, layout, history):
    history = history[-LENGTH:]
    n = len(history)

    def linear(name, x):
        return x @ p[name + ".weight"] + p[name + ".bias"]

    def norm(name, x):
        return F.layer_norm(x, (WIDTH,), p[name + ".gain"], p[name + ".bias"], 1e-6)

    def heads(x):
        return x.view(n, HEADS, WIDTH // HEADS).transpose(0, 1)

    x = p["item"][history]
    if layout == "original":
        x = x * math.sqrt(WIDTH)
    x = x + p["position"][torch.arange(n - 1, -1, -1)]
    for b in range(BLOCKS):
        name = f"block.{b}."
        q = norm(name + "norm1", x)
        kv = x if layout == "original" else q
        a = F.scaled_dot_product_attention(
            heads(linear(name + "attention.query", q)), heads(linear(name + "attention.key", kv)),
            heads(linear(name + "attention.value", kv)), is_causal=True)
        a = a.transpose(0, 1).reshape(n, WIDTH)
        if layout == "original":
            z = norm(name + "norm2", a + q)
            x = linear(name + "ffn.out", F.relu(linear(name + "ffn.in", z))) + z
        else:
            x = x + linear(name + "attention.output", a)
            x = x + linear(name + "ffn.out", F.relu(linear(name + "ffn.in", norm(name + "norm2", x))))
    return norm("final_norm", x)


def main(folder):
    for layout in ("original", "pre-ln"):
        p = parameters(torch.Generator().manual_seed(20), layout)
        config = {
            "model": "sasrec", "items": ITEMS, "width": WIDTH, "blocks": BLOCKS, "heads": HEADS, "length": LENGTH,
            "layout": layout, "attention": "softmax", "output_projection": layout == "pre-ln", "key_width": WIDTH,
            "positions": "learned-reverse", "activation": "relu", "hidden": 1, "dropout": 0, "attention_dropout": 0,
            "scale_embedding": layout == "original", "output_bias": False, "separate_output": False,
            "epsilon": 1e-6, "init_std": 0.02,
        }
        save_file({k: v.detach().float().contiguous() for k, v in p.items()}, f"{folder}/torch_{layout}.safetensors",
                  {"seqrec.config": json.dumps(config)})
        scores = [states(p, layout, h)[-1] @ p["item"].T for h in HISTORIES]
        losses = []
        for h in HISTORIES:
            window = h[-LENGTH - 1:]
            if len(window) > 1:
                logits = states(p, layout, window[:-1]) @ p["item"].T
                losses.append(F.cross_entropy(logits, torch.tensor(window[1:]), reduction="none"))
        loss = torch.cat(losses).mean()
        loss.backward()
        out = {"torch": torch.__version__, "histories": HISTORIES, "scores": [s.tolist() for s in scores], "loss": loss.item(),
               "gradients": {k: [round(x, 10) for x in v.grad.flatten().tolist()] for k, v in p.items()}}
        with open(f"{folder}/torch_{layout}.json", "w") as f:
            json.dump(out, f)
            f.write("\n")


main(sys.argv[1])
