"""The transformer of many seeds against torch's own layers and a loop of single networks, and what may see what."""

import re

import pytest
import torch
from torch import nn
from torch.nn import functional

from featlib.models.sequence import CONFIGS, SequenceConfig, SequenceModel

SMALL = SequenceConfig(bits=5, outputs=3, width=12, heads=3, encoder_layers=2, decoder_layers=2, embedding=0.5)


def model(seeds=(3, 7, 11), config=SMALL):
    """A network in which gains, offsets and biases have something to do too."""
    made = SequenceModel(config, seeds).double()
    for index, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(seed + 100)
        for parameter in made.parameters():
            noise = torch.randn(parameter.shape[1:], generator=generator, dtype=torch.float64)
            parameter.data[index] += 0.3 * noise
    return made


def examples(seeds=3, batch=6, config=SMALL):
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(2, (seeds, batch, config.bits), generator=generator).double()
    return bits, torch.randint(2, (seeds, batch, config.outputs), generator=generator).double()


def loss(logits, features):
    """Summed over seeds, so that each has the gradient it would have alone."""
    return functional.binary_cross_entropy_with_logits(logits, features, reduction="none").mean((1, 2)).sum()


def put(theirs, ours):
    """Copy a linear map or a normalisation of the first seed into one of torch's."""
    theirs.weight.data.copy_(ours.weight[0].T if isinstance(theirs, nn.Linear) else ours.weight[0, 0])
    theirs.bias.data.copy_(ours.bias[0, 0])


def put_attention(theirs, weights, biases, out):
    """Copy into a torch.nn.MultiheadAttention, which keeps query, key and value one below another."""
    theirs.in_proj_weight.data.copy_(torch.cat(weights, 1).T)
    theirs.in_proj_bias.data.copy_(torch.cat(biases, 1)[0])
    put(theirs.out_proj, out)


def put_layer(theirs, ours, decodes):
    own = ours.attention.query_key_value
    put_attention(theirs.self_attn, [own.weight[0]], [own.bias[0]], ours.attention.out)
    norms = [ours.attention_norm, ours.perceptron_norm]
    if decodes:
        parts = (ours.cross.query, ours.cross.key_value)
        weights, biases = [part.weight[0] for part in parts], [part.bias[0] for part in parts]
        put_attention(theirs.multihead_attn, weights, biases, ours.cross.out)
        norms.insert(1, ours.cross_norm)
    put(theirs.linear1, ours.perceptron.up)
    put(theirs.linear2, ours.perceptron.down)
    for number, norm in enumerate(norms, 1):
        put(theirs.get_submodule(f"norm{number}"), norm)


class FromTorch(nn.Module):
    """One network out of torch's own transformer layers and embeddings."""

    def __init__(self, ours):
        super().__init__()
        c = ours.config
        options = {"dim_feedforward": 4 * c.width, "dropout": 0.0, "batch_first": True, "norm_first": True}
        layer = nn.TransformerEncoderLayer(c.width, c.heads, **options)
        self.encoder = nn.TransformerEncoder(layer, c.encoder_layers, nn.LayerNorm(c.width), enable_nested_tensor=False)
        layer = nn.TransformerDecoderLayer(c.width, c.heads, **options)
        self.decoder = nn.TransformerDecoder(layer, c.decoder_layers, nn.LayerNorm(c.width))
        self.head = nn.Linear(c.width, 1)
        self.tables = nn.ParameterList(
            nn.Parameter(table[0].detach().clone())
            for tokens in (ours.bit_tokens, ours.feature_tokens)
            for table in (tokens.values, tokens.positions)
        )
        self.double()
        for half, norm in (("encoder", "encoder_norm"), ("decoder", "decoder_norm")):
            for theirs, layer in zip(self.get_submodule(half).layers, ours.get_submodule(half), strict=True):
                put_layer(theirs, layer, half == "decoder")
            put(self.get_submodule(half).norm, ours.get_submodule(norm))
        put(self.head, ours.head)

    def forward(self, bits, features):
        values, places, feature_values, feature_places = self.tables
        self.encoded = self.encoder(functional.embedding(bits.long(), values) + places)
        tokens = functional.embedding(features[:, :-1].long(), feature_values) + feature_places[1:]
        tokens = torch.cat([feature_places[0].expand(len(bits), 1, -1), tokens], 1)
        later = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).triu(1)
        return self.head(self.decoder(tokens, self.encoded, tgt_mask=later))[..., 0]


