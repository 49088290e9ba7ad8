r"""Greedy decoding of a whole T5 whose perceptrons skip silent neurons, against the same model computed densely.

Nothing here was trained, so the sparsity is made: T5 has no biases that could silence a neuron, but one channel of the
residual stream can take their place. Every token's embedding holds the same number there, no block writes to it, and
only the perceptrons read it, each neuron with a weight :math:`-\theta_i` that lets it fire on the wanted share of
some random texts. All the rest is as it was initialised. No token is written twice: a model without training would
repeat its last one for ever, and with it the same neurons. While it writes, the shares come out near the wanted ones,
not equal to them.

Both sides have one set of parameters but for the layout of the second weights, of which the peer has the one that it
likes better. Time is of the decoder alone; the text was read before.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from featlib.kernels import neuron_major, sparse_mlp
from featlib.kernels.precision import fast_matmul
from featlib.models import build
from featlib.models.relu_mlp import ReluMLP, use_kernel
from featlib.models.t5 import START, T5, Attention, Cache

from .runner import Axis, Case
from .sparse_mlp import best_layout

TESTS = "tests/kernels/test_sparse_mlp.py"
READ, TOKENS = 32, 16
DENSITIES = (0.03, 0.06)
AXIS = (0.5, 0.2, 0.1, 0.06, 0.03)
CONSTANT = 0
"""The channel that is the same for all tokens."""


@dataclass(frozen=True)
class Text:
    """Both models, and what was read."""

    dense: T5
    sparse: T5
    cache: Cache


@torch.no_grad()
def silence(model: T5, density: float) -> None:
    """Give the model the channel described above, with weights found layer by layer while it reads a text."""
    model.embedding.weight[:, CONSTANT] = 1
    for module in model.modules():
        if isinstance(module, Attention):
            module.out.weight[CONSTANT] = 0
        if isinstance(module, ReluMLP):
            module.w_in[:, CONSTANT], module.w_out[CONSTANT] = 0, 0
        if isinstance(module, nn.RMSNorm):
            module.weight[CONSTANT] = 0
    for name, module in model.named_modules():
        if name.endswith("mlp_norm"):
            module.weight[CONSTANT] = 1

    def find(mlp: ReluMLP, inputs: tuple[Tensor]) -> None:
        x = inputs[0].flatten(0, -2)
        mlp.w_in[:, CONSTANT] = -(functional.linear(x, mlp.w_in) / x[:, [CONSTANT]]).quantile(1 - density, 0)

    found = [m.register_forward_pre_hook(find) for m in model.modules() if isinstance(m, ReluMLP)]
    # many short texts, for the tokens of one text have much in common
    ids = torch.randint(model.config.vocabulary, (64, READ + TOKENS), generator=torch.Generator().manual_seed(1))
    model.decoder(model.embedding(ids[:, READ:]), model.start(model.encode(ids[:, :READ])))
    for handle in found:
        handle.remove()


@lru_cache(maxsize=1)  # of several hundred megabytes
def models(name: str, density: float) -> tuple[T5, T5]:
    """The model twice, with the same parameters but for the layout of the second weights."""
    torch.manual_seed(0)
    dense = build(name).eval()
    silence(dense, density)
    shared = {id(p): p for path, p in dense.named_parameters() if not path.endswith("w_out")}
    sparse = copy.deepcopy(dense, shared)
    use_kernel(sparse, sparse_mlp)
    if best_layout(dense.config.width, dense.config.ff, 1) == 2:
        for module in dense.modules():
            if isinstance(module, ReluMLP):
                module.w_out.data = neuron_major(module.w_out.data)
    return dense, sparse


@torch.inference_mode()
def inputs(name: str, seed: int, density: float) -> Text:
    """Another text, read already."""
    dense, sparse = models(name, density)
    ids = torch.randint(dense.config.vocabulary, (1, READ), generator=torch.Generator().manual_seed(seed + 2))
    return Text(dense, sparse, dense.start(dense.encode(ids)))


@torch.inference_mode()
def write(model: T5, cache: Cache) -> tuple[Tensor, Tensor]:
    """The likeliest new token again and again, and the logits of each step."""
    token, written, seen = torch.full((1, 1), START), [], []
    with fast_matmul():
        for _ in range(TOKENS):
            logits, cache = model.decode(token, cache)
            allowed = logits.index_fill(-1, torch.cat([token.new_tensor([START]), *written]), -torch.inf)
            token = allowed.argmax(-1)
            written.append(token[0])
            seen.append(logits)
    return torch.cat(written), torch.cat(seen, 1)


def error(mine: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor]) -> float:
    """Largest difference of a logit, relative to the largest logit; infinite if a token differs."""
    if not torch.equal(mine[0], theirs[0]):
        return float("inf")
    return float((mine[1] - theirs[1]).abs().max() / theirs[1].abs().max())


CASES = [
    Case(
        op="decode, T5 small with random weights",
        size=f"{TOKENS} tokens, batch 1 at {density:.0%}",
        peer="the same model, dense torch, the faster of its two layouts",
        peer_version=torch.__version__,
        inputs=lambda seed, batch, density=density: inputs("t5_small", seed, density),
        ours=lambda text: write(text.sparse, text.cache),
        theirs=lambda text: write(text.dense, text.cache),
        error=error,
        batch=1,
        tolerance=1e-4,
        axis=Axis(AXIS, partial(inputs, "t5_small"), "density {:.0%} and below", "not even at {:.0%}"),
    )
    for density in DENSITIES
]
