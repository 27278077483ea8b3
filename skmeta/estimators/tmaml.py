"""TMAML: a learned initialisation, adapted by gradient steps."""

from skmeta.estimators.classifier import MetaClassifier
from skmeta.estimators.regressor import MetaRegressor


class TMAMLClassifier(MetaClassifier):
    """Few-shot classifier that meta-learns an initialisation (TMAML).

    Meta-training looks for parameters ``theta`` from which ``inner_steps`` gradient steps on a task's
    support set lead to a low loss on its query set::

        theta_i <- theta_i - inner_lr * grad L_i^S(theta_i),   starting at theta
        minimise over theta:  mean_i L_i^Q(theta_i) + regularizer_weight * R

    ``adapt`` takes these steps for a new task, and the predictions then speak for it. They are
    inductive: a row's prediction does not depend on the rows beside it.

    Parameters
    ----------
    module : nn.Module, its class or a factory, default=None
        The backbone, which maps rows to features; the last layer is added. None is an MLP. A class is
        called with those of ``in_features``, ``in_channels`` (both ``X.shape[1]``) and ``input_shape``
        (``X.shape[1:]``) that its signature names, and the ``module__*`` arguments. An instance, such
        as a pretrained network without its last layer, is copied; its frozen parameters stay frozen.
    hidden_layer_sizes : tuple of int, default=(64, 64)
        Widths of the MLP.
    head : {"auto", "linear", "tied", "prototype", "cosine"}, default="auto"
        How the last layer of a task starts. ``"linear"``: a learned row for each class of the shared
        label space. ``"tied"``: one learned row for all classes. ``"prototype"``: from the class means
        of the support set, the nearest by distance. ``"cosine"``: from them, the nearest by angle.
        ``"auto"``: linear for a shared label space, else prototype.
    label_space : {"auto", "shared", "per_task"}, default="auto"
        Whether a label means the same in every task. ``"auto"``: shared if some task holds every class
        that occurs; of flat ``X, y``, if there are at most ``n_way`` classes.
    n_way : int, default=5
        Classes in an episode of a per-task label space; with a shared one, all that the task holds.
    n_shot, n_query : int, default=5, 15
        Support and query rows of each class in an episode. Of a class with fewer than ``n_shot + 1``
        rows, half are support.
    inner_lr : float, default=0.05
        Step size of the inner loop.
    inner_steps : int, default=5
        Steps of the inner loop while meta-training.
    adapt_steps : int, default=None
        Steps that ``adapt`` takes; None is ``inner_steps``, 0 leaves the initialisation as it is.
    learn_inner_lr : bool, default=True
        Learn a positive step size for each parameter tensor, starting from ``inner_lr``. Reptile and
        joint training have no gradient for it, and leave it there.
    adapt_params : {"all", "head"} or list of str, default="all"
        What the inner loop changes; patterns such as ``"backbone.layers.1.*"`` are matched with the
        names in ``adapted_params_``. ``"head"`` is ANIL.
    meta_gradient : {"second_order", "first_order", "reptile", "joint"}, default="second_order"
        Exact, through the inner loop (MAML); with its gradients as constants (FOMAML); the way that the
        inner loop went (Reptile); or without an inner loop, which is multi-task training.
    task_regularizer : {None, "entropy", "theil", "gini", "atkinson", "generalized_entropy", \
            "log_variance"}, default=None
        The term R, of the model before adaptation: undecided outputs, or an inequality of the task
        losses, which wants them even.
    regularizer_weight : float, default=0.1
        Weight of R.
    augment : callable, default=None
        ``augment(X, generator)`` changes the rows of a meta-batch, of pretraining and meta-training alone:
        a tensor of shape ``(n_tasks, n_support + n_query, ...)``, the support rows first, to one of the
        same shape. What it draws by ``generator``, on the device of ``X``, can be repeated and resumed.
        See ``skmeta.GaussianNoise``, ``skmeta.Rotations`` and ``skmeta.Shifts``.
    pretrain_iter : int, default=0
        Steps of Adam, before meta-training, by which the backbone and a plain last layer learn all rows
        of the meta-batches together. The classes are those of a shared label space, with which a linear
        head is trained too; else each label of each task is one.
    optimizer : {"adam", "adamw", "sgd"} or torch.optim.Optimizer class, default="adam"
        Of the outer loop.
    outer_lr : float, default=2e-3
        Step size of the outer loop.
    average : float, default=0.0
        Decay of a moving average of the outer loop's iterates, which is what is validated and kept: 0.99
        averages over the last hundred or so. 0 keeps the last one.
    max_iter : int or "auto", default="auto"
        Outer steps. ``"auto"``: 600, or 20 if the data are a single task with a shared label space.
    meta_batch_size : int, default=16
        Episodes in an outer step.
    early_stopping : bool, default=False
        Hold out tasks for meta-validation and keep the best state. Of a single task, classes or rows
        are held out. The score is looked at after each epoch of 50 outer steps, a row of ``history_``.
    validation_fraction : float, default=0.1
        Share of the tasks that is held out.
    n_iter_no_change : int, default=10
        Looks without an improvement by ``tol`` after which training stops.
    tol : float, default=1e-4
    callbacks : list of skorch callbacks, default=None
    strategy : {"auto", "batched", "vmap", "loop"}, default="auto"
        How the tasks of a meta-batch are computed: together, by matrix products written out for the
        default network (``"batched"``, TMAML's step on a CPU twice as fast as the next); together, by
        ``torch.vmap``; or one after the other. ``"auto"``: the default network, adapted as a whole,
        batched; convolutions on a CPU and modules that ``vmap`` cannot batch in a loop; else vmap.
    device : str or torch.device, default="auto"
        ``"auto"``: CUDA, then Apple's MPS, then the CPU.
    warm_start : bool, default=False
        Continue from the last ``fit`` with ``max_iter`` more outer steps. Beside it, only ``adapt_steps``
        may have changed.
    verbose : int, default=0
        1 shows a progress bar, 2 also skorch's table.
    random_state : int, RandomState instance or None, default=None
        The same number gives the same result. Global random states are not touched.
    **kwargs
        skorch's spellings: ``module__*``, ``optimizer__*``, ``callbacks__*``,
        ``iterator_train__batch_size`` (in place of ``meta_batch_size``, which validation keeps) and
        ``iterator_train__steps_per_epoch`` (50).

    Attributes
    ----------
    meta_params_ : dict of str to Tensor
        What was learned, the step sizes' logarithms included.
    adapted_params_ : dict of str to Tensor
        Parameters of the adapted task.
    classes_ : ndarray of shape (n_classes,)
        Classes of the adapted task: those of its support set, or the shared label space.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        If ``X`` had names.
    n_tasks_ : int
        Tasks that were given to ``fit``.
    n_iter_ : int
        Outer steps, skipped ones included.
    n_skipped_ : int
        Outer steps that were not finite, and so not made.
    history_ : skorch History
    loss_curve_ : list of float
        Outer objective of each step.
    validation_scores_ : list of float
        Mean accuracy on the held-out episodes at each epoch; empty without early stopping.
    net_ : skorch NeuralNet
    device_ : torch.device

    References
    ----------
    C. Finn, P. Abbeel, S. Levine, Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks,
    ICML 2017.

    M. A. Jamal, G.-J. Qi, Task Agnostic Meta-Learning for Few-Shot Learning, CVPR 2019: the terms
    ``task_regularizer``. What that paper calls TAML is this estimator with them.

    Examples
    --------
    >>> from skmeta import TMAMLClassifier
    >>> from skmeta.datasets import make_scanners
    >>> scanners = make_scanners(n_train=20, n_test=1, random_state=0)
    >>> clf = TMAMLClassifier(max_iter=20, random_state=0).fit(scanners.train)
    >>> X, y = scanners.test[0]
    >>> clf.adapt(X[:20], y[:20]).predict(X[20:22]).shape
    (2,)
    """

    def __init__(
        self,
        module=None,
        *,
        hidden_layer_sizes=(64, 64),
        head="auto",
        label_space="auto",
        n_way=5,
        n_shot=5,
        n_query=15,
        inner_lr=0.05,
        inner_steps=5,
        adapt_steps=None,
        learn_inner_lr=True,
        adapt_params="all",
        meta_gradient="second_order",
        task_regularizer=None,
        regularizer_weight=0.1,
        augment=None,
        pretrain_iter=0,
        optimizer="adam",
        outer_lr=2e-3,
        average=0.0,
        max_iter="auto",
        meta_batch_size=16,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        callbacks=None,
        strategy="auto",
        device="auto",
        warm_start=False,
        verbose=0,
        random_state=None,
        **kwargs,
    ):
        super().__init__(
            module=module,
            hidden_layer_sizes=hidden_layer_sizes,
            n_shot=n_shot,
            n_query=n_query,
            inner_lr=inner_lr,
            inner_steps=inner_steps,
            adapt_steps=adapt_steps,
            learn_inner_lr=learn_inner_lr,
            adapt_params=adapt_params,
            meta_gradient=meta_gradient,
            task_regularizer=task_regularizer,
            regularizer_weight=regularizer_weight,
            augment=augment,
            pretrain_iter=pretrain_iter,
            optimizer=optimizer,
            outer_lr=outer_lr,
            average=average,
            max_iter=max_iter,
            meta_batch_size=meta_batch_size,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            callbacks=callbacks,
            strategy=strategy,
            device=device,
            warm_start=warm_start,
            verbose=verbose,
            random_state=random_state,
            **kwargs,
        )
        self.head = head
        self.label_space = label_space
        self.n_way = n_way


