"""Accuracy of skmeta by default on new tasks, beside what one would do otherwise, on the same rows.

    export SKMETA_DATA=...                           # the folder with the data sets
    python -m benchmarks.accuracy                    # an hour or two; can be stopped, and goes on
    python -m benchmarks.accuracy wisdm chicks       # some studies
    python -m benchmarks.accuracy --quick            # a part of a few, in minutes; writes nothing
    python -m benchmarks.accuracy --long             # also TAML told, tuned rows, ablations, seeds, Conv4
    python -m benchmarks.accuracy --final "reason"   # opens the final tasks, which the ledger notes
    python -m benchmarks.accuracy --report           # the page, of what the record holds

Tasks are split into development tasks and final ones, 60 to 40. Every method is fitted, tuned and scored by
cross-validation over development tasks; while methods are developed, these scores are what is looked at.

    studies     what is measured: data, and the episodes of each cell of the table
    data        tasks, and views of their rows that are learned from training tasks
    ours        skmeta's methods; ``rivals`` the others: a line each
    method      what both are
    episodes    splits of tasks, and draws of support and query rows
    run         fit, choose, score
    record      what runs have written, a file for each study, and the ledger of the final tasks
    report      the page
"""
