"""The parameters that all estimators have: their defaults, what they mean, and skorch's beside them."""

import inspect
from typing import ClassVar

from sklearn.base import BaseEstimator

from skmeta.estimators.params import SKORCH_PREFIXES, check_names
from skmeta.estimators.signatures import complete


class HasTraining(BaseEstimator):
    """Base of what is meta-trained: the parameters of any network and any target.

    Parameters
    ----------
    adapt_steps : int or None
        Steps that ``adapt`` takes; None is ``inner_steps``, 0 leaves the initialisation as it is. A posterior
        head is solved in any case; while it is the start (``best_iter_`` is 0), no step is made before it.
    learn_inner_lr : bool
        Learn a positive step size for each parameter tensor, starting from ``inner_lr``. Reptile and
        joint training have no gradient for it, and leave it there.
    meta_gradient : {"second_order", "first_order", "reptile", "joint"}
        Exact, through the inner loop (MAML); with its gradients as constants (FOMAML); the way that the
        inner loop went (Reptile); or without an inner loop, which is multi-task training.
    optimizer : {"adam", "adamw", "sgd"} or torch.optim.Optimizer class
        Of the outer loop.
    n_iter_no_change : int
        Looks without an improvement by ``tol`` after which training stops.
    tol : float
        The least gain of the score on held-out tasks that counts as an improvement.
    callbacks : list of skorch callbacks or None
        What else is done while training: schedules, checkpoints, scores.
    device : str or torch.device
        ``"auto"``: CUDA, then Apple's MPS, then the CPU.
    verbose : int
        1 shows a progress bar, 2 also skorch's table.
    random_state : int, RandomState instance or None
        The same number gives the same result. Global random states are not touched.
    **kwargs
        skorch's spellings: ``module__*``, ``optimizer__*``, ``callbacks__*``,
        ``iterator_train__batch_size`` (in place of ``meta_batch_size``, which validation keeps) and
        ``iterator_train__steps_per_epoch`` (50).
    """

    _skorch_params: ClassVar = {}
    # Rules of parameters that allow less than the table of all does.
    _own_rules: ClassVar = {}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "__init__" not in vars(cls):
            complete(cls)

    def __init__(
        self,
        *,
        adapt_steps=None,
        learn_inner_lr=True,
        meta_gradient="second_order",
        optimizer="adam",
        n_iter_no_change=5,
        tol=1e-4,
        callbacks=None,
        device="auto",
        verbose=0,
        random_state=None,
        **kwargs,
    ):
        self.adapt_steps = adapt_steps
        self.learn_inner_lr = learn_inner_lr
        self.meta_gradient = meta_gradient
        self.optimizer = optimizer
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.callbacks = callbacks
        self.device = device
        self.verbose = verbose
        self.random_state = random_state
        if kwargs:
            check_names(self, kwargs, self._own_names(), TypeError)
            self._skorch_params = dict(kwargs)

    def get_params(self, deep=True):
        """Parameters by name, skorch's spellings included."""
        return super().get_params(deep) | self._skorch_params

    def set_params(self, **params):
        """Set parameters, skorch's spellings included, and return the estimator."""
        ours = {name: value for name, value in params.items() if name.startswith(SKORCH_PREFIXES)}
        theirs = {name: value for name, value in params.items() if name not in ours}
        # scikit-learn would set those before the first wrong one.
        check_names(self, theirs, self._own_names(), ValueError)
        super().set_params(**theirs)
        if ours:
            self._skorch_params = self._skorch_params | ours
        return self

    def _own_names(self):
        return list(inspect.signature(type(self)).parameters)


