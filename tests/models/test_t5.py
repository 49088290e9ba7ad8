"""T5 against published sizes, its formulas written out once more, and itself token by token."""

import math

import pytest
import torch
from torch.nn import functional

from featlib.models import build, config
from featlib.models.position import PositionBias, distance_buckets
from featlib.models.relu_mlp import TopKReLU
from featlib.models.t5 import START

PARAMETERS = {
    "t5_small": 60_506_624,
    "t5_base": 222_903_552,
    "t5_large": 737_668_096,
    "t5_3b": 2_851_598_336,
    "t5_11b": 11_307_321_344,
}
SMALL = {"vocabulary": 50, "width": 12, "ff": 20, "layers": 2, "heads": 3, "head_width": 5}


def small(seed=0, **overrides):
    """A network in float64 whose parameters all differ from their first values."""
    torch.manual_seed(seed)
    model = build("t5_tiny", **(SMALL | overrides)).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model


def text(rows, length, seed=1):
    return torch.randint(1, 50, (rows, length), generator=torch.Generator().manual_seed(seed))


def closed_form(c):
    """Parameters, counted on paper."""
    attention, mlp = 4 * c.width * c.heads * c.head_width, 2 * c.width * c.ff
    encoder = c.layers * (attention + mlp + 2 * c.width)
    decoder = c.layers * (2 * attention + mlp + 3 * c.width)
    return c.vocabulary * c.width + encoder + decoder + 2 * (c.width + c.buckets * c.heads)


@pytest.mark.parametrize("name", [*PARAMETERS, "t5_tiny"])
def test_parameters(name):
    model = build(name, device="meta")
    assert all(parameter.device.type == "meta" for parameter in model.parameters())
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == closed_form(config(name)) == PARAMETERS.get(name, count)


def test_the_largest_runs_on_meta():
    model = build("t5_11b", device="meta", topk=128)
    ids = torch.zeros(2, 9, dtype=torch.int64, device="meta")
    assert model(ids, ids[:, :4]).shape == (2, 4, 32128)


