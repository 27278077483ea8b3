"""Settings for all tests: one thread a process, as many processes as pyproject.toml says."""

import os

# Two threads on tiny tensors were many times slower than one. BLAS and OpenMP read it as they are loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

torch.set_num_threads(1)
# What a start answers is asked there, or a model is fitted on import; elsewhere the start is found
# as roughly as QUICK trains. One fold of tasks does, where they are not what is asked for.
ASK_THE_START = "test_posterior_estimators", "test_learning", "test_kernel", "test_regression_losses"


@pytest.fixture(autouse=True, scope="module")
def quick_start(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.path.stem != "test_folds":
            patch.setattr("skmeta.estimators.auto.N_FOLDS", 1)
            patch.setattr("skmeta.estimators.training.VALIDATION_EPISODES", (64, 64))
        if request.path.stem not in (*ASK_THE_START, "test_folds"):
            patch.setattr("skmeta.engine.start.N_STEPS", 2)
            patch.setattr("skmeta.estimators.training.DRAWS_TO_START_FROM", (2, 1))
            patch.setattr("skmeta.estimators.training.LEAST_TO_START_FROM", 8)
            patch.setattr("skmeta.estimators.training.EPISODES_WITHOUT_MEANS", 16)
            patch.setattr("skmeta.estimators.training.VALIDATION_EPISODES", (64, 16))
        if request.path.stem not in ASK_THE_START:
            patch.setattr("skmeta.core.mixed_model.STEPS_WITH_FEATURES", 3)
            patch.setattr("skmeta.estimators.training.TO_FIT_A_KERNEL", (20, 20))
        yield


def pytest_collection_modifyitems(items):
    """Files with long tests go first, so that no process waits for the last of them."""
    first = "test_sklearn", "test_examples", "test_text", "test_learning", "test_regressors", "test_few_shot"
    items.sort(key=lambda item: item.path.stem not in first)
