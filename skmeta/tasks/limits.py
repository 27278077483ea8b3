"""How much is held in memory at once: every such limit of the package, and what fits into it."""

import numpy as np

# Meta-batches that are drawn together, since one by one small ones take as long to draw as to learn from,
# and how many numbers these may hold.
DRAWN_AT_ONCE = 64
NUMBERS_DRAWN_AT_ONCE = 2**20
# Of answers: numbers of rows, rows of one task, tasks, and adapted parameters of all tasks.
NUMBERS_AT_ONCE = 2**23
ROWS_AT_ONCE = 4096
TASKS_AT_ONCE = 64
PARAMETERS_AT_ONCE = 2**25
# Tasks whose labels are joined as they are read: an array for each of very many takes more memory than what
# is in it.
JOINED_AT_ONCE = 1000
# Numbers of episodes whose solved heads are derived together: that takes tens of times as many, in doubles.
NUMBERS_SOLVED_AT_ONCE = 2**18
# Rows that are enough to know a module's shapes; it must map each of them alone.
SAMPLE_ROWS = 8
# Images that are enough to know the shape of a module's feature map, and the colours of pixels.
SAMPLE_PAGES, PAGES_LOOKED_AT = 2, 64
# Tasks, and rows, that are enough to know the features' scales and how exact they are.
TASKS_LOOKED_AT = 256
ROWS_LOOKED_AT = 1024


def meta_batches_at_once(n_numbers):
    """Meta-batches of ``n_numbers`` that are drawn together; one at least."""
    return max(1, min(DRAWN_AT_ONCE, NUMBERS_DRAWN_AT_ONCE // max(1, n_numbers)))


def rows_at_once(row_shape):
    """Rows of one task that are made dense together; one at least."""
    return max(1, min(ROWS_AT_ONCE, NUMBERS_AT_ONCE // max(1, int(np.prod(row_shape)))))


def parts(n_rows, row_shape):
    """Slices of so many rows, each of ``rows_at_once``; an empty one if there are none."""
    at_once = rows_at_once(row_shape)
    return [slice(first, first + at_once) for first in range(0, max(n_rows, 1), at_once)]


def tasks_at_once(n_parameters):
    """Tasks of so many adapted parameters that are adapted to together; one at least."""
    return max(1, min(TASKS_AT_ONCE, PARAMETERS_AT_ONCE // max(1, n_parameters)))


def episodes_at_once(n_rows, row_shape):
    """Episodes of ``n_rows``, support and query rows together, that are held together; one at least."""
    n_numbers = max(1, n_rows * int(np.prod(row_shape)))
    return max(1, min(TASKS_AT_ONCE, NUMBERS_AT_ONCE // n_numbers))


def first_that_fit(n_rows, row_shape):
    """How many of the first tasks fit, padded to the largest of these; ``n_rows`` of each. One at least."""
    return next(
        (
            n
            for n, most in enumerate(np.maximum.accumulate(n_rows))
            if n and n >= episodes_at_once(most, row_shape)
        ),
        len(n_rows),
    )
