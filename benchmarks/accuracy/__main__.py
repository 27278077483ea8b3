"""The command."""

import argparse
import tempfile
import warnings
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from joblib import Parallel, delayed, parallel_config

from benchmarks.accuracy.data import missing
from benchmarks.accuracy.ours import LONG, OURS
from benchmarks.accuracy.record import FOLDER, Record, commit, note_opening
from benchmarks.accuracy.report import N_SEEDS, page, put_short, tables_of
from benchmarks.accuracy.rivals import RIVALS
from benchmarks.accuracy.run import measure
from benchmarks.accuracy.studies import STUDIES

PAGE, README = Path(__file__).parents[1] / "RESULTS.md", Path(__file__).parents[2] / "README.md"
METHODS = [*OURS, *LONG, *RIVALS]
QUICK_STUDIES = "exam", "respiratory", "wisdm", "clinc"


def main(arguments=None):
    """Run the studies that the command line names, and write the page of all."""
    args = parse(arguments)
    names = args.names or (QUICK_STUDIES if args.quick else [study.data for study in STUDIES])
    named = [study.quick() if args.quick else study for study in STUDIES if study.data in names]
    with tempfile.TemporaryDirectory() as empty:
        folder = Path(empty) if args.quick else args.record
        if args.forget and not sum(Record(study.data, folder).forget(args.forget) for study in named):
            raise SystemExit(f"--forget: the record has no method like {' or '.join(args.forget)}")
        if args.final:
            note_opening(args.final, folder)
        if not args.report:
            with parallel_config("loky", inner_max_num_threads=1):
                Parallel(args.jobs, batch_size=1)(delayed(run)(s, args, folder) for s in named if is_there(s))
        shown = named if args.quick else STUDIES
        tables = tables_of(shown, [Record(study.data, folder) for study in shown], METHODS)
        if args.quick:
            print(page(tables))
            return
        args.out.write_text(page(tables), encoding="utf-8")
        if args.out == PAGE:
            README.write_text(put_short(README.read_text(encoding="utf-8"), tables), encoding="utf-8")


def run(study, args, folder):
    """All that the record of a study lacks."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of rivals, above all: that few steps have not converged
    commit()  # of the code that is loaded now
    record = Record(study.data, folder)
    for method in METHODS:
        named = any(fnmatchcase(method.name, pattern) for pattern in args.methods)
        left_out = (method in LONG and not args.long) or (method.per_shot and args.quick)
        if left_out or not named or not method.suits(study):
            continue
        for seed in range(N_SEEDS if args.long and method.seeded else 1):
            measure(study, method, seed, record, n_folds=1 if args.quick else None)
            if args.final:
                measure(study, method, seed, record, "final")


def is_there(study):
    """Whether the data of a study are there; else say what is missing."""
    lacking = missing(study.data)
    if lacking:
        print(f"{study.data} is left out: there is no {', '.join(lacking)}")
    return not lacking


def parse(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description="Accuracy of skmeta.")
    names = [study.data for study in STUDIES]
    parser.add_argument("names", nargs="*", metavar="study", help=f"of {', '.join(names)}; all by default")
    parser.add_argument("--quick", action="store_true", help="a part of a few; prints, writes nothing")
    parser.add_argument("--long", action="store_true", help="more seeds and rows")
    parser.add_argument("--final", metavar="WHY", help="open the final tasks, for this reason")
    parser.add_argument("--methods", nargs="+", default=["*"], help="only these, such as TMAML or 'local *'")
    parser.add_argument("--forget", nargs="+", default=[], help="methods to run again, such as 'T*MAML*'")
    parser.add_argument("--jobs", type=int, default=2, help="studies at a time")
    parser.add_argument("--report", action="store_true", help="write the page of the record, run nothing")
    parser.add_argument("--record", type=Path, default=FOLDER, help="folder of the record")
    parser.add_argument("--out", type=Path, default=PAGE, help="page to write")
    args = parser.parse_args(arguments)
    if args.final and (args.quick or args.report):
        parser.error("--final opens final tasks, which --quick and --report do not")
    if unknown := set(args.names) - set(names):
        parser.error(f"no study is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return args


if __name__ == "__main__":
    main()