def bucket_of_the_paper(way, causal, buckets=32, furthest=128):
    """Bucket of key position minus query position, in floating point: half exact, the rest logarithmic."""
    bucket = 0
    if causal:
        distance = max(-way, 0)
    else:
        buckets //= 2
        bucket, distance = (buckets if way > 0 else 0), abs(way)
    exact = buckets // 2
    if distance < exact:
        return bucket + distance
    part = math.log(distance / exact) / math.log(furthest / exact) * (buckets - exact)
    return bucket + min(exact + int(part + 1e-9), buckets - 1)  # a boundary belongs to the upper bucket


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("buckets", "furthest"), [(32, 128), (16, 50), (8, 9)])
def test_buckets_equal_the_formula(causal, buckets, furthest):
    length = 2 * furthest + 20
    position = PositionBias(2, buckets, furthest, causal)
    torch.nn.init.normal_(position.weight)
    bias = position(length, length)
    for query in (0, length // 2, length - 1):
        for key in range(length):
            if causal and key > query:
                assert bias[:, query, key].tolist() == [-math.inf] * 2
                continue
            expected = position.weight[bucket_of_the_paper(key - query, causal, buckets, furthest)]
            assert torch.equal(bias[:, query, key], expected), (query, key)


def test_buckets_worked_out_by_hand():
    """16 buckets up to 128: eight exact, then a bucket for each factor of the square root of two."""
    table = distance_buckets(16, 128)
    assert table[:8] == tuple(range(8))
    borders = [next(r for r in range(129) if table[r] == bucket) for bucket in range(8, 16)]
    assert borders == [math.ceil(8 * 2 ** (j / 2) - 1e-9) for j in range(8)]
    assert borders[::2] == [8, 16, 32, 64]
    assert len(table) == 129
    assert sorted(table) == list(table)


def test_the_last_queries_of_a_longer_text():
    for causal in (True, False):
        position = PositionBias(2, 8, 20, causal)
        torch.nn.init.normal_(position.weight)
        assert torch.equal(position(3, 11), position(11, 11)[:, -3:])


def restated(model, inputs, targets, c):
    """Logits of one text: loops over heads, queries and keys, in float64."""
    state = {name: value.detach() for name, value in model.state_dict().items()}

    def norm(x, name):
        return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * state[f"{name}.weight"]

    def attention(x, read, name, stack=None):
        query, key, value = (
            rows @ state[f"{name}.{part}.weight"].T for rows, part in ((x, "query"), (read, "key"), (read, "value"))
        )
        rows = []
        for i in range(len(x)):
            heads = []
            for head in range(c.heads):
                mine = slice(head * c.head_width, (head + 1) * c.head_width)
                scores = []
                for j in range(len(read)):
                    score = float(query[i, mine] @ key[j, mine])
                    if stack == "decoder" and j > i:
                        score = -math.inf
                    elif stack:
                        bucket = bucket_of_the_paper(j - i, stack == "decoder", c.buckets, c.furthest)
                        score += float(state[f"{stack}.position.weight"][bucket, head])
                    scores.append(score)
                heads.append(torch.tensor(scores, dtype=torch.float64).softmax(0) @ value[:, mine])
            rows.append(torch.cat(heads))
        return torch.stack(rows) @ state[f"{name}.out.weight"].T

    def mlp(x, name):
        return (x @ state[f"{name}.w_in"].T).clamp(min=0) @ state[f"{name}.w_out"].T

    read = state["embedding.weight"][inputs]
    for k in range(c.layers):
        name = f"encoder.layers.{k}"
        normed = norm(read, f"{name}.attention_norm")
        read = read + attention(normed, normed, f"{name}.attention", "encoder")
        read = read + mlp(norm(read, f"{name}.mlp_norm"), f"{name}.mlp")
    read = norm(read, "encoder.norm")
    x = state["embedding.weight"][[START, *targets[:-1].tolist()]]
    for k in range(c.layers):
        name = f"decoder.layers.{k}"
        normed = norm(x, f"{name}.attention_norm")
        x = x + attention(normed, normed, f"{name}.attention", "decoder")
        x = x + attention(norm(x, f"{name}.cross_norm"), read, f"{name}.cross")
        x = x + mlp(norm(x, f"{name}.mlp_norm"), f"{name}.mlp")
    return norm(x, "decoder.norm") @ state["embedding.weight"].T / math.sqrt(c.width)


def test_the_network_equals_a_plain_restatement():
    overrides = {"buckets": 8, "furthest": 7}  # so that all buckets occur in a short text
    model = small(**overrides)
    inputs, targets = text(2, 11), text(2, 9, seed=2)
    settings = config("t5_tiny", **(SMALL | overrides))
    logits = model(inputs, targets)
    for row in range(2):
        expected = restated(model, inputs[row], targets[row], settings)
        torch.testing.assert_close(logits[row], expected, atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize("topk", [None, 5])
def test_token_by_token_equals_all_at_once(topk):
    model = small(topk=topk)
    inputs, targets = text(3, 14), text(3, 40, seed=2)
    expected = model(inputs, targets)
    shown = functional.pad(targets[:, :-1], (1, 0), value=START)
    cache = model.start(model.encode(inputs))
    steps = []
    for token in shown.split(1, 1):
        logits, cache = model.decode(token, cache)
        steps.append(logits)
    torch.testing.assert_close(torch.cat(steps, 1), expected, atol=1e-10, rtol=1e-8)
    assert {keys.shape for keys, _ in cache.written} == {(3, 3, 40, 5)}


def test_any_cut_gives_the_same_and_a_cache_can_be_used_twice():
    model = small()
    inputs, tokens = text(2, 6), text(2, 9, seed=2)
    start = model.start(model.encode(inputs))
    expected, _ = model.decode(tokens, start)
    first, middle = model.decode(tokens[:, :4], start)
    for _ in range(2):
        rest, _ = model.decode(tokens[:, 4:], middle)
        torch.testing.assert_close(torch.cat([first, rest], 1), expected, atol=1e-10, rtol=1e-8)


def test_a_target_is_not_shown_to_its_own_logits():
    model = small()
    inputs, targets = text(1, 6), text(1, 8, seed=2)
    changed = targets.clone()
    changed[0, 4] = 49 - changed[0, 4]
    before, after = model(inputs, targets), model(inputs, changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert (before[:, 5] != after[:, 5]).any()
    assert not torch.allclose(model(inputs.flip(1), targets), before)  # what is read matters, and its order


def test_texts_of_a_batch_do_not_meet():
    model = small()
    inputs, targets = text(4, 7), text(4, 5, seed=2)
    torch.testing.assert_close(model(inputs, targets)[2:3], model(inputs[2:3], targets[2:3]))


def test_weights_start_as_published():
    """Their deviations, and so scores of attention and logits of order one."""
    torch.manual_seed(0)
    model = build("t5_tiny", width=256, heads=8, head_width=32, ff=1024)
    layer = model.decoder.layers[0]
    expected = {
        model.embedding.weight: 1,
        layer.cross.query.weight: (256 * 32) ** -0.5,
        layer.cross.key.weight: 256**-0.5,
        layer.attention.value.weight: 256**-0.5,
        layer.attention.out.weight: 256**-0.5,
        layer.mlp.w_in: 256**-0.5,
        layer.mlp.w_out: 1024**-0.5,
    }
    for weight, deviation in expected.items():
        assert float(weight.detach().std()) == pytest.approx(deviation, rel=0.02)
    assert float(model.encoder.position.weight.detach().std()) == pytest.approx(1 / 16, rel=0.2)
    with torch.no_grad():
        assert 0.5 < float(model(text(4, 30), text(4, 30)).std()) < 2
    assert not any("bias" in name for name in model.state_dict())


def test_every_parameter_learns():
    torch.manual_seed(0)
    model = build("t5_tiny", topk=9).train()
    inputs, targets = text(4, 20), text(4, 20, seed=2)
    functional.cross_entropy(model(inputs, targets).flatten(0, 1), targets.flatten()).backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_random_weights_follow_the_seed():
    first, again, other = (torch.manual_seed(seed) and build("t5_tiny") for seed in (0, 0, 1))
    assert all(torch.equal(*pair) for pair in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.embedding.weight, other.embedding.weight)


def test_activations_are_modules_by_stack():
    acts = [name for name, module in build("t5_tiny").named_modules() if isinstance(module, torch.nn.ReLU)]
    assert acts == [f"{stack}.layers.{k}.mlp.act" for stack in ("encoder", "decoder") for k in (0, 1)]
    kept = [module.k for module in build("t5_tiny", topk=16).modules() if isinstance(module, TopKReLU)]
    assert kept == [16] * 4


def test_as_many_as_there_are_is_the_plain_network():
    inputs, targets = text(2, 8), text(2, 6)
    assert torch.equal(small(topk=20)(inputs, targets), small()(inputs, targets))
    assert not torch.equal(small(topk=4)(inputs, targets), small()(inputs, targets))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"buckets": 6}, "buckets must be a multiple of 4"),
        ({"furthest": 16}, "furthest must exceed 16"),
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"topk": 257}, r"topk must lie in 1\.\.256"),
    ],
)
def test_errors(overrides, message):
    with pytest.raises(ValueError, match=message):
        build("t5_tiny", **overrides)
