"""Density of activation maps against loops over values; hooks that leave no trace."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from featlib.measures import LayerDensity, activation_density


def counted_with_loops(maps):
    """Rows of units, value by value."""
    tokens, units = maps.shape
    per_token = [sum(1 for value in row if value > 0) for row in maps.tolist()]
    per_unit = [sum(1 for value in column if value > 0) for column in maps.T.tolist()]
    return {
        "density": sum(per_token) / (tokens * units),
        "frequencies": [fired / tokens for fired in per_unit],
        "histogram": [per_token.count(k) for k in range(units + 1)],
        "mean_active": sum(per_token) / tokens,
        "max_active": max(per_token),
        "zeros": sum(1 for row in maps.tolist() for value in row if value == 0) / (tokens * units),
        "tokens": tokens,
    }


def same(layer, maps):
    """A layer's counts are those of the loops."""
    for key, expected in counted_with_loops(maps).items():
        found = getattr(layer, key)
        found = found.tolist() if isinstance(found, torch.Tensor) else found
        assert found == pytest.approx(expected), key
    return True


def net(act=nn.ReLU, width=6):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, width), act(), nn.Linear(width, 3))


def inputs(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Kept:
    """The peer that stores everything: outputs of a module, copied at once."""

    def __init__(self, module):
        self.maps = []
        module.register_forward_hook(lambda _m, _i, out: self.maps.append(out.detach().clone()))


# Numbers.


@pytest.mark.parametrize("shape", [(5, 4), (2, 5, 4), (2, 3, 5, 4), (4,)], ids=str)
def test_equals_counting_with_loops(shape):
    """Two passes of different size; tokens are all axes but the last (four axes: see maps)."""
    model = net()
    kept = Kept(model[1])
    with activation_density(model, axis=-1) as density:
        model(inputs(*shape))
        model(inputs(*shape, seed=1))
    assert list(density.layers) == ["1"]
    layer = density.layers["1"]
    assert same(layer, torch.cat([maps.reshape(-1, 6) for maps in kept.maps]))
    assert layer.calls == 2
    assert density.mean == layer.density
    assert layer.lowest == 0 < layer.highest == max(float(maps.max()) for maps in kept.maps)


@pytest.mark.parametrize(("axis", "unit"), [(None, 1), (1, 1), (-1, 3), (2, 2)])
def test_positions_of_maps_are_tokens(axis, unit):
    model = nn.Sequential(nn.Conv2d(2, 5, 3), nn.ReLU(inplace=True))
    kept = Kept(model[1])
    with activation_density(model, axis=axis) as density:
        model(inputs(3, 2, 6, 7))
    (maps,) = kept.maps
    assert same(density.layers["1"], maps.movedim(unit, -1).reshape(-1, maps.shape[unit]))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9999), cut=st.integers(1, 11), units=st.integers(1, 9))
def test_how_the_data_is_cut_does_not_matter(seed, cut, units):
    maps = inputs(12, units, seed=seed).round(decimals=1)
    whole, parts = LayerDensity(threshold=0.3), LayerDensity(threshold=0.3)
    whole.add(maps)
    for part in (maps[:cut], maps[cut:]):
        parts.add(part)
    for key in ("density", "max_active", "zeros", "near_zeros", "lowest", "highest", "tokens"):
        assert getattr(whole, key) == getattr(parts, key)
    assert torch.equal(whole.histogram, parts.histogram)
    assert torch.equal(whole.fired, parts.fired)
    assert same(whole, maps)
    counts = torch.arange(units + 1)
    assert int((whole.histogram * counts).sum()) == int(whole.fired.sum())
    assert int(whole.histogram.sum()) == whole.tokens


def test_scaling_a_layer_up_changes_nothing():
    model = net()
    x = inputs(50, 4)
    with activation_density(model) as before:
        model(x)
    with torch.no_grad():
        model[0].weight.mul_(7)
        model[0].bias.mul_(7)
    with activation_density(model) as after:
        model(x)
    assert torch.equal(before.layers["1"].fired, after.layers["1"].fired)


def test_active_means_strictly_above_zero():
    layer = LayerDensity()
    layer.add(torch.tensor([[0.0, -0.0, 1e-38, -1.0], [0.0, 2.0, -3.0, float("inf")]]))
    assert layer.fired.tolist() == [0, 1, 1, 1]
    assert layer.density == 3 / 8
    assert layer.zeros == 3 / 8
    assert layer.near_zeros == layer.zeros  # no threshold was given


def test_a_symmetric_preactivation_fires_half_of_the_time():
    model = nn.Sequential(nn.Linear(16, 64, bias=False), nn.ReLU())
    with activation_density(model) as density, torch.no_grad():
        model(inputs(4000, 16))
    assert density.mean == pytest.approx(0.5, abs=0.01)