class HasParameters(HasTraining):
    """Base of what has the parameters of a meta-training on rows.

    Parameters
    ----------
    module : nn.Module, its class or a factory
        The backbone, which maps rows to features; the last layer is added. None is an MLP. Its rows alone
        may lack values, NaN, which become the training mean, beside an indicator for each column that lacked
        some; and columns of a pandas DataFrame may be strings or ``category``, each level of which, in
        training, becomes a feature, and other levels none. A class is called with those of ``in_features``,
        ``in_channels`` (both ``X.shape[1]``) and ``input_shape`` (``X.shape[1:]``) that its signature names,
        and the ``module__*`` arguments. An instance, such as a pretrained network without its last layer, is
        copied; its frozen parameters stay frozen.
    hidden_layer_sizes : tuple of int
        Widths of the MLP.
    inner_lr : float
        Step size of the inner loop.
    inner_steps : int or "auto"
        Steps of the inner loop while meta-training. ``"auto"`` is 5, or 2 with the posterior head, which is
        solved after them.
    adapt_params : {"all", "head"} or list of str
        What the inner loop changes; patterns such as ``"backbone.mlp.*"`` are matched with the
        names in ``adapted_params_``. ``"head"`` is ANIL; with the posterior head, which is solved, no step.
    task_regularizer : None or {"theil", "gini", "atkinson", "generalized_entropy", "log_variance"}
        The term R, of the model before adaptation: an inequality of the task losses, which wants them
        even.
    regularizer_weight : float
        Weight of R.
    augment : callable or None
        ``augment(X, generator)`` changes the rows of a meta-batch, of meta-training alone: a tensor of
        shape ``(n_tasks, n_support + n_query, ...)``, the support rows first, to one of the same shape.
        What it draws by ``generator``, on the device of ``X``, can be repeated and resumed. See
        ``skmeta.GaussianNoise``, ``skmeta.Rotations`` and ``skmeta.Shifts``.
    outer_lr : float or "auto"
        Step size of the outer loop. ``"auto"`` is 0.002, or 0.01 with the posterior head, but for more than
        two shared classes.
    average : float or "auto"
        Decay of a moving average of the outer loop's iterates, which is what is validated and kept: 0.99
        averages over the last hundred or so. 0 keeps the last one. ``"auto"`` is 0, or 0.98 with the
        posterior head.
    max_iter : int or "auto"
        Outer steps. ``"auto"``: 600, or 20 for a single task (of a classifier, with a shared label space);
        1000 with the posterior head, or 0 for a single task, and where nothing could tell whether to leave a
        start that can stand alone: of too few tasks or classes to hold some out, or more than 2000 columns,
        unless ``early_stopping`` is set. Of more than two shared classes it cannot: 50 then.
    meta_batch_size : int
        Episodes in an outer step.
    early_stopping : bool or "auto"
        Hold out tasks for meta-validation and keep the best state. Of a single task, classes or rows
        are held out. The score is looked at after each epoch of 50 outer steps, a row of ``history_``; with
        the posterior head also before the first step, and if that is best, the start is what is kept, fitted
        to all tasks (with ``warm_start``, to those that were not held out). ``"auto"`` is on with the
        posterior head, if there are 10 tasks or more (of more than two shared classes 4), or in a single one
        5 times ``n_way`` classes. Of several tasks, three folds are then held out in turn; they choose
        ``start_``, the epoch at which to stop, and ``calibration_``, and all tasks are trained so long. Of
        200 tasks or more, one fold is. With ``warm_start`` or ``callbacks``, or of a single task, it is as
        ``True``.
    validation_fraction : float or "auto"
        Share of the tasks that is held out, unless three folds are. ``"auto"`` is 0.1, or 0.2 with the
        posterior head.
    warm_start : bool
        Continue from the last ``fit`` with ``max_iter`` more outer steps. Beside it, only ``adapt_steps``
        may have changed. A pickle holds what it takes to continue only if this is True.
    """

    def __init__(
        self,
        module=None,
        *,
        hidden_layer_sizes=(64, 64),
        head="auto",
        n_shot="auto",
        n_query=15,
        inner_lr=0.05,
        inner_steps="auto",
        adapt_params="all",
        task_regularizer=None,
        regularizer_weight=0.1,
        augment=None,
        outer_lr="auto",
        average="auto",
        max_iter="auto",
        meta_batch_size=16,
        early_stopping="auto",
        validation_fraction="auto",
        warm_start=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.module = module
        self.hidden_layer_sizes = hidden_layer_sizes
        self.head = head
        self.n_shot = n_shot
        self.n_query = n_query
        self.inner_lr = inner_lr
        self.inner_steps = inner_steps
        self.adapt_params = adapt_params
        self.task_regularizer = task_regularizer
        self.regularizer_weight = regularizer_weight
        self.augment = augment
        self.outer_lr = outer_lr
        self.average = average
        self.max_iter = max_iter
        self.meta_batch_size = meta_batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