class TMAMLRegressor(MetaRegressor):
    """Few-shot regressor that meta-learns an initialisation (TMAML).

    As ``TMAMLClassifier``, with squared errors. Targets are brought to the order of one and back inside:
    a task's level and scale are estimated from its support set and what the tasks of ``fit`` have in
    common, so that tasks may be alike, or differ by factors of a million, without a parameter to set.
    Without a ``module``, features are standardised too, by their means and deviations in ``fit``. Outer
    gradients are clipped to a norm of 1, which ``callbacks__clip_gradient__gradient_clip_value`` changes,
    those of the inner loop to a norm of 30.

    Parameters
    ----------
    n_shot, n_query : int, default=5, 15
        Support and query rows of a task in an episode. Of a task with fewer than ``n_shot + 1`` rows,
        half are support.
    task_regularizer : {None, "theil", "gini", "atkinson", "generalized_entropy", "log_variance"}, \
            default=None
        As in ``TMAMLClassifier``; entropy is of classes.
    module, hidden_layer_sizes, inner_lr, inner_steps, adapt_steps, learn_inner_lr, adapt_params, \
    meta_gradient, regularizer_weight, augment, pretrain_iter, optimizer, outer_lr, average, max_iter, \
    meta_batch_size, early_stopping, validation_fraction, n_iter_no_change, tol, callbacks, strategy, \
    device, warm_start, verbose, random_state, **kwargs
        As in ``TMAMLClassifier``, with the same defaults, errors and attributes, but ``classes_``.
        Pretraining takes targets in units of the task's level and scale.
        ``validation_scores_`` are 1 - squared error in units of the task's variance. A fit of flat
        ``X, y`` takes random parts of the rows as support and query sets.

    References
    ----------
    C. Finn, P. Abbeel, S. Levine, Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks,
    ICML 2017. ``skmeta.tasks.targets.TargetScaler`` has the sources of the scaling.

    Examples
    --------
    >>> import numpy as np
    >>> from skmeta import TMAMLRegressor
    >>> rng = np.random.default_rng(0)
    >>> tasks = []
    >>> for slope in rng.normal(size=20):
    ...     X = rng.uniform(-1, 1, size=(20, 1))
    ...     tasks.append((X, slope * X[:, 0]))
    >>> reg = TMAMLRegressor(max_iter=20, random_state=0).fit(tasks[:-1])
    >>> X, y = tasks[-1]
    >>> reg.adapt(X[:5], y[:5]).predict(X[5:]).shape
    (15,)
    """

    def __init__(
        self,
        module=None,
        *,
        hidden_layer_sizes=(64, 64),
        n_shot=5,
        n_query=15,
        inner_lr=0.05,
        inner_steps=5,
        adapt_steps=None,
        learn_inner_lr=True,
        adapt_params="all",
        meta_gradient="second_order",
        task_regularizer=None,
        regularizer_weight=0.1,
        augment=None,
        pretrain_iter=0,
        optimizer="adam",
        outer_lr=2e-3,
        average=0.0,
        max_iter="auto",
        meta_batch_size=16,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        callbacks=None,
        strategy="auto",
        device="auto",
        warm_start=False,
        verbose=0,
        random_state=None,
        **kwargs,
    ):
        super().__init__(
            module=module,
            hidden_layer_sizes=hidden_layer_sizes,
            n_shot=n_shot,
            n_query=n_query,
            inner_lr=inner_lr,
            inner_steps=inner_steps,
            adapt_steps=adapt_steps,
            learn_inner_lr=learn_inner_lr,
            adapt_params=adapt_params,
            meta_gradient=meta_gradient,
            task_regularizer=task_regularizer,
            regularizer_weight=regularizer_weight,
            augment=augment,
            pretrain_iter=pretrain_iter,
            optimizer=optimizer,
            outer_lr=outer_lr,
            average=average,
            max_iter=max_iter,
            meta_batch_size=meta_batch_size,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            callbacks=callbacks,
            strategy=strategy,
            device=device,
            warm_start=warm_start,
            verbose=verbose,
            random_state=random_state,
            **kwargs,
        )