def test_relu6_is_full_at_six():
    values = torch.tensor([[-1.0, 0.0, 3.0, 5.999], [6.0, 6.001, 100.0, 2.0]])
    model = nn.Sequential(nn.ReLU6())
    with activation_density(model) as density:
        model(values)
    assert density.layers["0"].saturation == 3 / 8
    assert density.layers["0"].density == 6 / 8
    with activation_density(nn.Sequential(nn.ReLU())) as other:
        pass
    assert other._layers["0"].saturation is None


def test_a_gelu_is_lazy_without_exact_zeros():
    """Density is the share of positive pre-activations; nothing is exactly zero, little is near it."""
    model = nn.Sequential(nn.GELU())
    before = inputs(500, 20) - 0.7
    with activation_density(model, threshold=0.01) as density:
        after = model(before)
    layer = density.layers["0"]
    assert layer.density == pytest.approx(float((before > 0).double().mean()))
    assert layer.zeros == 0
    assert layer.near_zeros == pytest.approx(float((after.abs() <= 0.01).double().mean()))
    assert 0 < layer.near_zeros < 0.1 < layer.density < 0.3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_precision_counts_the_same(dtype):
    maps = inputs(40, 8).relu()
    full, other = LayerDensity(), LayerDensity()
    full.add(maps)
    other.add(maps.to(dtype))
    assert torch.equal(full.fired, other.fired)


def test_a_module_called_twice_in_one_pass_counts_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.act = nn.Linear(4, 4), nn.Linear(4, 4), nn.ReLU()
            self.alias = self.act

        def forward(self, x):
            return self.act(self.second(self.act(self.first(x))))

    torch.manual_seed(0)
    model = Twice()
    kept = Kept(model.act)
    with activation_density(model) as density:
        model(inputs(9, 4))
    assert list(density.layers) == ["act"]
    assert density.layers["act"].calls == 2
    assert same(density.layers["act"], torch.cat(kept.maps))
    with activation_density(model, "alias") as density:
        model(inputs(9, 4))
    assert density.layers["alias"].calls == 2


def test_padded_tokens_are_left_out():
    model = net()
    kept = Kept(model[1])
    x, mask = inputs(3, 5, 4), torch.tensor([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]]).bool()
    x[~mask] = float("nan")  # whatever padding holds
    with activation_density(model) as density, density.only(mask):
        model(x)
    assert same(density.layers["1"], kept.maps[0][mask])
    assert density.layers["1"].tokens == 9


def test_masks_of_maps_lie_on_positions():
    maps, mask = inputs(2, 5, 3, 4), inputs(2, 3, 4, seed=1) > 0
    layer = LayerDensity()
    layer.add(maps, mask)
    assert same(layer, maps.movedim(1, -1)[mask])


def test_two_masks_for_two_stacks_and_none_behind_the_block():
    model = nn.ModuleDict({"encoder": net(), "decoder": net(), "decoder2": net()})
    here, there = torch.tensor([[True, False]]), torch.tensor([[True, True, False]])
    x, y = inputs(1, 2, 4), inputs(1, 3, 4)
    with activation_density(model) as density:
        with density.only({"encoder": here, "decoder": here, "decoder.1": there}):
            model["encoder"](x)
            model["decoder"](y)
            with pytest.raises(ValueError, match=r"no mask for 'decoder2\.1'; there are masks for 'encoder'"):
                model["decoder2"](x)
        model["encoder"](x)
    assert {name: layer.tokens for name, layer in density.layers.items()} == {"encoder.1": 3, "decoder.1": 2}
    assert density.unseen == ["decoder2.1"]


def test_all_tokens_masked_is_nothing_seen():
    model = net()
    with activation_density(model) as density, density.only(torch.zeros(2, 3, dtype=torch.bool)):
        model(inputs(2, 3, 4))
    assert density.unseen == ["1"]
    with pytest.raises(ValueError, match="'1' has seen a token: run the model inside"):
        _ = density.layers


# The model is as before.


def hooks(model):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return [len(getattr(module, kind)) for module in model.modules() for kind in kinds]


