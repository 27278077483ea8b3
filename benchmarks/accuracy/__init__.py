"""Accuracy of skmeta on new tasks, beside what one would do otherwise, on the same rows.

    export SKMETA_DATA=...                             # the folder with the data sets
    python -m benchmarks.accuracy                      # all studies: writes benchmarks/RESULTS.md
    python -m benchmarks.accuracy wisdm --minutes 110  # some studies, for that long; again to go on
    python -m benchmarks.accuracy clinc --jobs 8       # several methods at a time, a process for each
    python -m benchmarks.accuracy clinc --validation   # while methods are developed: meta-test stays closed
    python -m benchmarks.accuracy --quick              # the same of a part of each, in some minutes
    python -m benchmarks.accuracy --list               # the studies, and how much of each is done

Every method is fitted on meta-train tasks, its parameters and its number of steps are chosen on
meta-validation tasks, and what was chosen is scored on meta-test tasks, once for each version of the code.
What is done is kept in a folder, by configuration, and so are the states of a training that was stopped.

    studies     what is measured, and the goals
    data        meta-train and meta-validation tasks; the meta-test ones are for ``meta_test`` alone
    variants    the methods of skmeta: one line each
    baselines   the other methods: one line each; ``pooled``, ``finetuned``: their estimators
    training    meta-training in parts, which keeps the best state on meta-validation
    run         train, choose, score
    store       what was computed, by configuration
    report      the page
"""
