"""A robot whose body is not known: which moves drive it forward?

Robots of a family have masses, damping and motors of their own: a motor is weaker or stronger than another,
may be mounted the wrong way round, and one may be dead. Each robot is a task: a row is the state that it is
in and what its motors do, and the targets are how its velocities then change. Meta-learning is trained on the
motion of robots in a simulator. A new robot moves at random for 50 steps; the model adapts to these rows, and
drives it from then on: at each step it imagines what many plans of a second or less would lead to, and makes
the first move of the best ones (model-predictive control; Nagabandi et al., Learning to adapt in dynamic,
real-world environments through meta-reinforcement learning, ICLR 2019).

    python examples/plot_robot.py              # less than nine minutes on two cores
    python examples/plot_robot.py --robots 10  # the figures in README.md
    python examples/plot_robot.py --quick      # to see that it runs

prints how far new robots get by each model, how well it predicts, and how long it takes; draws robot.png
beside this file. The physics are mujoco's, by gymnasium. For your own robots, make a ``Motion`` of each one's
log, whatever it is that differs: loads, tyres, wear. ``fit_models`` takes these; ``drive`` asks for rewards.
"""

import argparse
from functools import partial
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import gymnasium
import mujoco
import numpy as np
from joblib import Parallel, delayed
from mujoco.rollout import Rollout
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import RidgeCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmeta import TAMLRegressor, TMAMLRegressor
from skmeta.model_selection.intervals import task_interval


class Body(NamedTuple):
    """A body of gymnasium: a move lasts ``n_substeps`` of ``substep`` seconds.

    Nothing depends on its first ``n_places`` coordinates, the first of which is to grow. The integrator is
    one of mujoco's.
    """

    name: str
    substep: float
    n_substeps: int
    n_places: int
    integrator: mujoco.mjtIntegrator

    @property
    def dt(self):
        """Seconds of a move."""
        return self.substep * self.n_substeps


# Both never fall for good and reward the distance, so that one planner suits both. The swimmer has two motors
# and no contact; it is slow, so its moves last longer than gymnasium's, by a cheaper integrator.
BODIES = {
    "half-cheetah": Body("HalfCheetah-v5", 0.01, 5, 1, mujoco.mjtIntegrator.mjINT_EULER),
    "swimmer": Body("Swimmer-v5", 0.02, 5, 2, mujoco.mjtIntegrator.mjINT_IMPLICITFAST),
}
# The family, as multiples of the plain body: ranges of factors that are drawn evenly on a logarithmic scale,
# and how probable it is that a motor turns the wrong way round, and that one of a robot is dead.
MASS, DAMPING, STRENGTH = (0.5, 2.0), (0.5, 2.0), (0.5, 1.5)
REVERSED, ONE_DEAD = 0.5, 0.5

N_TRUNK = 3  # coordinates of the trunk of a body that moves in a plane
N_KNOWN, N_DRIVEN = 50, 50  # steps of random motion by which a robot becomes known; steps that it is driven
HORIZON = 8  # moves of a plan
SMOOTH, WIDTH, LEAST_WIDTH = 0.7, 0.8, 0.02  # of plans: correlation of moves, spread
N_RECENT, N_AHEAD = 5, 5  # steps that a rival sees, and that are predicted at once
# Of training robots: motions at random, and driven by the simulator, by moves that are more and more unsure.
N_AT_RANDOM, UNREST = 12, (0.0, 0.3, 0.7)
NEW = 10_000  # numbers of new robots start here; those of training robots are below
# What is not a default saves time: one fold of held-out robots instead of three, which would also try a
# kernel at the start; half of the steps, with more of a robot's many rows in each.
SETTINGS = {"early_stopping": True, "max_iter": 500, "n_query": 50}
SIMULATOR, POOLED, RECENT = "true simulator", "pooled", "pooled, recent steps"
STYLES = {
    SIMULATOR: {"color": "black", "linewidth": 1.5, "linestyle": ":"},
    "TMAML": {"color": "tab:blue", "linewidth": 5, "alpha": 0.6},  # they may lie on each other
    "TAML": {"color": "tab:orange", "linewidth": 2},
    RECENT: {"color": "tab:green", "linewidth": 1.2, "linestyle": "--"},
    POOLED: {"color": "tab:red", "linewidth": 1.2, "linestyle": "--"},
    "from scratch": {"color": "tab:gray", "linewidth": 1.2, "linestyle": "--"},
}
FIGURE = Path(__file__).with_name("robot.png")


