"""Small networks for the tests of this folder."""

import torch
from torch import nn


class SmallNet(nn.Module):
    """Two convolutions, an in-place ReLU after the observed layer, pooling, a linear head."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Conv2d(3, 6, 3, stride=2)
        self.norm = nn.BatchNorm2d(6)
        self.act = nn.ReLU(inplace=True)
        self.last = nn.Conv2d(6, 12, 3)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(12, 7)

    def forward(self, images):
        maps = self.last(self.act(self.norm(self.body(images))))
        return self.head(self.drop(maps.mean((2, 3))))


class DeepNet(nn.Module):
    """Convolutions that come after the observed layer, a hidden layer, one ReLU module used three times."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.first = nn.Conv2d(3, 8, 3, stride=2)
        self.second = nn.Conv2d(8, 10, 3)
        self.third = nn.Conv2d(10, 8, 3, padding=1)
        self.relu = nn.ReLU()
        self.hidden = nn.Linear(8, 16)
        self.out = nn.Linear(16, 5)

    def forward(self, images):
        maps = self.relu(self.second(self.relu(self.first(images))))
        return self.out(self.relu(self.hidden(self.third(maps).mean((2, 3)))).tanh()) + 3


class SideBranch(DeepNet):
    """Joins a branch that does not pass the observed layer, and fixes the batch size before it."""

    def forward(self, images):
        batch = images.shape[0]
        early = self.relu(self.first(images))
        maps = self.second(early)
        joined = torch.cat([self.third(maps).reshape(batch, 8, -1).mean(2), early.mean((2, 3))], 1)
        return self.out(joined) + 3


class TinyTransformer(nn.Module):
    """Patches, a class token, one attention block over (batch, tokens, channels)."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.patches = nn.Conv2d(3, 16, 4, stride=4)
        self.first = nn.Parameter(torch.randn(1, 1, 16))
        self.block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.0)
        self.mix = nn.Linear(16, 16)
        self.head = nn.Linear(16, 5)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).mT
        tokens = torch.cat([self.first.expand(len(tokens), -1, -1), tokens], 1)
        tokens = self.mix(self.block(tokens))
        scores = (tokens @ tokens[:, :1].mT).softmax(1)
        return self.head((scores * tokens).sum(1))


def state(model):
    """All that a look at a network must leave as it was."""
    hooks = sum(len(m._forward_hooks) + len(m._backward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    flags = [m.training for m in model.modules()]
    grads = [p.grad for p in model.parameters()]
    return hooks, flags, grads, {k: v.clone() for k, v in model.state_dict().items()}


def unchanged(model, before):
    after = state(model)
    return after[:3] == before[:3] and all(torch.equal(after[3][key], value) for key, value in before[3].items())
