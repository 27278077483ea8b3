"""One signature and one docstring for a class, made of what its bases declare.

The ``__init__`` of a base has its own parameters with their defaults, and passes the others on; its
docstring describes them. So a default and its description stand once, side by side.
"""

import inspect
import re

from skmeta.estimators.params import CONSTRAINTS

# The lines of a section of a numpydoc docstring, up to the next one.
SECTION = r"^{}\n-+\n(.*?)\s*(?=^\S[^\n]*\n-+$|\Z)"


def complete(cls):
    """Give ``cls`` an ``__init__`` that names all parameters of its bases, and fill its docstring.

    scikit-learn reads the parameters of an estimator from the signature of its ``__init__``.
    """

    def init(self, *args, **kwargs):
        super(cls, self).__init__(*args, **kwargs)

    init.__name__, init.__signature__ = "__init__", _signature(cls)
    cls.__init__ = init
    if cls.__doc__:
        cls.__doc__ = _filled(cls)


def _signature(cls):
    """Of all parameters that the bases declare, in the order of the table of rules."""
    declared = {}
    for base in reversed(cls.__mro__[1:]):
        own = inspect.signature(vars(base).get("__init__", object.__init__)).parameters
        declared |= {name: p for name, p in own.items() if p.default is not p.empty}
    order = [*CONSTRAINTS, *declared]  # a class of the user's may have more
    parameters = sorted(declared.values(), key=lambda p: (p.kind, order.index(p.name)))
    return inspect.Signature([inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY), *parameters])


def _filled(cls):
    """The docstring of ``cls``, its ``{parameters}`` and ``{attributes}`` replaced by what the bases say."""
    doc = inspect.cleandoc(cls.__doc__)
    if "{parameters}" in doc:
        entries = _entries(cls, "Parameters")
        signature = list(cls.__init__.__signature__.parameters.values())[1:]
        described = [_with_default(entries.pop(p.name), p.default) for p in signature]
        doc = doc.replace("{parameters}", "\n".join([*described, *entries.values()]))
    return doc.replace("{attributes}", "\n".join(_entries(cls, "Attributes").values()))


def _entries(cls, section):
    """What the bases of ``cls`` say in a section of their docstrings: dict of name to lines."""
    entries = {}
    for base in reversed(cls.__mro__[1:]):
        doc = inspect.cleandoc(vars(base).get("__doc__") or "")
        found = re.search(SECTION.format(section), doc, re.M | re.S)
        for entry in re.split(r"\n(?=\S)", found[1]) if found else ():
            entries[entry.split(" : ")[0]] = entry
    return entries


def _with_default(entry, default):
    head, *text = entry.split("\n")
    head = head.split(", default=")[0]  # there is one in a docstring that was filled before
    return "\n".join([f"{head}, default={default!r}", *text])