def main(robots=5, seeds=1, jobs=2, quick=False, figure=FIGURE):
    bodies, some = list(BODIES), {}
    if quick:
        bodies, robots, jobs = ["swimmer"], 2, 1
        short = Planner(n_plans=4, n_rounds=1, n_best=2, horizon=2)
        some = {"n_training": 2, "n_steps": 8, "planners": (short, short)}
        some |= {"max_iter": 2, "early_stopping": False}
    studies = [(name, seed) for name in bodies for seed in range(seeds)]
    found = Parallel(n_jobs=jobs)(
        delayed(study)(BODIES[name], seed, robots, **some) for name, seed in studies
    )
    results = {}
    for i, name in enumerate(bodies):
        # The runs of a robot, one for each seed, stand together.
        of_robots = zip(*found[i * seeds : (i + 1) * seeds], strict=True)
        results[name] = list(chain(*of_robots)), np.repeat(np.arange(robots), seeds)
        show(name, *results[name])
    draw(results, figure)
    print(f"\nDrawn: {figure}")


def study(body, seed, n_new, n_training=40, n_steps=N_DRIVEN, planners=None, **params):
    """Learn from training robots, which depend on the seed, and try out the new ones: a dict for each."""
    few, many = planners or (FEW, PLANNER)
    motions = [training_motion(body, n_training * seed + number, few) for number in range(n_training)]
    models = fit_models(body, motions, seed, **params)
    return [try_out(body, models, number, n_steps, many) for number in range(n_new)]


# ---- robots


def plain_robot(body):
    """An environment of gymnasium; that a body's file has a deprecated attribute is not told each time."""
    mujoco.set_mju_user_warning(lambda message: None)
    robot = gymnasium.make(body.name, frame_skip=body.n_substeps).unwrapped
    mujoco.set_mju_user_warning(None)
    return robot


def make_robot(body, number):
    """A robot drawn from the family; the same number is the same robot."""
    robot, rng = plain_robot(body), np.random.default_rng(number)
    model = robot.model
    model.opt.timestep, model.opt.integrator = body.substep, body.integrator
    mass = factors(rng, MASS, model.nbody)
    model.body_mass[:] *= mass
    model.body_inertia[:] *= mass[:, None]
    model.dof_damping[:] *= factors(rng, DAMPING, model.nv)
    model.opt.density *= factors(rng, DAMPING, 1)[0]  # of water, if there is some
    strength = factors(rng, STRENGTH, model.nu) * np.where(rng.random(model.nu) < REVERSED, -1, 1)
    if rng.random() < ONE_DEAD:
        strength[rng.integers(model.nu)] = 0
    model.actuator_gear[:, 0] *= strength
    mujoco.mj_setConst(model, robot.data)  # what mujoco derives of masses
    return robot


def factors(rng, limits, n):
    return np.exp(rng.uniform(*np.log(limits), n))


class Motion(NamedTuple):
    """Steps of a robot: states before them, moves, and how states then changed; a row for each step."""

    states: np.ndarray
    moves: np.ndarray
    changes: np.ndarray

    def windows(self, ago=1):
        """The ``N_RECENT`` steps up to so many steps before each, in one row; ``ago`` may be an array."""
        last = np.arange(len(self.moves)) - ago
        steps = np.column_stack(self)[:, 1:]  # the place does not matter
        return steps[(last[:, None] + np.arange(1 - N_RECENT, 1)).clip(0)].reshape(len(last), -1)


