"""The GAN's parts."""

import pytest
import torch

from iddpm.config import DatasetSpec
from iddpm.experiments.rivals.gan import LATENT, Discriminator, Generator, discriminator_loss, generator_loss


@pytest.mark.parametrize("size", [(8, 8), (16, 16), (6, 6)])
def test_images_have_the_datas_shape_and_range(size: tuple[int, int]) -> None:
    spec = DatasetSpec(channels=3, size=size, class_names=("a", "b"))
    torch.manual_seed(0)
    generator, discriminator = Generator(spec, 8), Discriminator(spec, 8)
    labels = torch.tensor([0, 1, 1])
    images = generator(torch.randn(3, LATENT), labels)
    assert images.shape == (3, 3, *size)
    assert float(images.detach().abs().max()) <= 1
    assert discriminator(images, labels).shape == (3,)


def test_the_class_matters_to_both() -> None:
    spec = DatasetSpec(channels=1, size=(8, 8), class_names=("a", "b"))
    torch.manual_seed(0)
    generator, discriminator = Generator(spec, 8).eval(), Discriminator(spec, 8).eval()
    torch.nn.init.normal_(generator.norm.shift.weight)  # they begin alike
    latents = torch.randn(1, LATENT)
    first, second = (generator(latents, torch.tensor([label])) for label in (0, 1))
    assert not torch.equal(first, second)
    assert discriminator(first, torch.tensor([0])) != discriminator(first, torch.tensor([1]))


def test_the_hinge_is_satisfied_beyond_one() -> None:
    assert discriminator_loss(torch.tensor([1.0, 3.0]), torch.tensor([-1.0, -2.0])) == 0
    assert discriminator_loss(torch.tensor([0.0]), torch.tensor([0.0])) == 2
    assert generator_loss(torch.tensor([1.0, 3.0])) == -2
