"""By-hand check that our weights files and the reference implementation agree.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install safetensors numpy
    /tmp/venv/bin/python tools/safetensors_check.py

Reads the file that the Go writer made (testdata/golden.safetensors), compares
names, shapes, values and metadata, and saves it again: the bytes must be equal.
Then it writes testdata/python.safetensors, which TestPythonFile reads in Go.
"""

import pathlib
import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save

HERE = pathlib.Path(__file__).resolve().parent.parent / "internal/safetensors/testdata"


def check_ours() -> None:
    path = HERE / "golden.safetensors"
    with safe_open(path, framework="np") as f:
        metadata = f.metadata()
    assert metadata == {"seqrec.config": '{"width":3,"note":"<ä>"}'}, metadata
    got = load_file(path)
    want = {
        "block.0.bias": np.array([0.5, -1.25, 3e-39], np.float32),
        "block.0.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "empty": np.zeros((0, 4), np.float32),
        "scale": np.array(np.inf, np.float32),
    }
    assert sorted(got) == sorted(want), sorted(got)
    for name, value in want.items():
        assert got[name].shape == value.shape, (name, got[name].shape)
        assert got[name].tobytes() == value.tobytes(), (name, got[name])
    assert save(want, metadata=metadata) == path.read_bytes(), "the reference writes other bytes"


def write_theirs() -> None:
    tensors = {
        "f32": np.linspace(-1, 1, 5, dtype=np.float32),
        "f64": np.array([[1e300, -2.5]], np.float64),
        "i32": np.array([-7, 8], np.int32),
        "i64": np.array([-(2**40), 2**40], np.int64),
        "u8": np.array([0, 255], np.uint8),
        "f16": np.array([1.5], np.float16),
    }
    (HERE / "python.safetensors").write_bytes(save(tensors, metadata={"from": "python"}))


if __name__ == "__main__":
    check_ours()
    write_theirs()
    print("ok: same bytes both ways; wrote", HERE / "python.safetensors", file=sys.stderr)
