"""The methods of skmeta: a line for each."""

from dataclasses import asdict, dataclass, field

from benchmarks.accuracy.training import train
from benchmarks.accuracy.versions import (
    LEARNERS,
    META_MODELS,
    SCORING,
    augmentation_files,
    code_version,
    view_files,
)
from skmeta import GaussianNoise, TAMLClassifier, TAMLRegressor, TMAMLClassifier, TMAMLRegressor

ESTIMATORS = {
    ("TMAML", False): TMAMLClassifier,
    ("TMAML", True): TMAMLRegressor,
    ("TAML", False): TAMLClassifier,
    ("TAML", True): TAMLRegressor,
}


@dataclass(frozen=True)
class Variant:
    """A meta-trained estimator with parameters of its own, and the kinds of study that it is for.

    A ``tuned`` one is chosen from the study's grid, as baselines are from theirs. The others are the
    study's settings with one thing changed, so that it can be seen what that does.
    """

    name: str
    algorithm: str
    params: dict = field(default_factory=dict)
    kinds: tuple = ("shared", "per_task", "regression")
    tuned: bool = False
    is_ours = True

    def suits(self, study):
        """Whether the method is run in a study."""
        return study.kind in self.kinds and (study.variants is None or self.name in study.variants)

    def code_of(self, params):
        """Version of the code that the result depends on."""
        meta_model = (META_MODELS,) if self.algorithm == "TAML" else ()
        files = *meta_model, *augmentation_files(params), *view_files(params)
        return code_version(*LEARNERS, *SCORING, *files)

    def candidates(self, study):
        """The parameters to choose from on meta-validation; what makes the variant is fixed."""
        base = {"features": study.features, **study.settings}
        return [
            base | chosen | self.params for chosen in (study.grid[self.algorithm] if self.tuned else ({},))
        ]

    def n_seeds(self, study):
        """Seeds of the training."""
        return study.n_seeds

    def config(self, study):
        """What the result depends on beside the study and the parameters."""
        return {"algorithm": self.algorithm, "training": asdict(study.training)}

    def make(self, study, params, seed):
        """The estimator, not fitted."""
        return ESTIMATORS[self.algorithm, study.regression](**params, random_state=seed)

    def fit(self, study, tasks, params, seed, clock, load_state, save_state):
        """The meta-trained model, and the minutes and steps that it took."""
        learner = self.make(study, params, seed)
        n_episodes = study.protocol.n_looked_at

        def look(learner):
            return float(study.evaluate(learner, tasks.validation, n_episodes).mean)

        model, state = train(learner, tasks.train, study.training, look, clock, load_state, save_state)
        return model, {"minutes": state.minutes, "steps": state.steps, "best_steps": state.best_steps}


SHARED = ("shared",)
CLASSES = "shared", "per_task"

VARIANTS = [
    Variant("TMAML", "TMAML"),
    Variant("TAML", "TAML"),
    Variant("TMAML, tuned", "TMAML", tuned=True),
    Variant("TAML, tuned", "TAML", tuned=True),
    Variant("TMAML, first order", "TMAML", {"meta_gradient": "first_order"}),
    Variant("TAML, first order", "TAML", {"meta_gradient": "first_order"}),
    Variant("TMAML, Reptile", "TMAML", {"meta_gradient": "reptile"}),
    Variant("TMAML, joint", "TMAML", {"meta_gradient": "joint"}),
    Variant("TMAML, head only", "TMAML", {"adapt_params": "head"}),
    Variant("TMAML, prototype head", "TMAML", {"head": "prototype"}, SHARED),
    Variant("TMAML, one wide layer", "TMAML", {"hidden_layer_sizes": (256,)}, ("shared", "regression")),
    Variant("TMAML, input noise", "TMAML", {"augment": GaussianNoise(0.5)}),
    Variant("TAML, input noise", "TAML", {"augment": GaussianNoise(0.5)}),
    Variant("TMAML, averaged", "TMAML", {"average": 0.99}),
    Variant("TMAML, weight decay", "TMAML", {"optimizer": "adamw", "optimizer__weight_decay": 0.1}),
    Variant("TMAML, 10 steps to adapt", "TMAML", {"adapt_steps": 10}),
    Variant("TMAML, entropy", "TMAML", {"task_regularizer": "entropy"}, CLASSES),
    Variant("TMAML, Theil", "TMAML", {"task_regularizer": "theil"}),
    Variant("TMAML, Gini", "TMAML", {"task_regularizer": "gini"}),
    Variant("TMAML, Atkinson", "TMAML", {"task_regularizer": "atkinson"}),
    Variant("TMAML, generalized entropy", "TMAML", {"task_regularizer": "generalized_entropy"}),
    Variant("TMAML, log-variance", "TMAML", {"task_regularizer": "log_variance"}),
]
