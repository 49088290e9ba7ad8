"""MiniLM against torch's own encoder, a plain restatement over the published names, and what sentences mean."""

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from featlib.measures import activation_density
from featlib.models import ModelError, build, config, safetensors
from featlib.models.minilm import sentences
from featlib.models.wordpiece import wordpiece

SMALL = {"vocabulary": 50, "longest": 20, "width": 12, "ff": 20, "layers": 3, "heads": 3}
TEXTS = [
    "A man is playing a guitar on stage.",
    "Someone performs music with a guitar.",
    "The stock market fell sharply today.",
    "Share prices dropped a lot this afternoon, as investors worried about inflation.",
]


def small(**overrides):
    """A network in float64 whose parameters all differ from their first values."""
    torch.manual_seed(0)
    model = build("minilm", **(SMALL | overrides)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.4 * torch.randn_like(parameter)  # scales of the normalisations stay about 1
    return model


def tokens(rows=4, length=9):
    return torch.randint(50, (rows, length), generator=torch.Generator().manual_seed(1))


def some_real(rows=4, length=9):
    return torch.arange(length) < torch.tensor([[9], [4], [1], [7]])[:rows]


@pytest.fixture(scope="module")
def published(need):
    need("minilm")
    return build("minilm", weights="sentences")


@pytest.fixture(scope="module")
def batch(need):
    need("minilm")
    return wordpiece().encode(TEXTS)


def closed_form(c):
    """Parameters, counted on paper."""
    square = c.width * c.width + c.width
    layer = 4 * square + 2 * c.width * c.ff + c.ff + c.width + 4 * c.width
    return (c.vocabulary + c.longest + c.kinds + 2) * c.width + c.layers * layer + square


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, 22_713_216),
        ({"layers": 12}, 33_360_000),  # MiniLM of twelve layers
        ({"layers": 12, "width": 768, "ff": 3072}, 109_482_240),  # BERT-Base
        ({"layers": 24, "width": 1024, "ff": 4096, "heads": 16}, 335_141_888),  # BERT-Large
    ],
)
def test_parameters(overrides, expected):
    model = build("minilm", device="meta", **overrides)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == closed_form(config("minilm", **overrides)) == expected
    assert model(torch.zeros(2, 5, dtype=torch.int64, device="meta")).shape == (2, 5, model.config.width)


def torchs(layer, settings):
    """One of torch's encoder layers with the weights of ours."""
    theirs = nn.TransformerEncoderLayer(
        settings.width, settings.heads, settings.ff, dropout=0.0, activation=functional.gelu, layer_norm_eps=1e-12,
        batch_first=True, norm_first=False, dtype=torch.float64,
    )  # fmt: skip
    ours = layer.attention
    parts = (ours.query, ours.key, ours.value)
    state = {
        "self_attn.in_proj_weight": torch.cat([part.weight for part in parts]),
        "self_attn.in_proj_bias": torch.cat([part.bias for part in parts]),
    }
    for name, module in {
        "self_attn.out_proj": ours.out, "linear1": layer.mlp.wide, "linear2": layer.mlp.narrow,
        "norm1": layer.attention_norm, "norm2": layer.mlp_norm,
    }.items():  # fmt: skip
        state |= {f"{name}.weight": module.weight, f"{name}.bias": module.bias}
    theirs.load_state_dict(state)
    return theirs


