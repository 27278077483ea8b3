"""The command: measure, print, and write the page, the figures and the plot."""

import argparse
import json
from pathlib import Path

import torch

from benchmarks import growth, imports, memory, outer_step, serving
from benchmarks.contestants import missing_peers
from benchmarks.plot import draw
from benchmarks.report import machine, markdown

HERE = Path(__file__).parent


def measure_gpu(seconds, **sizes):
    """The outer steps on the GPU, where a step of Conv4 is short; None without one."""
    if not torch.cuda.is_available():
        return None
    return {"cases": outer_step.measure(seconds, "cuda", n_threads=(1,), steps=10, **sizes)}


# How to measure each part: in full, and in a few seconds.
PARTS = {
    "outer_step": (lambda: outer_step.measure(40), lambda: outer_step.measure(0, n_tasks=2)),
    "gpu": (lambda: measure_gpu(20), lambda: measure_gpu(0, n_tasks=2)),
    "serving": (lambda: serving.measure(15), lambda: serving.measure(0, n_tasks=100)),
    "imports": (lambda: imports.measure(30), lambda: imports.measure(0)),
    "memory": (memory.measure, lambda: memory.measure(0.05)),
    "growth": (lambda: growth.measure(10), lambda: growth.measure(0)),
}


def main():
    """Run the parts that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed and memory of skmeta.")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="what to measure; all by default")
    parser.add_argument("--quick", action="store_true", help="few repeats, small tasks")
    parser.add_argument("--out", type=Path, help="folder to write to; a full run writes beside this file")
    args = parser.parse_args()
    for name, reason in missing_peers().items():
        print(f"{name} is missing: {reason}")
    results = {"machine": machine(), "quick": args.quick}
    for part in args.parts or PARTS:
        print(f"measuring {part} ...", flush=True)
        results[part] = PARTS[part][args.quick]()
    if results.get("gpu", 0) is None:
        del results["gpu"]
    page = markdown(results)
    print(page)
    out = args.out if args.parts or args.quick else args.out or HERE
    if out is not None:
        write(results, page, out)


def write(results, page, out):
    """SPEED.md, speed.json with every measurement, and speed.png."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "SPEED.md").write_text(page, encoding="utf-8")
    (out / "speed.json").write_text(json.dumps(results), encoding="utf-8")
    draw(results, out / "speed.png")


if __name__ == "__main__":
    main()