def test_equals_torchs_own_transformer_layers():
    """Logits, the encoder's output, and the gradients that reach the first tables and the last map."""
    ours, (bits, features) = model((3,)), examples(1)
    theirs = FromTorch(ours)
    torch.testing.assert_close(ours(bits, features)[0], theirs(bits[0], features[0]))
    torch.testing.assert_close(ours.encode(bits)[0], theirs.encoded)
    loss(ours(bits, features), features).backward()
    loss(theirs(bits[0], features[0])[None], features).backward()
    for tokens, tables in ((ours.bit_tokens, theirs.tables[:2]), (ours.feature_tokens, theirs.tables[2:])):
        torch.testing.assert_close(tokens.values.grad[0], tables[0].grad)
        torch.testing.assert_close(tokens.positions.grad[0], tables[1].grad)
    torch.testing.assert_close(ours.head.weight.grad[0].T, theirs.head.weight.grad)
    mixed = ours.encoder[0].attention.query_key_value
    torch.testing.assert_close(mixed.weight.grad[0].T, theirs.encoder.layers[0].self_attn.in_proj_weight.grad)


def test_all_at_once_equals_each_alone():
    """Logits, both representations and every gradient; single precision."""
    together, (bits, features) = model().float(), [part.float() for part in examples()]
    logits = together(bits, features)
    loss(logits, features).backward()
    for index in range(3):
        alone, own, wanted = together.twin(index), bits[index : index + 1], features[index : index + 1]
        torch.testing.assert_close(logits[index : index + 1], alone(own, wanted), atol=1e-6, rtol=1e-5)
        encoded = alone.encode(own)
        torch.testing.assert_close(together.encode(bits)[index][None], encoded, atol=1e-6, rtol=1e-5)
        states = together.decode(together.encode(bits), features)[index][None]
        torch.testing.assert_close(states, alone.decode(encoded, wanted), atol=2e-6, rtol=1e-5)
        loss(alone(own, wanted), wanted).backward()
        for batched, single in zip(together.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(batched.grad[index][None], single.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    "optimiser",
    [lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), lambda p: torch.optim.Adam(p, lr=3e-3, fused=True)],
    ids=["SGD", "Adam"],
)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_thirty_steps_equal_a_loop(optimiser, kind):
    """Every loss on the way, and in double precision every parameter at the end.

    In single precision Adam blows up the rounding of a gradient that is truly zero, as that of the keys' offsets is.
    """
    together = SequenceModel(SMALL, (3, 7, 11)).to(kind)
    nets = [together, *(together.twin(index) for index in range(3))]
    parts = [slice(0, 3), *(slice(index, index + 1) for index in range(3))]
    steps = [optimiser(net.parameters()) for net in nets]
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(30):
        bits = torch.randint(2, (3, 16, SMALL.bits), generator=generator).to(kind)
        features = bits[..., :3]
        for net, step, part in zip(nets, steps, parts, strict=True):
            step.zero_grad()
            losses.append(loss(net(bits[part], features[part]), features[part]))
            losses[-1].backward()
            step.step()
    batched, *alone = torch.stack(losses).reshape(30, 4).T
    torch.testing.assert_close(batched, sum(alone), atol=1e-5, rtol=1e-5)
    assert batched[-1] < 0.9 * batched[0]
    for index, single in enumerate(nets[1:]):
        for ours, theirs in zip(together.parameters(), single.parameters(), strict=True):
            assert kind == torch.float32 or torch.allclose(ours[index][None], theirs, atol=1e-8)


def test_a_seed_is_the_same_network_alone_and_among_others():
    among, alone = SequenceModel(seeds=range(5)), SequenceModel(seeds=(3,))
    for name, parameter in alone.named_parameters():
        assert torch.equal(among.get_parameter(name)[3][None], parameter)
    for name, parameter in among.named_parameters():
        if not name.endswith("bias") and "norm" not in name:
            assert not torch.isclose(parameter[0], parameter[1]).all()
    assert among.twin(3).seeds == (3,)


def test_a_global_seed_is_neither_used_nor_moved():
    torch.manual_seed(0)
    first, state = SequenceModel(SMALL), torch.random.get_rng_state()
    assert torch.equal(state, torch.manual_seed(0).get_state())
    torch.manual_seed(1)
    assert torch.equal(first.head.weight, SequenceModel(SMALL).head.weight)


def test_first_parameters_have_the_documented_spread():
    made = SequenceModel(SequenceConfig(width=64, embedding=0.1), range(4))
    for name, parameter in made.named_parameters():
        if "tokens" in name:
            assert parameter.std().item() == pytest.approx(0.1, rel=0.15)
        elif "norm" in name or name.endswith("bias"):
            assert (parameter == float(name.endswith("weight"))).all()
        else:
            bound = parameter.shape[1] ** -0.5
            assert 0.95 * bound < parameter.abs().max() <= bound
            assert abs(parameter.mean()) < 0.1 * bound


def test_seeds_do_not_see_each_other():
    net, (bits, features) = model(), examples()
    net(bits, features)[1].sum().backward()
    for parameter in net.parameters():
        assert parameter.grad[1].abs().sum() > 0
        assert parameter.grad[[0, 2]].abs().sum() == 0