def joined(motions):
    """One ``Motion`` of all steps."""
    return Motion(*map(np.concatenate, zip(*motions, strict=True)))


def state_of(robot):
    """Coordinates, then velocities."""
    return np.concatenate([robot.data.qpos, robot.data.qvel])


def move_on(robot, choose, n_steps, seed):
    """Start anew, and make the moves that ``choose(motion so far)`` returns: the ``Motion``, the rewards."""
    robot.reset(seed=seed)
    n = len(state_of(robot))
    motion, rewards = Motion(*(np.empty((0, n)) for n in (n, robot.model.nu, n))), []
    for _ in range(n_steps):
        before, move = state_of(robot), choose(motion)
        rewards.append(robot.step(move)[1])
        step = before, move, state_of(robot) - before
        motion = Motion(*(np.vstack(pair) for pair in zip(motion, step, strict=True)))
    return motion, np.array(rewards)


def at_random(robot, seed, width=WIDTH):
    """Moves that are random, but smooth."""
    noise = smooth_noise((N_KNOWN, robot.model.nu), np.random.default_rng(seed))
    moves = (width * noise).clip(-1, 1)
    return move_on(robot, lambda motion: moves[len(motion.moves)], N_KNOWN, seed)[0]


# ---- planning


class Planner(NamedTuple):
    """The cross-entropy method: how many plans are drawn how often, and of how many moves."""

    n_plans: int = 48
    n_rounds: int = 2
    n_best: int = 6
    horizon: int = HORIZON

    def plan(self, returns, first, rng):
        """The mean of the best of many plans near a first guess ``(n_moves, n_motors)``.

        ``returns(plans)`` tells what plans ``(n_plans, n_moves, n_motors)``, of moves between -1 and 1, are
        worth. Moves are drawn around the mean of the best plans so far, more narrowly each time; the best are
        kept. The very best one is often one that a model is wrong about.
        """
        best, mean, width = first[None], first, WIDTH
        for _ in range(self.n_rounds):
            drawn = mean + width * smooth_noise((self.n_plans, *first.shape), rng)
            plans = np.concatenate([best, drawn.clip(-1, 1)])
            best = plans[np.argsort(-returns(plans), kind="stable")[: self.n_best]]
            mean, width = best.mean(0), best.std(0) + LEAST_WIDTH
        return mean


PLANNER = Planner()
FEW = Planner(n_plans=20, n_rounds=1, n_best=4)  # of a simulator, for training robots


def smooth_noise(shape, rng):
    """Normal noise ``(..., n_moves, n_motors)``, in which a move is correlated with the one before."""
    noise = rng.standard_normal(shape)
    for i in range(1, shape[-2]):
        noise[..., i, :] = SMOOTH * noise[..., i - 1, :] + np.sqrt(1 - SMOOTH**2) * noise[..., i, :]
    return noise


def drive(robot, lead, n_steps, seed, planner, unrest=0.0):
    """The ``Motion`` and rewards by plans, and the seconds that each took.

    ``lead(motion so far, plans)`` are the places that plans lead to. ``unrest`` is the size of what is added
    to the moves at random.
    """
    rng, ahead, seconds = np.random.default_rng(seed), np.zeros((planner.horizon, robot.model.nu)), []
    cost = robot.control_cost(np.ones(1))

    def choose(motion):
        nonlocal ahead
        start = perf_counter()
        here = robot.data.qpos[0]

        def returns(plans):
            return (lead(motion, plans) - here) / robot.dt - cost * (plans**2).sum((1, 2))

        ahead = planner.plan(returns, ahead, rng)
        seconds.append(perf_counter() - start)
        move, ahead = ahead[0], np.append(ahead[1:], ahead[-1:], 0)
        return (move + unrest * rng.standard_normal(move.shape)).clip(-1, 1)

    return *move_on(robot, choose, n_steps, seed), np.array(seconds)