class Both(nn.Module):
    """In-place and plain activations, normalisation with running statistics, dropout."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU6(inplace=True), nn.Dropout(0.5))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, images):
        return self.head(self.body(images))


def trained_one_step(watched):
    model = Both()
    torch.manual_seed(1)
    if watched:
        with activation_density(model) as density:
            loss = model(inputs(4, 3, 6, 6)).square().sum()
            loss.backward()
        assert len(density.layers) == 2
    else:
        loss = model(inputs(4, 3, 6, 6)).square().sum()
        loss.backward()
    return model, loss


def test_training_is_the_same_to_the_last_bit():
    (plain, plain_loss), (watched, watched_loss) = trained_one_step(False), trained_one_step(True)
    assert torch.equal(plain_loss, watched_loss)
    for first, second in zip(plain.parameters(), watched.parameters(), strict=True):
        assert torch.equal(first.grad, second.grad)
    for first, second in zip(plain.buffers(), watched.buffers(), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("grad", [False, True])
def test_nothing_is_left_behind(fails, grad):
    model = Both().eval()
    model.body[2].register_forward_hook(lambda *_: None)  # somebody else's stays
    before, state = hooks(model), {key: value.clone() for key, value in model.state_dict().items()}
    training, attributes = [module.training for module in model.modules()], [set(vars(m)) for m in model.modules()]
    with torch.set_grad_enabled(grad):
        try:
            with activation_density(model) as density:
                assert sum(hooks(model)) == sum(before) + 2
                model(inputs(2, 3, 6, 6))
                if fails:
                    raise KeyError("from the user's code")
        except KeyError:
            assert fails
    assert hooks(model) == before
    assert [module.training for module in model.modules()] == training
    assert [set(vars(m)) for m in model.modules()] == attributes
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    tokens = density.layers["head.2"].tokens
    model(inputs(2, 3, 6, 6))
    assert density.layers["head.2"].tokens == tokens == 2


def test_hooks_are_gone_when_the_model_itself_fails():
    model = Both()
    before = hooks(model)
    with pytest.raises(RuntimeError), activation_density(model):
        model(inputs(2, 3, 9, 9))
    assert hooks(model) == before


def test_no_activation_is_kept():
    """Only counts are left, whatever went through."""
    model = net(width=16)
    with activation_density(model) as density, torch.no_grad():
        for seed in range(5):
            model(inputs(1000, 4, seed=seed))
    held = [value for value in vars(density.layers["1"]).values() if isinstance(value, torch.Tensor)]
    assert sorted(value.numel() for value in held) == [16, 17]


def test_blocks_may_be_nested():
    model = net()
    with activation_density(model) as outer:
        model(inputs(3, 4))
        with activation_density(model) as inner:
            model(inputs(2, 4))
    assert outer.layers["1"].tokens == 5
    assert inner.layers["1"].tokens == 2


# Which modules.


def test_modules_by_class_by_name_and_by_function():
    model = Both()
    for modules, found in [
        (nn.ReLU, ["head.2"]),
        ((nn.ReLU, nn.ReLU6), ["body.2", "head.2"]),
        ("body.2", ["body.2"]),
        (["head.2", nn.Flatten], ["head.0", "head.2"]),
        (lambda name, module: name.startswith("head") and isinstance(module, nn.Linear), ["head.1", "head.3"]),
    ]:
        with activation_density(model, modules) as density:
            model(inputs(2, 3, 6, 6))
        assert list(density.layers) == found


def test_torchs_own_transformer_is_seen_in_evaluation():
    """Its fast path goes around modules unless they have hooks."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, activation=nn.ReLU(), batch_first=True).eval()
    with activation_density(layer) as density, torch.no_grad():
        layer(inputs(2, 5, 8))
    assert density.layers["activation"].tokens == 10
    assert density.layers["activation"].units == 16


@pytest.mark.usefixtures("as_users_run")
def test_bad_input_is_named():
    model = Both()
    for arguments, says in [
        (("body.3", "head.relu"), "no module 'head.relu' in Both; did you mean 'head"),
        ((nn.SiLU,), "nothing to watch in Both"),
        ((lambda *_: False,), "a nonlinearity that is a function cannot be seen"),
        ((), "nothing to watch"),
    ]:
        with pytest.raises(ValueError, match=says), activation_density(model, arguments):
            pass
    with pytest.raises(ValueError, match="threshold must not be negative"), activation_density(net(), threshold=-1.0):
        pass
    with pytest.raises(ValueError, match="nothing to watch in Linear"), activation_density(nn.Linear(2, 2)):
        pass
    shared = nn.ReLU()
    wide = nn.Sequential(nn.Linear(4, 6), shared, nn.Linear(6, 5), shared)
    with pytest.raises(ValueError, match="'1' gives 5 units where it gave 6"), activation_density(wide):
        wide(inputs(2, 4))
    simple = net()
    with pytest.raises(ValueError, match="'1' gives NaN"), activation_density(simple):
        simple(inputs(2, 4) * float("nan"))
    gru = nn.Sequential(nn.GRU(4, 3))
    with pytest.raises(TypeError, match="'0' gives tuple, not a tensor"), activation_density(gru, nn.GRU):
        gru(inputs(2, 4))
    for mask, error, says in [
        (torch.ones(2, 4).bool(), ValueError, r"the mask \(2, 4\) does not fit '1' with tokens \(2, 3\)"),
        (torch.ones(2, 3).long(), TypeError, r"got torch\.int64: convert with \.bool\(\)"),
    ]:
        with pytest.raises(error, match=says), activation_density(simple) as density, density.only(mask):
            simple(inputs(2, 3, 4))
    assert not any(hooks(simple))
    with pytest.raises(ValueError, match="has no axis 2"):
        LayerDensity(axis=2).add(inputs(3, 4))
    with pytest.raises(ValueError, match="'layer' has seen no token"):
        _ = LayerDensity().density
