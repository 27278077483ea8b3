"""The command: measure, print, and write the page, the figures and the plot."""

import argparse
import json
from pathlib import Path

import torch

from benchmarks import growth, imports, memory, outer_step, peaks, serving
from benchmarks.contestants import missing_peers
from benchmarks.plot import draw
from benchmarks.report import machine, markdown

HERE = Path(__file__).parent


def measure_gpu(seconds, **sizes):
    """The outer steps on the GPU, where a step of Conv4 is short; None without one."""
    if not torch.cuda.is_available():
        return None
    return outer_step.measure(seconds, "cuda", n_threads=(1,), steps=10, **sizes)


# Of each part: the function, its arguments in a full run and in a quick one.
PARTS = {
    "outer_step": (outer_step.measure, {"seconds": 30}, {"seconds": 0, "n_tasks": 2}),
    "gpu": (measure_gpu, {"seconds": 20}, {"seconds": 0, "n_tasks": 2}),
    "serving": (serving.measure, {"seconds": 15}, {"seconds": 0, "n_tasks": 100}),
    "imports": (imports.measure, {"seconds": 30}, {"seconds": 0}),
    "memory": (memory.measure, {"share": 1}, {"share": 0.05}),
    "peaks": (peaks.measure, {}, {"n_tasks": 2}),
    "growth": (growth.measure, {"seconds": 15}, {"seconds": 0}),
}


def main():
    """Run the parts that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed and memory of skmeta.")
    parser.add_argument("parts", nargs="*", help=f"what to measure of {', '.join(PARTS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="few repeats, small tasks")
    parser.add_argument("--out", type=Path, help="folder to write to; a full run writes beside this file")
    args = parser.parse_args()
    unknown = [part for part in args.parts if part not in PARTS]  # argparse's choices refuse an empty list
    if unknown:
        parser.error(f"parts must be of {', '.join(PARTS)}. Got {', '.join(unknown)} instead.")
    for name, reason in missing_peers().items():
        print(f"{name} is missing: {reason}")
    results = {"machine": machine(), "quick": args.quick}
    for part in args.parts or PARTS:
        print(f"measuring {part} ...", flush=True)
        function, full, quick = PARTS[part]
        results[part] = function(**(quick if args.quick else full))
    page = markdown(results)
    print(page)
    out = args.out or (None if args.parts or args.quick else HERE)
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
