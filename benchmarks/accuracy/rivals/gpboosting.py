"""GPBoost: trees and random effects, learned together."""

import numpy as np

from benchmarks.accuracy.rivals.estimators import chosen, standardised
from benchmarks.accuracy.rivals.mixed_models import design, normal_answer


def gpboost(tasks, view, seed, binary=False, slopes=True, **params):
    """GPBoost, and its own prediction of a new group.

    This is asked of a random-effects model of the support set alone, with the trees as its offset and the
    variances that were learned; for a group of the training rows it is what the learned model predicts.
    """
    import gpboost  # here, as nothing else needs the package

    scale, X, y, group = standardised(tasks, view)
    effects, classes = design(tasks, view, slopes and not binary), np.unique(y)

    def random_effects(X, group):
        slopes = effects(X)[:, 1:]
        told = {"group_rand_coef_data": slopes, "ind_effect_group_rand_coef": [1] * slopes.shape[1]}
        return gpboost.GPModel(
            "bernoulli_logit" if binary else "gaussian",
            group_data=group,
            num_parallel_threads=1,
            matrix_inversion_method="cholesky",  # the default takes fifty times as long
            **(told if slopes.size else {}),
        )

    def code(y):
        return (y == classes[1]).astype(float) if binary else y

    learned = random_effects(X, group)
    params = {"objective": "binary" if binary else "regression_l2", "verbose": -1, "num_threads": 1, **params}
    trees = gpboost.train(params, gpboost.Dataset(X, code(y)), gp_model=learned)
    variances = np.ravel(learned.get_cov_pars())

    def fixed(X):
        return trees.predict(X, ignore_gp_model=True, pred_latent=True)

    def model(X, y, queries):
        X, queries = scale(X), scale(queries)
        slopes = effects(queries)[:, 1:]
        said = random_effects(X, np.zeros(len(y))).predict(
            y=code(y),
            offset=fixed(X),
            offset_pred=fixed(queries),
            group_data_pred=np.zeros(len(queries)),
            group_rand_coef_data_pred=slopes if slopes.size else None,
            cov_pars=variances,
            predict_var=True,
        )
        if binary:
            return chosen(np.column_stack([1 - said["mu"], said["mu"]]), classes)
        return normal_answer(said["mu"], said["var"])

    return model
