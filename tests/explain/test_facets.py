"""Clusters of codes: scikit-learn composed by hand is the oracle."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_rand_score

from featlib.explain import facets
from featlib.explain.facets import find, strongest


def blobs(sizes=(40, 30, 20), dims=60, apart=8.0, seed=0):
    random = np.random.default_rng(seed)
    centres = apart * random.normal(size=(len(sizes), dims))
    rows = [centre + random.normal(size=(size, dims)) for centre, size in zip(centres, sizes, strict=True)]
    truth = np.repeat(np.arange(len(sizes)), sizes)
    return torch.from_numpy(np.concatenate(rows)).float(), truth


@pytest.mark.parametrize("space", ["tsne", "pca"])
def test_labels_are_those_of_scikit_learn_by_hand(space):
    codes, truth = blobs()
    points = PCA(50, svd_solver="full").fit_transform(codes.numpy())
    if space == "tsne":
        points = TSNE(perplexity=(90 - 1) / 3, init="pca", random_state=3).fit_transform(points)
    by_hand = KMeans(3, n_init=10, random_state=3).fit_predict(points)
    found = find(codes, k=3, space=space, seed=3)
    assert adjusted_rand_score(by_hand, found.labels.numpy()) == 1
    assert adjusted_rand_score(truth, found.labels.numpy()) == 1
    assert found.points.shape == (90, 2 if space == "tsne" else 50)


def test_facets_come_by_size_with_their_nearest_pictures():
    codes, _ = blobs()
    found = find(codes, k=3, nearest=25, space="pca")
    assert np.bincount(found.labels.numpy()).tolist() == [40, 30, 20]
    assert [len(members) for members in found.nearest] == [25, 25, 20]  # the last has no more
    assert len(found) == 3
    for facet, members in enumerate(found.nearest):
        own = found.points[found.labels == facet]
        distance = (found.points - own.mean(0)).norm(dim=1)
        assert (found.labels[members] == facet).all()
        assert (distance[members].diff() >= -1e-3).all()
        assert distance[members].max() <= distance[found.labels == facet].sort().values[len(members) - 1] + 1e-3


def test_mean_images():
    codes, _ = blobs()
    images = torch.rand(90, 1, 4, 4)
    found = find(codes, k=3, nearest=15, space="pca")
    means = found.means(images)
    assert means.shape == (3, 1, 4, 4)
    assert torch.allclose(means[1], sum(images[i] for i in found.nearest[1].tolist()) / 15)


def test_the_embedding_is_kept_by_content(tmp_path, monkeypatch):
    codes, _ = blobs((12, 12))
    first = find(codes, k=2, space="tsne", cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    facets._embed.cache_clear()
    monkeypatch.setattr(facets, "TSNE", None)
    again = find(codes, k=2, space="tsne", cache=tmp_path)
    assert torch.equal(first.points, again.points)
    monkeypatch.undo()
    find(codes, k=2, space="tsne", cache=tmp_path, seed=1)
    find(codes + 1e-3, k=2, space="tsne", cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"space": "umap"}, "tsne, pca"),
        ({"k": 200}, "lower k"),
        ({"k": 0}, "lower k"),
        ({"nearest": 0}, "facets of 0"),
        ({"codes": torch.full((9, 3), torch.nan)}, "finite rows"),
        ({"codes": torch.zeros(9, 3), "k": 2}, "lower k"),
    ],
)
def test_what_cannot_be_clustered_is_refused(arguments, hint):
    with pytest.raises(ValueError, match=hint):
        find(**{"codes": blobs()[0], "space": "pca", **arguments})


def test_strongest_is_a_sort_whatever_the_batches():
    values = torch.randint(0, 40, (200,), generator=torch.Generator().manual_seed(0)).float()
    for size in (1, 7, 64, 200):
        top, places = strongest(values.split(size), 30)
        expected = values.argsort(descending=True, stable=True)[:30]
        assert torch.equal(places, expected)
        assert torch.equal(top, values[expected])
    assert len(strongest(values.split(50), 999)[0]) == 200
    assert strongest([], 3)[0].shape == (0,)
    with pytest.raises(ValueError, match="positive"):
        strongest([], 0)
    with pytest.raises(ValueError, match="place 2 is NaN"):
        strongest([torch.zeros(2), torch.tensor([1.0, torch.nan])], 3)
