"""Networks of our own, one file for each family of architectures, all to be had by name.

>>> from featlib.models import build
>>> tuple(build("resnet50-small").classifier.weight.shape)
(1000, 512)
"""

from featlib.models.imagenet import Classifier
from featlib.models.registry import ModelError, build, config, names

__all__ = ["Classifier", "ModelError", "build", "config", "names"]
