"""The paper's network: a U-Net over 1, 2 or 3 dimensions, and its variant that sees a low-resolution image."""

from iddpm.networks.unet import UNet
from iddpm.networks.upsampler import Upsampler

__all__ = ["UNet", "Upsampler"]
