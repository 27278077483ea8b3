"""The average of the outer loop's iterates, which is kept in the place of the last one."""

import torch
from skorch.callbacks import Callback


class AverageIterates(Callback):
    """Keeps an exponential moving average of what is learned.

    ``t - k`` steps after it was made, iterate ``k`` counts ``decay ** (t - k)``, and the weights are scaled
    to a sum of one, as Adam scales its moments: without that a short run would stay near its start. The
    average is in the module while it is validated, when an epoch ends and after the run. The last iterate
    goes back there before the next epoch, be it of a later run.

    Stands before the callbacks that look at the module or load another state.
    """

    def __init__(self, decay):
        self.decay = decay

    def initialize(self):
        self.n_averaged_, self.average_, self.iterate_ = 0, [], []
        return self

    def on_train_begin(self, net, **kwargs):
        self.learned = [p for p in net.module_.parameters() if p.requires_grad]
        for name in "average_", "iterate_":  # a pickle has them on the CPU
            setattr(self, name, [t.to(p) for t, p in zip(getattr(self, name), self.learned, strict=False)])

    def on_epoch_begin(self, net, **kwargs):
        if not self.iterate_:
            return
        if all(torch.equal(p, average) for p, average in zip(self.learned, self.average_, strict=True)):
            _copy(self.iterate_, self.learned)
        else:  # another state was loaded, such as the best one: it is where to go on from
            self.average_ = _cloned(self.learned)
        self.iterate_ = []

    def on_batch_begin(self, net, training, **kwargs):
        if not training:
            self._show()

    def on_batch_end(self, net, training, **kwargs):
        if not training:
            return
        self.n_averaged_ += 1
        if self.n_averaged_ == 1:
            self.average_ = _cloned(self.learned)
        weight = (1 - self.decay) / (1 - self.decay**self.n_averaged_)
        for average, p in zip(self.average_, self.learned, strict=True):
            average.lerp_(p.detach(), weight)

    def on_epoch_end(self, net, **kwargs):
        self._show()

    def on_train_end(self, net, **kwargs):
        self._show()
        del self.learned  # a copy of the net has parameters of its own

    def _show(self):
        if self.average_ and not self.iterate_:
            self.iterate_ = _cloned(self.learned)
            _copy(self.average_, self.learned)

    def __getstate__(self):
        state = {name: value for name, value in vars(self).items() if name != "learned"}
        # The net moves what it knows of between devices, these we move.
        return state | {name: [t.cpu() for t in state.get(name, [])] for name in ("average_", "iterate_")}


def average_iterates(decay):
    """Callbacks that keep an average of the iterates, each step older by a factor of ``decay`` less."""
    return [("average", AverageIterates(decay))]


def _cloned(tensors):
    return [t.detach().clone() for t in tensors]


def _copy(values, tensors):
    with torch.no_grad():
        for value, tensor in zip(values, tensors, strict=True):
            tensor.copy_(value)
