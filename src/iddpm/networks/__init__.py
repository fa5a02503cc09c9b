"""The paper's network: a U-Net over 1, 2 or 3 dimensions, with conditions."""

from iddpm.networks.inputs import NetworkInput
from iddpm.networks.unet import UNet

__all__ = ["NetworkInput", "UNet"]
