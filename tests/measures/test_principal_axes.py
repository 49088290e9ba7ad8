"""Principal components of representations against scikit-learn, and the ranks that a head needs."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from featlib.measures import variance_of_features
from featlib.measures.components import component_shares, principal_axes, rank_needed, reconstruct


def representations(seeds=3, n=200, d=6):
    torch.manual_seed(0)
    return torch.randn(seeds, n, d, dtype=torch.float64) @ torch.randn(seeds, d, d, dtype=torch.float64) + 5


def test_axes_are_scikit_learns():
    phi = representations()
    axes = principal_axes(phi)
    for seed in range(3):
        theirs = PCA().fit(phi[seed].numpy())
        np.testing.assert_allclose(axes.mean[seed], theirs.mean_)
        np.testing.assert_allclose(axes.variances[seed], theirs.explained_variance_)
        np.testing.assert_allclose(np.abs((axes.directions[seed].numpy() @ theirs.components_.T).diagonal()), 1)


@pytest.mark.parametrize("k", [0, 2, 6])
def test_reconstructions_are_scikit_learns(k):
    phi = representations()
    for seed in range(3):
        theirs = PCA(k).fit(phi[seed].numpy()) if k else None
        wanted = (
            theirs.inverse_transform(theirs.transform(phi[seed].numpy())) if k else phi[seed].mean(0).expand(200, 6)
        )
        np.testing.assert_allclose(reconstruct(phi, k)[seed], wanted)


def test_signs_are_fixed_and_single_precision_agrees():
    phi = representations()
    axes = principal_axes(phi)
    assert (axes.directions.gather(-1, axes.directions.abs().argmax(-1, keepdim=True)) > 0).all()
    torch.testing.assert_close(principal_axes(phi.float()).directions, axes.directions.float(), atol=1e-4, rtol=1e-4)
    assert torch.equal(principal_axes(phi[1]).directions, axes.directions[1])


def test_shares_of_components_add_up_to_the_share_of_the_whole():
    phi = representations()
    features = (torch.rand(3, 200, 2) < 0.5).long()
    phi[..., 0] += 3 * features[..., 0]
    shares, axes = component_shares(phi, features), principal_axes(phi)
    assert shares.shape == (3, 6, 2)
    weights = axes.variances / axes.variances.sum(-1, keepdim=True)
    torch.testing.assert_close((weights[..., None] * shares).sum(-2), variance_of_features(phi, features))


def test_the_rank_that_is_needed():
    """Two features on two axes of different length, read by their signs."""
    torch.manual_seed(1)
    signs = torch.randint(2, (2, 500, 2)) * 2.0 - 1
    phi = torch.cat([5 * signs[..., :1], 2 * torch.randn(2, 500, 1), signs[..., 1:]], -1)

    def head(representation):
        return representation[..., [0, 2]]

    assert rank_needed(phi, head, (signs > 0).float()).tolist() == [[1, 3], [1, 3]]
    always = (head(phi).mean(1, keepdim=True) > 0).expand(-1, 500, -1)
    assert rank_needed(phi, lambda p: always * 2.0 - 1, always).tolist() == [[0, 0], [0, 0]]
    wrong = -signs
    assert rank_needed(phi, head, (wrong > 0).float()).tolist() == [[4, 4], [4, 4]]


def test_refusals():
    phi = representations()
    with pytest.raises(ValueError, match=r"k must lie in 0\.\.6, got 7"):
        reconstruct(phi, 7)
    with pytest.raises(ValueError, match="accuracy must lie"):
        rank_needed(phi, lambda p: p, torch.ones(3, 200, 6), accuracy=99.0)
    with pytest.raises(ValueError, match="2 examples or more"):
        principal_axes(phi[:, :1])
    phi[0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        principal_axes(phi)