@pytest.mark.parametrize("masked", [False, True])
def test_layers_equal_torchs(masked):
    """Output and gradients, with and without filling."""
    model, real = small(), some_real() if masked else None
    chain = [torchs(layer, model.config) for layer in model.layers]
    x = ours = model.embedding(tokens()).detach().requires_grad_()
    y = theirs = x.detach().clone().requires_grad_()
    for layer, other in zip(model.layers, chain, strict=True):
        ours = layer(ours, real)
        theirs = other(theirs, src_key_padding_mask=None if real is None else ~real)
    kept = slice(None) if real is None else real
    torch.testing.assert_close(ours[kept], theirs[kept], atol=1e-10, rtol=1e-10)
    ours[kept].pow(3).sum().backward()
    theirs[kept].pow(3).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, atol=1e-8, rtol=1e-8)
    for layer, other in zip(model.layers, chain, strict=True):
        torch.testing.assert_close(layer.mlp.wide.weight.grad, other.linear1.weight.grad, atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(model(tokens(), real)[kept], ours[kept], atol=1e-12, rtol=0)


def plain_bert(state, ids):
    """The encoder once more, for one text, as one function over the published names."""

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x, name):
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.square().mean(-1, keepdim=True) + 1e-12).sqrt()
        return x * state[f"{name}.weight"] + state[f"{name}.bias"]

    words, places, kinds = (
        state[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")
    )
    x = norm(words[ids] + places[: len(ids)] + kinds[0], "embeddings.LayerNorm")
    for k in range(6):
        name, heads = f"encoder.layer.{k}", []
        query, key, value = (linear(x, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        for head in range(12):
            part = slice(32 * head, 32 * head + 32)
            heads.append((query[:, part] @ key[:, part].T / math.sqrt(32)).softmax(-1) @ value[:, part])
        x = norm(
            x + linear(torch.cat(heads, -1), f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm"
        )
        z = linear(x, f"{name}.intermediate.dense")
        a = z * (1 + torch.erf(z / math.sqrt(2))) / 2
        x = norm(x + linear(a, f"{name}.output.dense"), f"{name}.output.LayerNorm")
    return x


def test_published_weights_equal_a_plain_restatement(published, batch, need):
    state = safetensors.read(need("minilm") / "model.safetensors")
    with torch.no_grad():
        ours = published(batch.ids, batch.real)
        for row, ids, real in zip(ours, batch.ids, batch.real, strict=True):
            torch.testing.assert_close(row[real], plain_bert(state, ids[real]), atol=2e-5, rtol=1e-4)


def test_every_weight_is_used_once(published, need):
    theirs = safetensors.read(need("minilm") / "model.safetensors")
    assert torch.equal(theirs.pop("embeddings.position_ids"), torch.arange(512)[None])
    ours = published.state_dict()
    assert len(ours) == len(theirs)
    ours_sum, theirs_sum = (sum(value.double().sum().item() for value in state.values()) for state in (ours, theirs))
    assert ours_sum == pytest.approx(theirs_sum, rel=1e-12)
    assert all(parameter.requires_grad for parameter in published.parameters())


def test_meaning(published, batch):
    """Paraphrases lie far closer to each other than to the other subject; with random weights they do not."""
    with torch.no_grad():
        vectors = sentences(published(batch.ids, batch.real), batch.real)
        torch.manual_seed(0)
        untrained = sentences(build("minilm")(batch.ids, batch.real), batch.real)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))

    def gap(vectors):
        alike = vectors @ vectors.T
        return min(alike[0, 1], alike[2, 3]) - alike[:2, 2:].max()

    alike = vectors @ vectors.T
    assert alike[0, 1] > 0.6
    assert alike[:2, 2:].abs().max() < 0.15
    assert gap(vectors) > 0.4
    assert gap(untrained) < 0.1


# Invariants.


def test_filling_changes_no_real_token():
    model, ids, real = small(), tokens(), some_real()
    out = model(ids, real)
    other = torch.where(real, ids, (ids + 7) % 50)
    torch.testing.assert_close(model(other, real)[real], out[real], atol=1e-12, rtol=0)
    longer = torch.cat([ids, ids], 1)
    more = torch.cat([real, torch.zeros_like(real)], 1)
    torch.testing.assert_close(model(longer, more)[more], out[real], atol=1e-12, rtol=0)
    for row in range(4):
        alone = model(ids[row : row + 1, : int(real[row].sum())])
        torch.testing.assert_close(alone[0], out[row][real[row]], atol=1e-12, rtol=0)
        mean = functional.normalize(alone[0].mean(0), dim=0)
        torch.testing.assert_close(sentences(out, real)[row], mean, atol=1e-12, rtol=0)
    assert (model(ids)[1] - out[1]).abs().max() > 0.1  # without the mask it does


def test_all_real_is_no_mask():
    model, ids = small(), tokens()
    assert torch.equal(model(ids, torch.ones_like(ids, dtype=torch.bool)), model(ids))


def test_order_matters():
    model, ids = small(), tokens()
    assert (model(ids.flip(1)).flip(1) - model(ids)).abs().max() > 0.1


def test_gelus_are_seen(published, batch):
    """A layer's density is the share of positive pre-activations, and almost nothing is exactly zero."""
    seen, handles = [], []
    for layer in published.layers:
        watch = layer.mlp.wide.register_forward_hook(lambda *args: seen.append(args[-1][batch.real]))
        handles.append(watch)
    with torch.no_grad(), activation_density(published, threshold=0.01) as gelus, gelus.only(batch.real):
        published(batch.ids, batch.real)
    for handle in handles:
        handle.remove()
    assert list(gelus.layers) == [f"layers.{k}.mlp.act" for k in range(6)]
    for z, layer in zip(seen, gelus.layers.values(), strict=True):
        assert layer.tokens == int(batch.real.sum())
        assert layer.density == pytest.approx((z > 0).double().mean().item(), abs=1e-6)
        near = (functional.gelu(z).abs() <= 0.01).double().mean().item()
        assert layer.near_zeros == pytest.approx(near, abs=1e-6)
        assert layer.zeros < 0.01
        assert layer.lowest > -0.1701  # the least of z times the normal distribution function


def test_training_made_it_lazy(published, batch):
    """Every layer of the published network has fewer positive pre-activations than one with random weights."""
    torch.manual_seed(0)
    density = []
    for model in (published, build("minilm")):
        with torch.no_grad(), activation_density(model) as gelus, gelus.only(batch.real):
            model(batch.ids, batch.real)
        density.append([layer.density for layer in gelus.layers.values()])
    assert max(density[0]) < 0.42
    assert 0.45 < min(density[1]) <= max(density[1]) < 0.55


def test_every_parameter_learns_but_the_pooler():
    model = small()
    model(tokens()).pow(2).sum().backward()
    idle = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert idle == {"pooler.weight", "pooler.bias"}


def test_random_weights_follow_the_seed():
    first, second, third = (torch.manual_seed(seed) and build("minilm", **SMALL) for seed in (0, 0, 1))
    assert torch.equal(first.embedding.words.weight, second.embedding.words.weight)
    assert not torch.equal(first.embedding.words.weight, third.embedding.words.weight)
    wide = build("minilm", layers=1).layers[0].mlp.wide.weight
    assert wide.std().item() == pytest.approx(0.02, rel=0.01)


# What must be refused.


@pytest.mark.usefixtures("as_users_run")
def test_refusals(published):
    model = small()
    with pytest.raises(ValueError, match="21 tokens, more than 20: cut it"):
        model(torch.zeros(1, 21, dtype=torch.int64))
    real = some_real()
    real[2] = False
    with pytest.raises(ValueError, match="no real token: leave it out"):
        model(tokens(), real)
    with pytest.raises(ModelError, match="do not fit these settings"):
        build("minilm", weights="sentences", layers=5)
    with pytest.raises(ModelError, match="width must be at least 1"):
        build("minilm", width=0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.config.width = 3
