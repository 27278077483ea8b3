"""Columns of categories: from levels to codes, as tables come in."""

import numpy as np


class Categories:
    """Numbers the levels of the category columns of DataFrames, in the order in which they are first seen.

    Columns of categories are those of the first table that have the dtype ``category`` or hold strings.

    Attributes
    ----------
    levels : dict of column name to dict of level to code
    columns : list of int
        Where these columns stand.
    learns : bool
        Whether new levels get a code.
    """

    def __init__(self):
        self.levels, self.columns, self.learns = None, [], True

    def encode(self, X, where=""):
        """The table with codes for levels, NaN for one that is missing or new; anything else as it is."""
        is_frame = hasattr(X, "select_dtypes") and X.columns.is_unique
        if self.levels is None:
            names = [name for name in X.columns if _holds_categories(X[name])] if is_frame else []
            self.levels = {name: {} for name in names}
            self.columns = [X.columns.get_loc(name) for name in names]
        if not self.levels:
            return X
        if not is_frame or not set(self.levels) <= set(X.columns):
            raise ValueError(
                f"{where}X must be a DataFrame with the category columns of fit, {list(self.levels)}; got "
                f"{f'the columns {list(X.columns)}' if is_frame else type(X).__name__}."
            )
        X = X.copy(deep=False)
        for name, codes in self.levels.items():
            values = X[name].astype(object)
            if self.learns:
                for level in values.dropna().unique():
                    codes.setdefault(level, len(codes))
            X[name] = values.map(codes).astype(np.float64)
        return X


def _holds_categories(column):
    if str(column.dtype) == "category":
        return True
    return column.dtype.kind in "OU" and any(isinstance(value, str) for value in column)
