r"""The perceptron of a transformer with ReLU, whose hidden units may be silent, and may be limited in number.

.. math:: f(x) = V a + c, \qquad a = \mathrm{Top}_k(\sigma(K x + b)), \qquad \sigma(z) = \max(0, z)

:cite:p:`li2023lazy`. Its activations :math:`a` are what the submodule ``act`` gives, so that a forward hook sees them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from featlib.kernels import neuron_major

__all__ = ["INITS", "Init", "Kernel", "ReluMLP", "TopKReLU", "use_kernel"]

Init: TypeAlias = Literal["pytorch", "he", "lecun"]
INITS: tuple[Init, ...] = ("pytorch", "he", "lecun")
"""How weights start: uniform in +-1 / sqrt(fan in), biases too, as ``nn.Linear`` does; or normal with variance
2 / fan in; or with 1 / fan in. In the latter two, biases are zero."""

Kernel: TypeAlias = Callable[[Tensor, Tensor, Tensor | None, Tensor, Tensor | None], Tensor]
"""A function of x (tokens, d), w_in, b_in, w_out, b_out that gives (tokens, out)."""


class TopKReLU(nn.ReLU):
    r"""ReLU, of whose output only the ``k`` largest values of each token stay: :math:`\mathrm{Top}_k(\sigma(z))`.

    Exactly ``k`` stay; of equal values those of the lowest index. Gradients pass where a value stays, as they would
    through the ReLU, and nowhere else. With as many as there are units it is the ReLU, bit for bit. It *is* an
    ``nn.ReLU``, so that what watches those sees it.

    Example:
        >>> TopKReLU(2)(torch.tensor([3.0, -1.0, 5.0, 3.0])).tolist()
        [3.0, 0.0, 5.0, 0.0]

    Args:
        k: how many, of the last axis.

    Raises:
        ValueError: if ``k`` is below 1.
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"topk must be at least 1, or None to keep all units; got {k}")
        self.k = k

    def forward(self, z: Float[Tensor, "*tokens units"]) -> Float[Tensor, "*tokens units"]:
        """Rectify and keep the largest. A token with NaN keeps it: a fault must not look like silence."""
        a = z.relu()
        if self.k >= a.shape[-1]:
            return a
        with torch.no_grad():  # what stays is a choice, and has no gradient
            last = a.topk(self.k, sorted=False).values.amin(-1, keepdim=True)
            above, level = ~(a <= last), a == last
            room = self.k - above.sum(-1, keepdim=True)
            rank = level.cumsum(-1, dtype=torch.int64)  # with the type named, torch counts ten times as fast
            dropped = ~(above | level & (rank <= room))
        return a.masked_fill(dropped, 0.0)

    def extra_repr(self) -> str:
        """The number that stays."""
        return f"k={self.k}"


class ReluMLP(nn.Module):
    """Two linear maps with a ReLU between them; see the module for the equation.

    Example:
        >>> mlp = ReluMLP(64, 256, topk=16)
        >>> _ = mlp.act.register_forward_hook(lambda module, z, a: print("active:", int((a > 0).sum(-1).max())))
        >>> tuple(mlp(torch.randn(8, 17, 64)).shape)
        active: 16
        (8, 17, 64)

    Attributes:
        w_in: the first weights, (ff, d).
        b_in: the first bias, (ff), or None.
        w_out: the second weights, (out, ff).
        b_out: the second bias, (out), or None.
        act: ``nn.ReLU``, or :class:`TopKReLU` if ``topk`` is given.
        kernel: None, or the function that computes the whole network in its place; then ``act`` is not called.

    Args:
        d: width of a token.
        ff: hidden units.
        topk: how many of them may be active at once on a token; None for all.
        bias: whether both maps have one.
        out: width of the output; None for ``d``.
        init: how the weights start, out of ``INITS``.

    Raises:
        ValueError: if ``topk`` is not in 1..ff, or ``init`` is unknown.
    """

    b_in: nn.Parameter | None
    b_out: nn.Parameter | None

    def __init__(
        self,
        d: int,
        ff: int,
        topk: int | None = None,
        bias: bool = True,
        out: int | None = None,
        init: Init = "pytorch",
    ) -> None:
        super().__init__()
        if topk is not None and not 1 <= topk <= ff:
            raise ValueError(f"topk must lie in 1..{ff}, the number of hidden units, or be None; got {topk}")
        if init not in INITS:
            raise ValueError(f"init must be one of {', '.join(INITS)}; got {init!r}")
        out = d if out is None else out
        self.w_in = nn.Parameter(torch.empty(ff, d))
        self.register_parameter("b_in", nn.Parameter(torch.empty(ff)) if bias else None)
        self.w_out = nn.Parameter(torch.empty(out, ff))
        self.register_parameter("b_out", nn.Parameter(torch.empty(out)) if bias else None)
        self.act: nn.Module = nn.ReLU() if topk is None else TopKReLU(topk)
        self.kernel: Kernel | None = None
        _draw(self.w_in, self.b_in, init)
        _draw(self.w_out, self.b_out, init)

    def forward(self, x: Float[Tensor, "*tokens d"]) -> Float[Tensor, "*tokens out"]:
        """The output of every token, by ``kernel`` if there is one."""
        if self.kernel is not None:
            rows = self.kernel(x.reshape(-1, x.shape[-1]), self.w_in, self.b_in, self.w_out, self.b_out)
            return rows.reshape(*x.shape[:-1], len(self.w_out))
        a = self.act(functional.linear(x, self.w_in, self.b_in))
        return functional.linear(a, self.w_out, self.b_out)


def use_kernel(model: nn.Module, kernel: Kernel | None) -> int:
    """Let ``kernel`` compute every :class:`ReluMLP` of a model, with second weights laid out as it wants them.

    The parameters stay the same objects with the same values, so optimisers and checkpoints go on as before; only the
    memory of ``w_out`` is ordered by neurons (:func:`featlib.kernels.neuron_major`). Weights may be loaded before or
    after, but not with ``load_state_dict(assign=True)``, which brings a layout of its own.

    Example:
        >>> from featlib.kernels import sparse_mlp
        >>> from featlib.models import build
        >>> use_kernel(build("t5_tiny"), sparse_mlp)
        4

    Args:
        model: the model, or one perceptron.
        kernel: for example :func:`featlib.kernels.sparse_mlp`; None for the dense products again.

    Returns:
        How many perceptrons it found.

    Raises:
        ValueError: if there is none, or if one keeps its largest activations only: the kernel would keep all.
    """
    found = [module for module in model.modules() if isinstance(module, ReluMLP)]
    if not found:
        raise ValueError(f"{type(model).__name__} has no ReluMLP, so there is nothing that a kernel could compute")
    if kernel is not None and any(isinstance(mlp.act, TopKReLU) for mlp in found):
        raise ValueError("a ReluMLP has topk, which the kernel would ignore: set its .kernel to one that keeps as many")
    for mlp in found:
        mlp.kernel = kernel
        if kernel is not None:
            mlp.w_out.data = neuron_major(mlp.w_out.data)
    return len(found)


@torch.no_grad()
def _draw(weight: Tensor, bias: Tensor | None, init: Init) -> None:
    """First values of a linear map."""
    fan_in = weight.shape[1]
    if init == "pytorch":
        bound = fan_in**-0.5
        weight.uniform_(-bound, bound)
        if bias is not None:
            bias.uniform_(-bound, bound)
        return
    weight.normal_(0, ((2 if init == "he" else 1) / fan_in) ** 0.5)
    if bias is not None:
        bias.zero_()
