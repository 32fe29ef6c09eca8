"""PyTorch's side of the benchmark row epoch-ratio.

Times training steps of a SASRec in PyTorch on the work that `trainjob bench speed` does itself: MovieLens-1M, leave-one-out
training part, batches of 128 users, the newest 200 events, two pre-norm blocks of width 64, softmax cross-entropy over the
whole catalogue at real positions only, dropout, Adam. The network is written for speed on a CPU: one product for queries, keys
and values, a fused optimiser where this PyTorch has one, and of two ways to attend (PyTorch's own operator, or plain products)
the one that is faster on this machine. With --compile, torch.compile.

It first prints {"ready": true, ...}. Then, for every line with a number n on standard input, it makes n steps and prints their
seconds as one JSON line, so that two programs can take turns on one machine. It ends with its input.

    pip install torch numpy
    trainjob bench speed --only epoch-ratio --python python3
"""
import argparse
import collections
import csv
import gzip
import json
import os
import pathlib
import resource
import sys
import time

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("--data", required=True, help="folder or file with user_id, item_id in the order of time")
arguments.add_argument("--threads", type=int, default=2)
arguments.add_argument("--length", type=int, default=200)
arguments.add_argument("--width", type=int, default=64)
arguments.add_argument("--blocks", type=int, default=2)
arguments.add_argument("--batch", type=int, default=128)
arguments.add_argument("--dropout", type=float, default=0.1)
arguments.add_argument("--least", type=int, default=5, help="leave out items with fewer events")
arguments.add_argument("--compile", action="store_true")
options = arguments.parse_args()
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = str(options.threads)

import numpy
import torch
from torch import nn
from torch.nn import functional


def training_histories(path):
    """Reads histories without their last two events, items numbered from 1."""
    path = pathlib.Path(path)
    if path.is_dir():
        path = path / "interactions.csv.gz"
    with gzip.open(path, "rt", newline="") as file:
        events = [(row["user_id"], row["item_id"]) for row in csv.DictReader(file)]
    counts = collections.Counter(item for _, item in events)
    numbers, histories = {}, collections.defaultdict(list)
    for user, item in events:
        if counts[item] >= options.least:
            histories[user].append(numbers.setdefault(item, len(numbers) + 1))
    return [h[:-2] for h in histories.values() if len(h) >= 3], len(numbers)


def attend_fused(query, key, value, earlier, dropout):
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=earlier, dropout_p=dropout)


def attend_plain(query, key, value, earlier, dropout):
    scores = (query @ key.transpose(-1, -2)) * query.shape[-1] ** -0.5
    weights = functional.softmax(scores.masked_fill(~earlier, -1e9), dim=-1)
    return functional.dropout(weights, dropout) @ value


class Block(nn.Module):
    attend = staticmethod(attend_fused)

    def __init__(self):
        super().__init__()
        width = options.width
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, width), nn.Linear(width, width)

    def drop(self, x):
        return functional.dropout(x, options.dropout, self.training)

    def forward(self, x, mask):
        query, key, value = self.project(self.first(x)).unsqueeze(1).chunk(3, dim=-1)
        seen = self.attend(query, key, value, mask, options.dropout)
        x = x + self.drop(self.mix(seen.squeeze(1)))
        return x + self.drop(self.down(self.drop(functional.relu(self.up(self.second(x))))))


class Network(nn.Module):
    def __init__(self, items):
        super().__init__()
        self.items = nn.Embedding(items + 1, options.width, padding_idx=0)
        self.places = nn.Embedding(options.length, options.width)
        self.blocks = nn.ModuleList(Block() for _ in range(options.blocks))
        self.norm = nn.LayerNorm(options.width)
        for table in (self.items, self.places):
            nn.init.normal_(table.weight, std=0.02)
        later = torch.triu(torch.ones(options.length, options.length, dtype=torch.bool), 1)
        self.register_buffer("earlier", ~later)

    def forward(self, x):
        # Histories begin at the left, so causal order alone hides the padding from every real position.
        hidden = functional.dropout(self.items(x) + self.places.weight, options.dropout, self.training)
        for block in self.blocks:
            hidden = block(hidden, self.earlier)
        return self.norm(hidden)


def make_batches(histories, count):
    draw = numpy.random.default_rng(2)
    batches = []
    for _ in range(count):
        inputs = numpy.zeros((options.batch, options.length), numpy.int64)
        targets = numpy.zeros_like(inputs)
        for row, user in enumerate(draw.choice(len(histories), options.batch, replace=False)):
            window = histories[user][-(options.length + 1):]
            n = len(window) - 1
            if n > 0:
                inputs[row, :n], targets[row, :n] = window[:-1], window[1:]
        batches.append((torch.from_numpy(inputs), torch.from_numpy(targets)))
    return batches


def main():
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    histories, items = training_histories(options.data)
    batches = make_batches(histories, 6)
    network = Network(items).train()
    forward = torch.compile(network) if options.compile else network
    try:
        adam = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.9, 0.98), fused=True)
    except (RuntimeError, TypeError):  # an older PyTorch has no fused Adam for the CPU
        adam = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.9, 0.98), foreach=True)

    def step(number):
        inputs, targets = batches[number % len(batches)]
        real = targets != 0
        scores = functional.linear(forward(inputs)[real], network.items.weight[1:])
        loss = functional.cross_entropy(scores, targets[real] - 1)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()
        return loss.item()

    ways = {}
    for way in (attend_fused, attend_plain):
        Block.attend = staticmethod(way)
        step(0)
        begin = time.perf_counter()
        step(1), step(2)
        ways[way] = time.perf_counter() - begin
    fastest = min(ways, key=ways.get)
    Block.attend = staticmethod(fastest)
    step(3)
    tokens = sum(int((t != 0).sum()) for _, t in batches) / len(batches)
    print(json.dumps({"ready": True, "torch": torch.__version__, "steps_per_epoch": -(-len(histories) // options.batch), "real_tokens_per_step": tokens, "items": items, "attention": fastest.__name__}), flush=True)
    number = 0
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            begin = time.perf_counter()
            step(number)
            seconds.append(round(time.perf_counter() - begin, 6))
            number += 1
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "peak_rss_bytes": peak}), flush=True)


main()
