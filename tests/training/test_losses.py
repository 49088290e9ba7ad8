"""The textbook losses against torch's own, loops by hand, and the quadratic form that the spectral loss must be."""

import pytest
import torch
from pytorch_metric_learning.losses import NTXentLoss, SelfSupervisedLoss, SupConLoss
from torch.nn import functional

from featlib.training import losses


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_cross_entropy_is_torchs():
    logits, labels = normal(3, 7, 5), torch.randint(5, (3, 7), generator=torch.Generator().manual_seed(1))
    expected = torch.stack([functional.cross_entropy(a, b) for a, b in zip(logits, labels, strict=True)])
    torch.testing.assert_close(losses.cross_entropy(logits, labels), expected)


def test_info_nce_is_cross_entropy_over_the_other_rows():
    """By torch's cross-entropy on similarities of which the own one is taken out."""
    a, b = functional.normalize(normal(6, 4), dim=1), functional.normalize(normal(6, 4, seed=1), dim=1)
    z = torch.cat([a, b])
    similar = z @ z.T / 0.3
    rows = torch.stack([torch.cat([row[:i], row[i + 1 :]]) for i, row in enumerate(similar)])
    target = torch.tensor([(i + 6) % 12 - int((i + 6) % 12 > i) for i in range(12)])
    torch.testing.assert_close(losses.info_nce(a, b, 0.3), functional.cross_entropy(rows, target))


def test_supcon_with_a_label_for_each_pair_is_info_nce():
    a, b = normal(2, 5, 3), normal(2, 5, 3, seed=1)
    labels = torch.arange(5).repeat(2, 2)
    torch.testing.assert_close(losses.supcon(torch.cat([a, b], 1), labels), losses.info_nce(a, b))


@pytest.mark.parametrize("temperature", [0.5, 0.07])
def test_both_contrastive_losses_are_pytorch_metric_learnings(temperature):
    a, b = normal(9, 4), normal(9, 4, seed=1)
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 3, 4, 4])  # 2 and 3 have no positive
    unit = functional.normalize(a, dim=1), functional.normalize(b, dim=1)
    expected = SupConLoss(temperature=temperature)(a, labels)
    torch.testing.assert_close(losses.supcon(unit[0], labels, temperature), expected)
    expected = SelfSupervisedLoss(NTXentLoss(temperature=temperature))(a, b)
    torch.testing.assert_close(losses.info_nce(*unit, temperature), expected)


def test_seeds_do_not_meet():
    z, labels = normal(4, 9, 3), torch.randint(3, (4, 9), generator=torch.Generator().manual_seed(0))
    alone = torch.stack([losses.supcon(a, b, 0.2) for a, b in zip(z, labels, strict=True)])
    torch.testing.assert_close(losses.supcon(z, labels, 0.2), alone)


def test_spectral_is_the_sum_by_hand():
    a, b = normal(4, 3), normal(4, 3, seed=1)
    own = sum(float(a[i] @ b[i]) for i in range(4)) / 4
    apart = sum(float(a[i] @ b[j]) ** 2 for i in range(4) for j in range(4) if i != j) / 12
    assert float(losses.spectral(a, b)) == pytest.approx(apart - 2 * own)


def test_spectral_is_unbiased_for_the_population_form():
    r"""For a linear model on whitened inputs the population's loss is known: -2 tr(M S+) + tr((M S)^2)."""
    generator = torch.Generator().manual_seed(0)
    phi, sigma = torch.tensor([1.5, 0.5]), torch.tensor([0.3, 1.0])
    gain = torch.tensor([0.8, 0.6])  # M = diag(gain^2)
    clean = phi * torch.randn(200, 500, 2, generator=generator)
    a, b = (gain * (clean + sigma * torch.randn(200, 500, 2, generator=generator)) for _ in range(2))
    found = losses.spectral(a, b)
    second = phi**2 + sigma**2
    expected = float((-2 * gain**2 * phi**2 + (gain**2 * second) ** 2).sum())
    assert abs(float(found.mean()) - expected) < 4 * float(found.std()) / 200**0.5


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.info_nce(normal(3, 2), normal(4, 2)), "one shape"),
        (lambda: losses.spectral(normal(3, 2), normal(4, 2)), "one shape"),
        (lambda: losses.spectral(normal(1, 2), normal(1, 2)), "two or more"),
        (lambda: losses.supcon(normal(3, 2), torch.arange(3), 0.0), "positive"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
