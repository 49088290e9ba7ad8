"""Fast operations, each in a folder of its own beside its slow, obviously right reference."""

from featlib.kernels.contrastive import info_nce, supcon
from featlib.kernels.sparse_decode import firing, sparse_decode
from featlib.kernels.sparse_mlp import neuron_major, sparse_mlp
from featlib.kernels.top_component import top_component
from featlib.kernels.topk_mlp import topk_mlp
from featlib.kernels.tv_prox import tv_dual, tv_prox

__all__ = [
    "firing",
    "info_nce",
    "neuron_major",
    "sparse_decode",
    "sparse_mlp",
    "supcon",
    "top_component",
    "topk_mlp",
    "tv_dual",
    "tv_prox",
]
