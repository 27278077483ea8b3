"""What a pickle of a net holds: its module once, and the state of a training only if that is to go on."""


def packed(net, *, resumable):
    """A net as it should be pickled; it shares all that it holds with ``net``, which stays as it is.

    skorch keeps the module under two names and would pickle it for each. What only a training needs, moments
    of the optimizer and states of callbacks such as averages and best states, is several times as large.
    """
    twin = object.__new__(type(net))
    vars(twin).update(vars(net), module=None)
    if not resumable:
        vars(twin).update(optimizer_=None, callbacks=[], callbacks_=[])
    return twin


def unpack(net):
    """Give a net that was pickled as ``packed`` its module back."""
    net.module = net.module_


def can_resume(net):
    """Whether a training can go on from this net."""
    return net.optimizer_ is not None
