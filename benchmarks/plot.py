"""The figure: speed, growth and memory."""

from statistics import median
from textwrap import fill

import numpy as np

SHOWN = "skmeta", "limit", "torchopt", "higher", "learn2learn"


def draw(results, path):
    """Draw what the parts that were run have to show."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = [part for part in PANELS if results.get(part)]
    figure, panels = plt.subplots(
        1, len(shown), figsize=(5.5 * len(shown), 4.5), layout="constrained", squeeze=False
    )
    for panel, part in zip(panels[0], shown, strict=True):
        PANELS[part](panel, results[part])
        panel.grid(alpha=0.3)
        panel.legend(fontsize="small")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_speed(panel, cases):
    """How many times faster than the loop, on one thread."""
    names = [name for name in SHOWN if name in next(iter(cases.values()))["seconds"]]
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        gain = [
            median(case["seconds"]["loop"]["1"]) / median(case["seconds"][name]["1"])
            for case in cases.values()
        ]
        bars = panel.bar(np.arange(len(cases)) + i * width, gain, width, label=name)
        panel.bar_label(bars, fmt="%.1f", fontsize="x-small")
    titles = [fill(case["title"].replace(", ", ",\n"), 13) for case in cases.values()]
    panel.set_xticks(np.arange(len(cases)) + 0.4 - width / 2, titles, fontsize="x-small")
    panel.axhline(1, color="black", linewidth=0.8)
    panel.set_title("An outer step: times faster than the tutorial loop")


def draw_growth(panel, growth):
    """Time of a step against the work, both on logarithmic axes."""
    for kind, measured in growth.items():
        panel.loglog(measured["sizes"], np.multiply(measured["seconds"], 1000), marker="o", label=kind)
    panel.set_xlabel("number of tasks, rows or inner steps")
    panel.set_ylabel("ms")
    panel.set_title("An outer step in fit as work grows, tabular MLP")


def draw_memory(panel, memory):
    """Resident memory over that after the warm-up."""
    for name, work in memory.items():
        values = np.array(work["megabytes"])
        done = np.linspace(0, 100, len(values))
        panel.plot(done, values / values[len(values) // 10], label=f"{work['amount']} {name}")
    panel.axhline(1.05, color="black", linewidth=0.8, linestyle="--")
    panel.set_xlabel("% of the work")
    panel.set_title("Resident memory over that after a tenth")


PANELS = {"outer_step": draw_speed, "growth": draw_growth, "memory": draw_memory}
