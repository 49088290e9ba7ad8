"""PGD against steps written out, then its limits."""

import pytest
import torch
from nets import SmallNet, state, unchanged
from torch.nn import functional

from featlib.explain.attack import pgd


@pytest.fixture
def net():
    return SmallNet().eval()


@pytest.fixture
def images():
    return torch.rand(5, 3, 18, 16, generator=torch.Generator().manual_seed(1))


def test_equals_the_steps_written_out(net, images):
    labels = torch.tensor([0, 1, 2, 3, 4])
    ours = pgd(net, images, labels, 0.05, 0.02, 4, limits=(0.0, 1.0), chunk=2)
    for image, label, mine in zip(images, labels, ours, strict=True):
        changed = image[None].clone()
        for _ in range(4):
            changed.requires_grad_()
            functional.cross_entropy(net(changed), label[None]).backward()
            changed = (changed + 0.02 * changed.grad.sign()).detach()
            changed = (image + (changed - image).clamp(-0.05, 0.05)).clamp(0, 1)
        # a gradient of nearly zero may take the other sign
        assert float(((mine - changed[0]).abs() > 1e-5).float().mean()) < 0.01


def test_the_loss_rises_and_the_change_keeps_its_size(net, images):
    labels = net(images).argmax(1)
    attacked = pgd(net, images, labels, steps=5)
    before, after = (functional.cross_entropy(net(x), labels, reduction="none") for x in (images, attacked))
    assert (after > before).all()
    assert float((attacked - images).abs().max()) == pytest.approx(8 / 128, rel=1e-4)
    random = images + 8 / 128 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).sign()
    assert (after > functional.cross_entropy(net(random), labels, reduction="none")).all()  # better than noise


def test_the_network_and_the_images_stay_as_they_were(net, images):
    net.train()
    before, pictures = state(net), images.clone()
    with torch.no_grad():
        attacked = pgd(net, images, [0] * 5)
    assert unchanged(net, before)
    assert torch.equal(images, pictures)
    assert not attacked.requires_grad
    assert pgd(net, images[:0], torch.zeros(0, dtype=torch.long)).shape == (0, 3, 18, 16)


@pytest.mark.usefixtures("as_users_run")
def test_bad_input_is_named(net, images):
    with pytest.raises(ValueError, match="5 images need 5 labels"):
        pgd(net, images, [1, 2])
    with pytest.raises(ValueError, match="must be positive"):
        pgd(net, images, [0] * 5, epsilon=0.0)