def by_simulator(robot, other=None):
    """``lead`` of the robot itself, which nobody knows but the simulator; or as if it were another one."""
    model = (robot if other is None else other).model
    spec = mujoco.mjtState.mjSTATE_FULLPHYSICS
    start, scratch = np.empty(mujoco.mj_stateSize(model, spec)), mujoco.MjData(model)
    rollout = Rollout(nthread=0)

    def lead(motion, plans):
        mujoco.mj_getState(robot.model, robot.data, start, spec)
        moves = np.repeat(plans, robot.frame_skip, axis=1)
        states, _ = rollout.rollout(model, scratch, np.tile(start, (len(plans), 1)), moves)
        return states[:, -1, 1]  # after the time

    return lead


def by_model(robot, changes, known):
    """``lead`` of a model: ``changes(states, moves, windows)``, by the steps that are known."""

    def lead(motion, plans):
        so_far = joined([known, motion])
        states = np.tile(state_of(robot), (len(plans), 1))
        recent = Motion(*(np.vstack([part, part[-1:]]) for part in so_far)).windows()[-1:]
        for moves in plans.swapaxes(0, 1):
            states = states + changes(states, moves, recent)
        return states[:, 0]

    return lead


# ---- models of what a robot does


class TwoSteps(NamedTuple):
    """How joints move, by what motors do; then how the trunk does, by how joints move.

    Which way a motor turns matters to joints in the first place: what their motion does to the trunk is about
    the same for all robots. One model of all at once would have to find that by itself.

    ``turns`` ``(n_links, n_coordinates)`` tells which coordinates turn a link, ``limits`` are those of
    states, and ``parts`` ``(2, n_coordinates)`` what coordinates move by velocities before and after a step.
    """

    body: Body
    turns: np.ndarray
    limits: tuple
    parts: np.ndarray

    def questions(self, motion, windows=None):
        """Pairs ``(X, y)`` of a motion, for joints and for the trunk."""
        trunk, joints = np.split(motion.changes[:, self.n :], [N_TRUNK], 1)
        seen = self.seen(motion.states, windows)
        return (np.hstack([seen, motion.moves]), joints), (np.hstack([seen, joints]), trunk)

    def changes(self, models, states, moves, windows=None):
        """Changes of states by models for joints and for the trunk."""
        seen = self.seen(states, windows)
        joints = models[0].predict(np.hstack([seen, moves]))
        velocities = np.hstack([models[1].predict(np.hstack([seen, joints])), joints])
        before = states[:, self.n :]
        return np.hstack([self.parts[0] * before + self.parts[1] * (before + velocities), velocities])

    @property
    def n(self):
        """Number of coordinates."""
        return self.turns.shape[1]

    def seen(self, states, windows):
        """States without places and within the limits, beside directions of links, and windows if given."""
        states = states.clip(*self.limits)
        angles = states[:, : self.n] @ self.turns.T
        seen = [states[:, self.body.n_places :], np.sin(angles), np.cos(angles)]
        if windows is not None:
            seen.append(np.broadcast_to(windows, (len(states), windows.shape[1])))
        return np.hstack(seen)


def two_steps(body, motions):
    """``TwoSteps`` for a body, with the limits of what was seen."""
    model = plain_robot(body).model
    turns = np.zeros((model.nbody, model.nq))
    for link in range(1, model.nbody):
        turns[link] = turns[model.body_parentid[link]]
        for joint in np.flatnonzero(model.jnt_bodyid == link):
            turns[link, model.jnt_qposadr[joint]] = model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_HINGE
    states, _, changes = joined(motions)
    limits = states.min(0), states.max(0)
    before, ways = states[:, model.nq :], changes[:, : model.nq]
    pairs = zip(before.T, (before + changes[:, model.nq :]).T, ways.T, strict=True)
    parts = [np.linalg.lstsq(np.column_stack(pair), way)[0] for *pair, way in pairs]
    return TwoSteps(body, turns[1:], limits, np.transpose(parts))


