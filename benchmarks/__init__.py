"""Speed and memory of skmeta, beside other libraries and beside what the machine can do at all.

    pip install -c constraints.txt -e ".[bench]"
    python -m benchmarks                    # all parts: writes benchmarks/SPEED.md, speed.json, speed.png
    python -m benchmarks outer_step memory  # some parts: prints their tables
    python -m benchmarks --quick            # all parts with few repeats, in about a minute: prints

All contestants of a measurement run in turn in one process, block after block, so that what else the
machine does meets them alike; figures are medians, ratios are of medians. Before a step is timed, each
contestant's meta-gradient is checked to be skmeta's.
"""
