r"""The different kinds of picture that a unit answers to: clusters of those that excite it most.

Codes of the pictures (what the last hidden layer says of them) -> their 50 first principal components -> the plane, by
t-SNE :cite:p:`maaten2008tsne` -> k-means there -> the pictures nearest to each centre, whose *mean image* is where the
ascent for that facet begins :cite:p:`nguyen2016multifaceted`.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import Tensor

__all__ = ["Facets", "embed", "find", "strongest"]

Codes = Float[Tensor, "images dims"]
SPACES = ("tsne", "pca")


@dataclass(frozen=True)
class Facets:
    """Clusters of pictures, the largest first.

    Attributes:
        labels: facet of each picture.
        points: where it lies, in the space that was clustered.
        nearest: for each facet the pictures nearest to its centre, the nearest first; fewer where it has no more.
    """

    labels: Int[Tensor, " images"]
    points: Float[Tensor, "images space"]
    nearest: tuple[Tensor, ...]  # of different lengths

    def __len__(self) -> int:
        """How many facets there are."""
        return len(self.nearest)

    def means(
        self, images: Float[Tensor, "images colours height width"]
    ) -> Float[Tensor, "facets colours height width"]:
        """The mean image of each facet's nearest pictures, where an ascent begins."""
        return torch.stack([images[members].mean(0) for members in self.nearest])


def find(
    codes: Codes,
    k: int = 10,
    nearest: int = 15,
    space: str = "tsne",
    seed: int = 0,
    components: int = 50,
    cache: Path | None = None,
) -> Facets:
    """Cluster the pictures that excite a unit.

    Args:
        codes: one row for each picture, such as the values of the last hidden layer. Never pixels: clusters of pixels
            are clusters of brightness.
        k: facets to look for.
        nearest: pictures to each facet's mean image.
        space: ``tsne`` as in the paper, or ``pca`` to cluster the principal components directly.
        seed: of t-SNE and k-means.
        components: principal components to keep, at most.
        cache: folder in which embeddings are kept from run to run, by content; always kept within a process.

    Raises:
        ValueError: if there are fewer distinct pictures than facets, or an argument is not as described.
    """
    if space not in SPACES:
        raise ValueError(f"space must be one of {', '.join(SPACES)}; got {space!r}")
    if codes.ndim != 2 or not bool(torch.isfinite(codes).all()):
        raise ValueError(f"codes must be finite rows, one for each picture; got {tuple(codes.shape)}")
    if not 1 <= k <= len(torch.unique(codes, dim=0)) or nearest < 1:
        raise ValueError(f"{k} facets of {nearest} cannot be found in {len(codes)} pictures: lower k, or give more")
    points = embed(codes, components, seed, space, cache)
    means = KMeans(k, n_init=10, random_state=seed).fit(points.numpy())
    sizes = np.bincount(means.labels_, minlength=k)
    order = np.argsort(-sizes, kind="stable")
    labels = torch.from_numpy(np.argsort(order)[means.labels_])
    distance = torch.from_numpy(means.transform(points.numpy()))
    members = []
    for facet, centre in enumerate(order):
        own = (labels == facet).nonzero().flatten()
        members.append(own[distance[own, int(centre)].argsort(stable=True)[:nearest]])
    return Facets(labels, points, tuple(members))


def embed(
    codes: Codes, components: int = 50, seed: int = 0, space: str = "tsne", cache: Path | None = None
) -> Float[Tensor, "images space"]:
    """First principal components of the codes, or the t-SNE plane of these; computed once for each content."""
    rows = np.ascontiguousarray(codes.detach().cpu().numpy(), dtype=np.float32)
    path = None if cache is None else cache / f"{space}-{_digest(rows, components, seed)}.npy"
    if path is not None and path.exists():
        return torch.from_numpy(np.load(path, allow_pickle=False))
    points = _embed(rows.tobytes(), rows.shape, components, seed, space)
    if path is not None:
        _keep(points, path)
    return torch.from_numpy(points.copy())


@lru_cache(maxsize=64)
def _embed(rows: bytes, shape: tuple[int, int], components: int, seed: int, space: str) -> np.ndarray:
    """The computation itself."""
    codes = np.frombuffer(rows, np.float32).reshape(shape)
    keep = min(components, *shape)
    points = PCA(keep, svd_solver="full").fit_transform(codes)
    if space == "tsne":
        perplexity = min(30.0, (shape[0] - 1) / 3)
        points = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(points)
    return np.asarray(points, np.float32)


def _digest(rows: np.ndarray, components: int, seed: int) -> str:
    """A name made from all that decides the result, scikit-learn's version included."""
    import sklearn

    told = f"{rows.shape} {components} {seed} {sklearn.__version__}".encode()
    return hashlib.sha256(told + rows.tobytes()).hexdigest()[:20]


def _keep(points: np.ndarray, path: Path) -> None:
    """Write a file that is there wholly or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npy", delete=False) as file:
        np.save(file, points)
    os.replace(file.name, path)  # noqa: PTH105


def strongest(values: Iterable[Tensor], n: int) -> tuple[Float[Tensor, " n"], Int[Tensor, " n"]]:
    """The ``n`` largest of values that come batch by batch, and their places; of equal ones the first.

    Never holds more than ``n`` and one batch. Fewer than ``n`` come back if there are no more.

    Example:
        >>> strongest([torch.tensor([1.0, 5.0]), torch.tensor([3.0])], n=2)
        (tensor([5., 3.]), tensor([1, 2]))

    Raises:
        ValueError: if ``n`` is not positive or a value is NaN.
    """
    if n < 1:
        raise ValueError(f"n must be positive, got {n}")
    best, places, done = torch.empty(0), torch.empty(0, dtype=torch.long), 0
    for batch in values:
        if bool(batch.isnan().any()):
            raise ValueError(f"a value at or after place {done} is NaN: look at what the network was given")
        here = torch.arange(done, done + len(batch), device=batch.device)
        together, where = torch.cat([best.to(batch), batch]), torch.cat([places.to(here), here])
        order = together.argsort(descending=True, stable=True)[:n]
        best, places, done = together[order], where[order], done + len(batch)
    return best, places
