"""PyTorch's side of the benchmark row torch-ratio.

Times the scoring of a second stage on the work that `trainjob bench lifelong` does itself: a history of many events whose keys and
representations lie ready, some hundreds of candidates; scores of all pairs as one product plus a time term that candidates share, the
best k events of each candidate, softmax over them, the weighted sum of their representations, [target; sum; product] through a
batch norm and layers of 200, 80 and 2. Written for speed on a CPU: one product, torch.topk without sorting, a gather of rows and
one batched product. One thread.

It first prints {"ready": true, ...}. Then, for every line with a number n on standard input, it scores n times and prints the seconds
of each as one JSON line, so that two programs can take turns on one machine. It ends with its input.

    pip install torch numpy
    trainjob bench lifelong --only torch-ratio --python python3
"""
import argparse
import json
import os
import resource
import sys
import time

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("--events", type=int, default=10_000)
arguments.add_argument("--candidates", type=int, default=500)
arguments.add_argument("--kept", type=int, default=100)
arguments.add_argument("--width", type=int, default=16, help="of each of three tables")
arguments.add_argument("--items", type=int, default=100_000)
options = arguments.parse_args()
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import torch

torch.manual_seed(1)
torch.set_num_threads(1)
w = options.width
attention_item, represent_item = torch.randn(options.items, w) * 0.01, torch.randn(options.items, w) * 0.01
attention_category, represent_category = torch.randn(100, w) * 0.01, torch.randn(100, w) * 0.01
attention_position, represent_position = torch.randn(1001, w) * 0.01, torch.randn(1001, w) * 0.01

history = torch.randint(options.items, (options.events,))
candidates = torch.randint(options.items, (options.candidates,))
places = torch.clamp(torch.arange(options.events, 0, -1), max=1000)
keys = torch.cat([attention_item[history], attention_category[history % 100]], 1)  # kept from request to request, as ours
head = torch.nn.Sequential(torch.nn.BatchNorm1d(9 * w), torch.nn.Linear(9 * w, 200), torch.nn.PReLU(), torch.nn.Linear(200, 80), torch.nn.PReLU(), torch.nn.Linear(80, 2)).eval()


@torch.inference_mode()
def score():
    """Log odds of every candidate after the history."""
    queries = torch.cat([attention_item[candidates], attention_category[candidates % 100]], 1) / (2 * w) ** 0.5
    bias = attention_position[places] @ attention_position[0] / w ** 0.5
    scores, kept = torch.topk(torch.addmm(bias, queries, keys.T), min(options.kept, options.events), 1, sorted=False)
    weights = torch.softmax(scores, 1)
    events = history[kept]
    rows = torch.cat([represent_item[events], represent_category[events % 100], represent_position[places[kept]]], 2)
    total = torch.bmm(weights.unsqueeze(1), rows).squeeze(1)
    target = torch.cat([represent_item[candidates], represent_category[candidates % 100], represent_position[0].expand(len(candidates), w)], 1)
    logits = head(torch.cat([target, total, total * target], 1))
    return logits[:, 1] - logits[:, 0]


for _ in range(3):  # the first ones fill caches
    score()
print(json.dumps({"ready": True, "torch": torch.__version__}), flush=True)
for line in sys.stdin:
    seconds = []
    for _ in range(int(line)):
        begin = time.perf_counter()
        score()
        seconds.append(time.perf_counter() - begin)
    print(json.dumps({"seconds": seconds, "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}), flush=True)
