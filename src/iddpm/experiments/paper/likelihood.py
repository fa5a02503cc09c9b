"""Table 3: bits/dim beside autoregressive models that are trained on the same data with the same compute."""

from __future__ import annotations

from matplotlib.figure import Figure

from iddpm.experiments.diffusion_run import DiffusionRun
from iddpm.experiments.experiment import Cell, Experiment, Measured, Outcome, Table, over_seeds
from iddpm.experiments.figures import BLUE, ORANGE, panels, tidy
from iddpm.experiments.measures import Bits
from iddpm.experiments.rivals.autoregressive_run import AutoregressiveRun, ExactBits, Settings
from iddpm.experiments.scales import Scale, varied
from iddpm.experiments.verdicts import lower, mean_and_error, mean_text

PUBLISHED = {
    "Glow": (3.81, 3.35),
    "Flow++": (3.69, 3.08),
    "PixelCNN": (3.57, 3.14),
    "NVAE": (None, 2.91),
    "Very deep VAE": (3.52, 2.87),
    "PixelSNAIL": (3.52, 2.85),
    "Image Transformer": (3.48, 2.90),
    "Sparse Transformer": (3.44, 2.80),
    "Routing Transformer": (3.43, None),
    "DDPM": (None, 3.70),
    "DDPM, continuous flow": (None, 2.99),
    "Improved DDPM": (3.53, 2.94),
}
"""Bits/dim on ImageNet 64x64 and CIFAR-10, as the paper prints them."""
SIZES = {
    "tiny": {
        "PixelCNN": Settings(48, 5, 4e-3, batch_size=16),
        "transformer": Settings(48, 3, 4e-3, batch_size=8),
    },
    "small": {
        "PixelCNN": Settings(126, 12, 4e-4, 500, 0.9995),
        "transformer": Settings(256, 8, 6e-4, 500, 0.9995),
    },
    "paper": {
        "PixelCNN": Settings(192, 15, 3e-4, 2000, 0.9998),
        "transformer": Settings(512, 16, 3e-4, 2000, 0.9998),
    },
}
"""Rivals by scale and name."""
LONGER = 4
"""Times as many steps for the diffusion model as in other experiments: likelihoods take long to learn."""


class Likelihood(Experiment):
    """L_vlb and L_hybrid beside a PixelCNN and a transformer."""

    title = "Likelihoods"
    paper = "Table 3"

    def cells(self, scale: Scale, seeds: int) -> list[Cell]:
        return [
            Cell(
                {"model": name, "seed": seed},
                model,
                (
                    Bits("bits", scale.items, scale.error)
                    if isinstance(model, DiffusionRun)
                    else ExactBits("bits", scale.items),
                ),
            )
            for seed in range(seeds)
            for name, model in _models(scale, seed).items()
        ]

    def conclude(self, scale: Scale, measured: list[Measured]) -> Outcome:
        models = _models(scale, 0)
        bits = {name: over_seeds(measured, "bits", "bits", model=name) for name in models}
        # As the paper's table has it: better than the PixelCNN, not as good as transformers.
        ours = [name for name, model in models.items() if isinstance(model, DiffusionRun)]
        pairs = [(name, "PixelCNN") for name in ours] + [("transformer", name) for name in ours]
        findings = [lower(f"{better} below {worse}", bits[better], bits[worse]) for better, worse in pairs]
        rows = [
            [name, mean_text(bits[name]), f"{model.flops() / 1e12:.2f}", f"{model.parameters():,}"]
            for name, model in models.items()
        ]
        here = Table("Bits/dim here", ["model", "bits/dim", "training, TFLOP", "parameters"], rows)
        theirs = [
            [name, *("" if value is None else f"{value:.2f}" for value in values)] for name, values in PUBLISHED.items()
        ]
        published = Table("Published bits/dim", ["model", "ImageNet 64x64", "CIFAR-10"], theirs)
        items = measured[0].results["bits"]["items"]
        notes = [
            "Autoregressive likelihoods are exact; diffusion's are the bound on the whole chain, estimated to within"
            f" {scale.error:g}. All were trained on the same items with as many FLOPs (counted), and scored on the same"
            f" {items:,} held-out items, with averaged weights.",
            "Rivals' distributions are mixtures of logistic ones (PixelCNN++), whose bins are the grey levels; their"
            " learning rates and batches were chosen from a few by bits/dim of one seed, diffusion's were not.",
        ]
        return Outcome([here, published], findings, _figure(bits), notes)


def _models(scale: Scale, seed: int) -> dict[str, DiffusionRun | AutoregressiveRun]:
    """Return all models of a seed by name, diffusion models first."""
    steps = LONGER * scale.base.training.steps
    hybrid = DiffusionRun(varied(scale.base, objective="L_hybrid", steps=steps, seed=seed))
    vlb = DiffusionRun(varied(scale.base, objective="L_vlb", timesteps=scale.vlb_timesteps, steps=steps, seed=seed))
    rivals = {
        kind: AutoregressiveRun.with_budget(hybrid, kind, settings) for kind, settings in SIZES[scale.name].items()
    }
    return {"diffusion, L_hybrid": hybrid, "diffusion, L_vlb": vlb, **rivals}


def _figure(bits: dict[str, list[float]]) -> Figure:
    figure, (axes,) = panels(1, 6, 3.2)
    for place, (name, values) in enumerate(bits.items()):
        mean, error = mean_and_error(values)
        colour = BLUE if name.startswith("diffusion") else ORANGE
        axes.errorbar([mean], [place], xerr=[error], color=colour, marker="o")
        axes.plot(values, [place] * len(values), ".", color=colour, alpha=0.4)
    axes.set_yticks(range(len(bits)), list(bits))
    axes.set(xlabel="bits/dim, held out")
    axes.invert_yaxis()
    tidy(axes)
    return figure
