"""The conflict test against closed forms: two features of known size and noise, and who must win for which probe."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, RidgeClassifier

from featlib.measures.conflict import PROBES, follows


def planted(sizes, noises, n=4000, seed=0):
    r"""Two units, :math:`\phi_j = a_j s_j + \sigma_j \epsilon_j` with :math:`s = \pm 1`: agreeing and conflicting."""
    generator = torch.Generator().manual_seed(seed)
    label, other = torch.randint(0, 2, (2, n), generator=generator)
    sizes, noises = torch.tensor(sizes, dtype=torch.float64), torch.tensor(noises, dtype=torch.float64)

    def phi(first, second):
        signs = 2.0 * torch.stack([first, second], -1) - 1
        return sizes * signs + noises * torch.randn(n, 2, generator=generator, dtype=torch.float64)

    return phi(label, label), label, phi(other, 1 - other), other


def expected(sizes, noises, weights):
    r"""Chance that :math:`w^\top\phi` has the first feature's sign: normal, mean :math:`w_1 a_1 - w_2 a_2`."""
    mean = weights[0] * sizes[0] - weights[1] * sizes[1]
    spread = math.hypot(weights[0] * noises[0], weights[1] * noises[1])
    return 0.5 * (1 + math.erf(mean / spread / math.sqrt(2)))


CASES = {
    "the larger": ((2.0, 1.0), (1.0, 1.0)),
    "the smaller": ((1.0, 2.0), (1.0, 1.0)),
    "equal": ((1.0, 1.0), (1.0, 1.0)),
    "large and noisy": ((2.0, 1.0), (2.0, 0.5)),
}


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("case", CASES)
def test_who_wins_is_known(case, probe):
    """Means alone follow the size; all others divide by the variance, and so follow what is clearer."""
    sizes, noises = CASES[case]
    squares = [1.0, 1.0] if probe == "nearest mean" else [noise**2 for noise in noises]
    weights = [size / square for size, square in zip(sizes, squares, strict=True)]
    found = follows(*planted(sizes, noises), probe=probe)
    assert float(found) == pytest.approx(expected(sizes, noises, weights), abs=0.04)


def test_one_representation_two_answers():
    data = planted(*CASES["large and noisy"])
    assert follows(*data, probe="nearest mean") > 0.7
    assert follows(*data, probe="least squares") < 0.2


@pytest.mark.parametrize("probe", PROBES)
def test_both_features_share_the_conflicts(probe):
    phi, label, phi_test, easy = planted((2.0, 1.0), (1.0, 1.0), n=300)
    shares = follows(phi, label, phi_test, easy, probe), follows(phi, label, phi_test, 1 - easy, probe)
    assert float(sum(shares)) == 1


PEERS = {
    "logistic": LogisticRegression(tol=1e-8, max_iter=10_000),
    "ridge": RidgeClassifier(),
    "least squares": RidgeClassifier(alpha=1e-10),
}


@pytest.mark.parametrize("probe", PEERS)
def test_each_probe_is_the_classifier_of_its_name(probe):
    generator = torch.Generator().manual_seed(1)
    phi, phi_test = torch.randn(2, 200, 64, generator=generator)
    label, easy = (part[:, :3].sum(-1) > 0 for part in (phi, phi_test))
    peer = PEERS[probe].fit(phi.double().numpy(), label.numpy()).predict(phi_test.double().numpy())
    assert float(follows(phi, label, phi_test, easy, probe)) == pytest.approx(np.mean(peer == easy.numpy()))


def test_seeds_side_by_side():
    parts = [planted((2.0, 1.0), (1.0, 1.0), n=200, seed=seed) for seed in range(3)]
    together = follows(*(torch.stack(column) for column in zip(*parts, strict=True)))
    assert together.tolist() == [float(follows(*part)) for part in parts]


@pytest.mark.usefixtures("as_users_run")
def test_bad_input_is_refused():
    data = planted((2.0, 1.0), (1.0, 1.0), n=50)
    with pytest.raises(ValueError, match="least squares"):
        follows(*data, probe="svm")
    with pytest.raises(ValueError, match="two classes"):
        follows(data[0], torch.ones_like(data[1]), *data[2:])
    with pytest.raises(ValueError, match="no example"):
        follows(*data[:2], data[2][:0], data[3][:0])
    with pytest.raises(ValueError, match="2 units"):
        follows(*data[:2], data[2][:, :1], data[3])