def fit_models(body, motions, seed, **params):
    """Functions from a known ``Motion`` to ``changes(states, moves, windows)``, by name."""
    steps = two_steps(body, motions)
    tasks = zip(*(steps.questions(motion) for motion in motions), strict=True)
    of_joints, of_trunk = map(list, tasks)
    models = {}
    for estimator in (TMAMLRegressor, TAMLRegressor):
        regressors = [
            estimator(random_state=seed, verbose=1, **(SETTINGS | params)).fit(tasks)
            for tasks in (of_joints, of_trunk)
        ]
        models[estimator.__name__.removesuffix("Regressor")] = partial(adapted, steps, regressors)
    rng = np.random.default_rng(seed)
    recent = [motion.windows(rng.integers(1, HORIZON, len(motion.moves))) for motion in motions]
    for name, windows in (POOLED, None), (RECENT, np.concatenate(recent)):
        regressors = [network(seed).fit(X, y) for X, y in steps.questions(joined(motions), windows)]
        models[name] = partial(as_it_is, steps, regressors, windows is not None)
    models["from scratch"] = partial(from_scratch, steps)
    return models


def adapted(steps, regressors, known):
    for regressor, question in zip(regressors, steps.questions(known), strict=True):
        regressor.adapt(*question)
    return lambda states, moves, windows: steps.changes(regressors, states, moves)


def as_it_is(steps, regressors, reads_windows, known):
    return lambda states, moves, windows: steps.changes(
        regressors, states, moves, windows if reads_windows else None
    )


def from_scratch(steps, known):
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 3, 11)))
    regressors = [clone(ridge).fit(*question) for question in steps.questions(known)]
    return lambda states, moves, windows: steps.changes(regressors, states, moves)


def network(seed):
    """As wide as the default networks of the others."""
    layers = MLPRegressor(
        hidden_layer_sizes=(64, 64), early_stopping=True, tol=1e-3, n_iter_no_change=5, random_state=seed
    )
    return TransformedTargetRegressor(make_pipeline(StandardScaler(), layers), transformer=StandardScaler())


# ---- training and new robots


def training_motion(body, number, planner):
    """What a training robot does: moves at random, and by few plans of the simulator, of another robot too.

    Plans that are wrong lead to where a learned model, which is wrong at times, will lead.
    """
    robot, other = make_robot(body, number), make_robot(body, number + 1)
    motions = [at_random(robot, seed, (1 + seed % 3) * WIDTH) for seed in range(N_AT_RANDOM)]
    leads = [(by_simulator(robot), unrest) for unrest in UNREST] + [(by_simulator(robot, other), 0.0)]
    for seed, (lead, unrest) in enumerate(leads):
        motions.append(drive(robot, lead, N_KNOWN, seed, planner, unrest)[0])
    return joined(motions)


class Driven(NamedTuple):
    """How a new robot went by a model: rewards, places, seconds to adapt and for each plan, and errors.

    Errors are squared ones of velocities after one step and after ``N_AHEAD``, of a motion by the simulator,
    as shares of the variance of what changes.
    """

    rewards: np.ndarray
    places: np.ndarray
    to_adapt: float
    to_plan: np.ndarray
    errors: np.ndarray


def try_out(body, models, number, n_steps, planner):
    """A ``Driven`` for each model and the simulator, by name, of the new robot of that number."""
    robot = make_robot(body, NEW + number)
    known = at_random(robot, seed=NEW)
    best, *others = drive(robot, by_simulator(robot), n_steps, number, planner)
    found = {SIMULATOR: driven(best, *others, 0.0, np.zeros(2))}
    for name, model in models.items():
        start = perf_counter()
        changes = model(known)
        to_adapt = perf_counter() - start
        went = drive(robot, by_model(robot, changes, known), n_steps, number, planner)
        found[name] = driven(*went, to_adapt, errors_of(changes, best, known))
    return found


