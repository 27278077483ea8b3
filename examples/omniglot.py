"""Omniglot: tell apart characters never seen before, from one drawing of each.

Meta-trains Conv4 on drawings of 4,112 characters for as long as ``--minutes`` says, reports the
accuracy on meta-validation characters while it runs, keeps the state that did best there, and at the
end reports the accuracy on 600 episodes of meta-test characters, once; ``--episodes`` changes the number.

    python examples/omniglot.py --minutes 20
    python examples/omniglot.py --way 20 --shot 1 --algorithm taml --minutes 60

The images are read from the folder that the environment variable SKMETA_DATA names, else downloaded.
"""

import argparse
import pickle
import time

import torch

from skmeta import Conv4, Shifts, TAMLClassifier, TMAMLClassifier, evaluate
from skmeta.datasets import fetch_omniglot

ALGORITHMS = {"tmaml": TMAMLClassifier, "taml": TAMLClassifier}


def main(args):
    torch.set_num_threads(args.threads)
    train, validation, test = (read(subset, args.data) for subset in ("train", "validation", "test"))
    learner = ALGORITHMS[args.algorithm](
        Conv4,
        label_space="per_task",
        n_way=max(20, args.way),  # harder than what is asked, and so each episode teaches more
        n_shot=args.shot,
        # Few tasks and rows and one first-order step of the head: more outer steps a minute count for more.
        n_query=3,
        meta_batch_size=4,
        inner_lr=0.1,
        inner_steps=1,
        adapt_params="head",
        meta_gradient="first_order",
        augment=Shifts(2),
        average=0.999,
        max_iter=args.chunk,
        warm_start=True,
        device=args.device,
        random_state=args.seed,
    )
    best, kept, spent = 0.0, None, 0.0
    print(f"minutes  outer steps  loss   meta-validation accuracy ({args.episodes // 2} episodes)")
    while spent < 60 * args.minutes:
        start = time.perf_counter()
        learner.fit(train)
        spent += time.perf_counter() - start
        result = accuracy(learner, validation, args, n_episodes=args.episodes // 2)
        loss = sum(learner.loss_curve_[-args.chunk :]) / args.chunk
        print(f"{spent / 60:7.1f}  {learner.n_iter_:11d}  {loss:.3f}  {show(result)}", flush=True)
        if result.mean > best:
            best, kept = result.mean, pickle.dumps(learner)
    result = accuracy(pickle.loads(kept), test, args, n_episodes=args.episodes)
    title = f"{args.algorithm.upper()}, {args.way}-way {args.shot}-shot"
    print(f"\n{title}, meta-test: {show(result)} ({args.episodes} episodes)")


def read(subset, path):
    """One task that holds all characters of a subset: episodes draw a few of them."""
    characters = fetch_omniglot(subset=subset, path=path)
    return [(characters.data, characters.target)]


def accuracy(learner, tasks, args, n_episodes):
    return evaluate(
        learner, tasks, n_episodes=n_episodes, n_way=args.way, n_shot=args.shot, n_query=15, random_state=1
    )


def show(result):
    return f"{100 * result.mean:.2f} ± {100 * result.interval:.2f} %"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--way", type=int, default=5, help="characters in an episode")
    parser.add_argument("--shot", type=int, default=1, help="drawings of each to adapt to")
    parser.add_argument("--minutes", type=float, default=20, help="time to meta-train")
    parser.add_argument("--chunk", type=int, default=100, help="outer steps between two reports")
    parser.add_argument("--episodes", type=int, default=600, help="of meta-test; half as many of validation")
    parser.add_argument("--algorithm", choices=ALGORITHMS, default="tmaml")
    parser.add_argument("--data", help="folder with omniglot_28.npz (default: SKMETA_DATA, else download)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
