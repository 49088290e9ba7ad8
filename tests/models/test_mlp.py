"""A stack of multilayer perceptrons: the same as its networks one by one."""

import numpy as np
import pytest
import torch

from featlib.models.mlp import CONFIGS, MLP, MLPConfig

SMALL = MLPConfig(inputs=5, widths=(7, 4), outputs=3)


def test_each_network_computes_what_its_twin_computes():
    stack = MLP(SMALL, seeds=[3, 0, 8], gain=[1.0, 0.5, 2.0]).double()
    for bias in stack.biases:
        torch.nn.init.normal_(bias)
    x = torch.randn(3, 11, 5, dtype=torch.float64)
    logits, hidden = stack(x), stack.hidden(x)
    assert [tuple(layer.shape) for layer in hidden] == [(3, 11, 7), (3, 11, 4)]
    for index in range(3):
        twin = stack.twin(index).double()
        torch.testing.assert_close(logits[index], twin(x[index]))
        torch.testing.assert_close(hidden[0][index], twin[:2](x[index]))
        torch.testing.assert_close(hidden[1][index], twin[:4](x[index]))
    torch.testing.assert_close(stack.readout(hidden[-1]), logits)


def test_gradients_are_those_of_the_twins():
    stack = MLP(SMALL, seeds=[0, 1]).double()
    x = torch.randn(2, 6, 5, dtype=torch.float64)
    stack(x).square().sum().backward()
    for index in range(2):
        twin = stack.twin(index).double()
        twin(x[index]).square().sum().backward()
        for layer, linear in enumerate(module for module in twin if hasattr(module, "weight")):
            torch.testing.assert_close(stack.weights[layer].grad[index], linear.weight.grad)
            torch.testing.assert_close(stack.biases[layer].grad[index, 0], linear.bias.grad)


def test_a_seed_is_the_same_network_in_any_company():
    alone, among = MLP(SMALL, [4]), MLP(SMALL, [9, 4, 0], gain=[3.0, 0.5, 1.0])
    for mine, theirs in zip(alone.weights, among.weights, strict=True):
        torch.testing.assert_close(0.5 * mine[0], theirs[1])
    assert not torch.equal(among.weights[0][2], among.weights[0][1])


def test_scale_of_the_first_weights():
    stack = MLP(MLPConfig(inputs=100, widths=(400,), outputs=50), seeds=range(5), gain=0.25)
    for weight, into in zip(stack.weights, (100, 400), strict=True):
        assert float(weight.detach().std()) == pytest.approx(0.25 * (2 / into) ** 0.5, rel=0.02)
    assert all(not bias.any() for bias in stack.biases)


def test_a_selection_is_a_copy():
    stack = MLP(SMALL, [0, 1, 2])
    x = torch.randn(3, 4, 5)
    some = stack.select([2, 0])
    torch.testing.assert_close(some(x[[2, 0]]), stack(x)[[2, 0]])
    some.weights[0].data.zero_()
    assert stack.weights[0].any()
    assert len(stack.select(slice(1, 3))) == 2


def test_the_number_of_parameters_of_the_paper():
    assert CONFIGS["mlp-paper"].parameters == 53_890
    for config in (SMALL, *CONFIGS.values()):
        with torch.device("meta"):
            counted = sum(parameter.numel() for parameter in MLP(config, [0, 1]).parameters())
        assert counted == 2 * config.parameters


def test_a_network_without_hidden_layers_reads_out_its_input():
    stack = MLP(MLPConfig(inputs=4, widths=(), outputs=1), [0])
    x = torch.randn(1, 3, 4)
    assert stack.hidden(x)[0] is x
    torch.testing.assert_close(stack(x)[0], x[0] @ stack.weights[0][0].T)


def test_topk_keeps_the_largest_and_all_is_the_plain_network():
    x = torch.randn(1, 9, 5)
    plain = MLP(SMALL, [0])
    few, every = (MLP(MLPConfig(5, (7, 4), 3, topk=k), [0]) for k in (2, 7))
    first, kept = plain.hidden(x)[0][0].detach().numpy(), few.hidden(x)[0][0].detach().numpy()
    for row, ours in zip(first, kept, strict=True):
        threshold = np.partition(row, -2)[-2]
        assert (ours == np.where(row >= threshold, row, 0)).all()
    assert torch.equal(every(x), plain(x))
    with pytest.raises(ValueError, match="no plain module"):
        few.twin(0)


def test_errors():
    with pytest.raises(ValueError, match="2 gains for 3 seeds"):
        MLP(SMALL, [0, 1, 2], gain=[1.0, 2.0])
    with pytest.raises(ValueError, match="one gain"):
        MLP(SMALL, [])
    with pytest.raises(ValueError, match="1 batches for 2 networks"):
        MLP(SMALL, [0, 1])(torch.zeros(1, 3, 5))
