"""The command."""

import argparse
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import torch
from joblib import Parallel, delayed

from benchmarks.accuracy.clock import Clock, OutOfTime
from benchmarks.accuracy.data import missing_files
from benchmarks.accuracy.report import page
from benchmarks.accuracy.run import methods_of, records, run
from benchmarks.accuracy.store import Store
from benchmarks.accuracy.studies import STUDIES

BENCHMARKS = Path(__file__).parents[1]


def main(arguments=None):
    """Run the studies that the command line names, and write the page of all."""
    args = parse(arguments)
    studies = [study.quick() if args.quick else study for study in STUDIES if has_data(study)]
    if args.validation:
        studies = [replace(study, final=False) for study in studies]
    if args.seeds:
        studies = [replace(study, n_seeds=args.seeds) for study in studies]
    named = [study for study in studies if any(study.name.startswith(name) for name in args.names)]
    store = Store(args.cache, any_code=args.any_code)
    if args.list:
        return show(named, store)
    if not args.report:
        compute(named, args, store)
    print(page(named, store))
    if args.out:
        args.out.write_text(page(studies, store), encoding="utf-8")
    return None


def has_data(study):
    """Whether the files of a study are there; else say which are not."""
    missing = missing_files(study.data)
    if missing:
        print(f"{study.name} is left out: SKMETA_DATA names no folder with {', '.join(missing)}")
    return not missing


def has_gpu(study):
    """Whether there is a GPU, if a study needs one; else say that there is none."""
    missing = study.needs_gpu and not torch.cuda.is_available()
    if missing:
        print(f"{study.name} is left out: there is no GPU")
    return not missing


def parse(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description="Accuracy of skmeta.")
    names = [study.name for study in STUDIES]
    parser.add_argument("names", nargs="*", help="studies, or how their names begin; all by default")
    parser.add_argument("--quick", action="store_true", help="a part of each on meta-validation; prints")
    parser.add_argument("--validation", action="store_true", help="leave meta-test closed; prints")
    parser.add_argument("--minutes", type=float, help="stop after these; the same command goes on")
    parser.add_argument("--methods", nargs="+", help="run only these, such as TMAML or 'local *'")
    parser.add_argument("--seeds", type=int, help="in place of each study's number of seeds")
    parser.add_argument("--jobs", type=int, default=1, help="methods at a time, at most one for each core")
    parser.add_argument("--list", action="store_true", help="the studies, and how much of each is done")
    parser.add_argument("--report", action="store_true", help="write the page of what is done, run nothing")
    parser.add_argument("--any-code", action="store_true", help="take results of earlier code as they are")
    parser.add_argument(
        "--cache", type=Path, default=BENCHMARKS / "cache", help="folder of what was computed"
    )
    parser.add_argument(
        "--out", type=Path, help="page to write, of all studies; by default benchmarks/RESULTS.md"
    )
    args = parser.parse_args(arguments)
    if unknown := [name for name in args.names if not any(known.startswith(name) for known in names)]:
        parser.error(f"no study begins with {', '.join(unknown)}; there are {', '.join(names)}")
    if not (args.quick or args.validation):
        args.out = args.out or BENCHMARKS / "RESULTS.md"
    args.names = args.names or [""]
    return args


def compute(studies, args, store):
    """Run what is not done, for as long as the command line says."""
    clock = Clock(args.minutes)
    fits = [
        delayed(run)(study, split, method, store, clock, partial(print, flush=True))
        for study in filter(has_gpu, studies)
        for split in study.splits
        for method in methods_of(study)
        if not args.methods or any(fnmatchcase(method.name, pattern) for pattern in args.methods)
    ]
    try:
        Parallel(args.jobs, batch_size=1, pre_dispatch="all")(fits)
    except (OutOfTime, KeyboardInterrupt):
        print("Stopped. What is done is kept; the same command goes on from here.")


def show(studies, store):
    """How many of a study's fits are scored on meta-test."""
    for study in studies:
        methods = methods_of(study)
        done = sum(len(records(study, method, store)) for method in methods)
        wanted = sum(len(study.splits) * method.n_seeds(study) for method in methods)
        print(f"{study.name:30} {done:4} of {wanted:4} done   {study.title}")


if __name__ == "__main__":
    main()
