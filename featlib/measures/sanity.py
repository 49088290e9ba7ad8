"""A map that explains a network must change when the network is destroyed :cite:p:`adebayo2018sanity`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor, nn

__all__ = ["cascade", "randomised", "rank_correlation"]

Maps = Float[Tensor, "batch height width"]
PerImage = Float[Tensor, " batch"]


def cascade(
    model: nn.Module, maps_of: Callable[[nn.Module], Maps], layers: Sequence[str], seed: int = 0
) -> dict[str, PerImage]:
    """Likeness of a method's maps before and after randomising layers, one after the other, from the output down.

    Args:
        model: the trained network; it is copied, not changed.
        maps_of: from a network to maps of fixed images, such as ``lambda net: cams.compute(net, images, "head",
            ["cam"], targets)["cam"]``. Fix the targets: a destroyed network predicts other classes.
        layers: names of modules, first the one nearest to the output; each is randomised in addition to those before.
        seed: of the new parameters.

    Returns:
        Under the name of the layer reached, Spearman's correlation of each image's map with the original one. Near 1
        means that the map does not depend on what the layers so far had learnt.

    Raises:
        ValueError: for a layer that does not exist or has no parameters.
    """  # raised by what it calls
    before = maps_of(model)
    return {layer: rank_correlation(maps_of(network), before) for layer, network in randomised(model, layers, seed)}


def randomised(model: nn.Module, layers: Sequence[str], seed: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """The network with the first, the first two, ... of ``layers`` initialised anew; one copy, changed step by step.

    Raises:
        ValueError: for a layer that does not exist or has no parameters.
    """
    network = copy.deepcopy(model)
    modules = dict(network.named_modules())
    for layer in layers:
        if layer not in modules or not any(True for _ in modules[layer].parameters()):
            raise ValueError(f"{layer!r} is no layer of {type(model).__name__} with parameters: see named_modules()")
    for index, layer in enumerate(layers):
        with torch.random.fork_rng():
            torch.manual_seed(seed + index)
            for module in modules[layer].modules():
                _initialise(module)
        yield layer, network


def rank_correlation(first: Maps, second: Maps) -> PerImage:
    """Spearman's correlation of two maps of each image; 0 where one of them is constant."""
    ranks = [
        torch.from_numpy(rankdata(maps.detach().flatten(1).double().cpu().numpy(), axis=1)) for maps in (first, second)
    ]
    left, right = (part - part.mean(1, keepdim=True) for part in ranks)
    scale = left.norm(dim=1) * right.norm(dim=1)
    result = (left * right).sum(1) / torch.where(scale > 0, scale, 1.0)
    return result.to(first.device, torch.float32)


def _initialise(module: nn.Module) -> None:
    """New parameters for one module, as its class draws them; without such a rule, the old ones in random order."""
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
        return
    with torch.no_grad():
        for parameter in module.parameters(recurse=False):
            order = torch.randperm(parameter.numel()).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
