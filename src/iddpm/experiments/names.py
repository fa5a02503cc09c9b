"""The experiments' names, for those who only want to know what there is."""

from typing import Literal

ScaleName = Literal["tiny", "small", "paper"]
NAMES = {
    "schedules": "linear and cosine: alpha-bar, and quality when a share of the chain's noisy end is skipped",
    "bound-by-step": "terms of the bound against t, and posterior variances",
    "ablation": "Tables 1 and 2: T, schedule and objective",
    "gradient-noise": "L_vlb with uniform and importance-sampled timesteps, and L_hybrid",
    "likelihood": "Table 3: beside a convolutional autoregressive model and a transformer",
    "steps": "FD against the number of sampling steps",
    "coverage": "Table 4: precision and recall beside a GAN",
    "scaling": "FD and bits/dim against training compute, for four widths",
}