def driven(motion, rewards, seconds, to_adapt, errors):
    return Driven(rewards, motion.states[:, 0] - motion.states[0, 0], to_adapt, seconds, errors)


def errors_of(changes, motion, known):
    """Squared errors of velocities after one step and ``N_AHEAD``, as shares of the variance of changes."""
    n, n_known = len(motion.moves) - N_AHEAD, len(known.moves)
    windows, states = joined([known, motion]).windows()[n_known : n_known + n], motion.states[:n]
    velocities = slice(motion.states.shape[1] // 2, None)
    errors = []
    for i in range(N_AHEAD):
        states = states + changes(states, motion.moves[i : n + i], windows)
        true = motion.states[i + 1 : n + i + 1, velocities]
        spread = (true - motion.states[:n, velocities]).var(0)
        errors.append((((states[:, velocities] - true) ** 2).mean(0) / spread).mean())
    return np.array(errors)[[0, -1]]


# ---- what is seen


def show(name, of_robots, number):
    """Table of the returns, errors and times of a body; ``number`` is that of each run's robot, in order."""
    returns = {model: returns_of(of_robots, model) for model in of_robots[0]}
    gap = returns[SIMULATOR].mean() - returns[POOLED].mean()
    n_steps = len(of_robots[0][POOLED].rewards)
    print(f"\n{len(set(number))} new robots, {name}: return of {n_steps} steps, ± half of the 95 % interval")
    print("over robots; errors of velocities, as shares of the variance of their changes; medians of times")
    print(f"{'':30}{'return':>16}{'of the gap':>12}{'1 step':>9}{N_AHEAD:>3} steps{'adapt':>11}{'plan':>11}")
    for model, values in returns.items():
        went = [robot[model] for robot in of_robots]
        one, some = np.median([of.errors for of in went], axis=0)
        adapt, step = (
            1e3 * np.median([of.to_adapt for of in went]),
            1e3 * np.median([of.to_plan for of in went]),
        )
        cell = f"{values.mean():.1f} ± {task_interval(values, number):.1f}"
        share = (values.mean() - returns[POOLED].mean()) / gap
        print(f"{model:30}{cell:>16}{share:12.2f}{one:9.2f}{some:9.2f}{adapt:8.0f} ms{step:8.0f} ms")
    for rival in POOLED, RECENT:  # paired: the same robots
        less = returns["TMAML"] - returns[rival]
        cell = f"{less.mean():.1f} ± {task_interval(less, number):.1f}"
        print(f"{'TMAML - ' + rival:30}{cell:>16}")


def returns_of(of_robots, model):
    return np.array([robot[model].rewards.sum() for robot in of_robots])


def draw(results, path):
    """How far robots get in time, on average; at the end, with intervals over robots."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(11, 4.8), layout="constrained", squeeze=False)
    for ax, (name, (of_robots, number)) in zip(axes[0], results.items(), strict=True):
        for i, model in enumerate(STYLES):
            places = np.array([robot[model].places for robot in of_robots])
            seconds = BODIES[name].dt * np.arange(places.shape[1])
            ax.plot(seconds, places.mean(0), label=model, **STYLES[model])
            end = seconds[-1] * (1.03 + 0.03 * i), places[:, -1].mean()
            ax.errorbar(*end, task_interval(places[:, -1], number), marker="o", color=STYLES[model]["color"])
        ax.set_title(f"{name}: {len(set(number))} new robots")
        ax.set_xlabel("seconds; at the end, 95 % intervals over robots")
        ax.set_ylabel("metres forward")
        ax.grid(alpha=0.3)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Robots of unknown bodies.")
    parser.add_argument("--robots", type=int, default=5, help="new robots of each body (default: 5)")
    parser.add_argument("--seeds", type=int, default=1, help="sets of training robots (default: 1)")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once (default: 2)")
    parser.add_argument("--quick", action="store_true", help="few robots and steps, to see that it runs")
    main(**vars(parser.parse_args()))