def test_examples_do_not_see_each_other():
    net, (bits, features) = model(), examples()
    other = bits.clone()
    other[:, 0] = 1 - other[:, 0]
    changed = (net(bits, features) - net(other, features)).abs().sum((0, 2)) > 0
    assert changed.tolist() == [True] + [False] * 5


def test_a_logit_sees_every_bit_and_only_the_features_before_it():
    """By gradient: the derivative of logit j by input k is zero exactly where k may not be seen."""
    net, (bits, features) = model(), examples()
    bits, features = bits.requires_grad_(), features.requires_grad_()
    logits = net(bits, features)
    for j in range(SMALL.outputs):
        by_bit, by_feature = torch.autograd.grad(logits[..., j].sum(), (bits, features), retain_graph=True)
        assert (by_bit != 0).all()
        assert ((by_feature != 0) == (torch.arange(SMALL.outputs) < j)).all()


def test_a_feature_moves_the_logits_after_it():
    """The same by turning a feature over, which no derivative can hide."""
    net, (bits, features) = model(), examples()
    for k in range(SMALL.outputs):
        other = features.clone()
        other[..., k] = 1 - other[..., k]
        moved = (net(bits, features) - net(bits, other)).abs().amax((0, 1)) > 1e-6
        assert moved.tolist() == [j > k for j in range(SMALL.outputs)]


def test_order_of_bits_and_values_matter():
    net, (bits, _) = model(), examples()
    assert not torch.allclose(net.encode(bits).mean(2), net.encode(bits.roll(1, 2)).mean(2))
    assert not torch.allclose(net.encode(bits), net.encode(1 - bits))


def test_kinds_of_numbers_do_not_matter():
    net, (bits, features) = model(), examples()
    for kind in (torch.bool, torch.int64, torch.float32):
        assert torch.equal(net(bits.to(kind), features.to(kind)), net(bits, features))


def test_a_single_output_starts_from_the_start_token():
    config = SequenceConfig(bits=2, outputs=1, width=8, heads=2, encoder_layers=1, decoder_layers=1)
    net = SequenceModel(config, (0, 1))
    bits = torch.tensor([[[0, 1]], [[1, 1]]])
    assert net(bits, bits[..., :1]).shape == (2, 1, 1)


def test_it_learns_and_the_seeds_differ():
    config = SequenceConfig(bits=3, outputs=2, width=16, heads=2, encoder_layers=1, decoder_layers=1, embedding=0.5)
    net = SequenceModel(config, range(4))
    bits = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3).expand(4, -1, -1)
    features = bits[..., [2, 0]]
    step = torch.optim.Adam(net.parameters(), lr=1e-2, fused=True)
    for _ in range(80):
        step.zero_grad()
        loss(net(bits, features), features).backward()
        step.step()
    logits = net(bits, features)
    assert ((logits > 0) == (features > 0)).all()
    assert (logits[0] - logits[1:]).abs().amax((1, 2)).min() > 0.01


@pytest.mark.parametrize("name", CONFIGS)
def test_sizes_by_formula(name):
    c, seeds = CONFIGS[name], 6
    with torch.device("meta"):
        net = SequenceModel(c, range(seeds))
    w = c.width
    encoder, decoder = 12 * w * w + 13 * w, 16 * w * w + 19 * w
    tokens, ends = (4 + c.bits + c.outputs) * w, 4 * w + w + 1
    each = c.encoder_layers * encoder + c.decoder_layers * decoder + tokens + ends
    assert sum(parameter.numel() for parameter in net.parameters()) == seeds * each
    inputs = torch.empty(seeds, 2, c.bits, device="meta"), torch.empty(seeds, 2, c.outputs, device="meta")
    assert net(*inputs).shape == (seeds, 2, c.outputs)
    assert net.decode(net.encode(inputs[0]), inputs[1]).shape == (seeds, 2, c.outputs, w)
    assert (w, c.encoder_layers) == {"laptop": (32, 2), "gpu": (128, 4)}[name]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SequenceModel(seeds=()), "no seeds given"),
        (lambda: SequenceModel(SequenceConfig(width=30)), "4 heads do not divide a width of 30"),
        (lambda: SequenceModel(SequenceConfig(outputs=0)), "outputs must be at least 1, got 0"),
        (lambda: SequenceModel(SMALL).encode(torch.zeros(2, 4, 5)), "bits must be (seeds, batch, tokens) = (1, 1 or m"),
        (lambda: SequenceModel(SMALL).encode(torch.zeros(4, 5)), "got (4, 5): give every seed a batch"),
        (lambda: SequenceModel(SMALL).encode(torch.zeros(1, 0, 5)), "got (1, 0, 5)"),
        (lambda: SequenceModel(SMALL)(torch.zeros(1, 4, 5), torch.zeros(1, 4, 4)), "features must be (seeds, batch, t"),
    ],
)
@pytest.mark.usefixtures("as_users_run")
def test_refusals(make, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        make()
    assert "\n" not in str(caught.value)
