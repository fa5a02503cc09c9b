"""The flags of every command that draws samples from a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from iddpm.cli.arguments import check_least
from iddpm.cli.chains import StrideName, VarianceName, chosen_clip, chosen_steps, chosen_variance
from iddpm.cli.models import load_for_use
from iddpm.names import Compile, Precision

if TYPE_CHECKING:
    from iddpm.model import Model
    from iddpm.sampling import SamplerOptions


@dataclass(frozen=True, kw_only=True)
class DrawingArguments:
    """How samples are drawn, and on what."""

    steps: str | None = None
    """Steps of the chain: "50", sections "10,15,20", "ddim50" or "quadratic50". None takes all."""
    stride: StrideName | None = None
    """Which of them. None takes iddpm plan's for ancestral sampling, if there is a plan, and else uniform ones."""
    sampler: Literal["ancestral", "ddim", "dpm++", "dpm++sde", "unipc"] = "ancestral"
    """How the chain is walked. All but ancestral and dpm++sde draw no noise on the way (ddim with its --eta does)."""
    eta: float = 0.0
    """Noise of the ddim sampler: 0 is deterministic, 1 is as much as ancestral sampling's."""
    variance: VarianceName = "model"
    """Of the ancestral sampler's steps: the model's own, a fixed one, what iddpm plan found, or the Jacobian's."""
    clip: bool = True
    """Bound predictions of x_0 to the range of the data at every step."""
    threshold: float | None = None
    """Bound them by dynamic thresholding at this quantile (0.995 is usual). None cuts at the range of the data."""
    seed: int = 0
    """Image i depends on the seed and on i alone."""
    weights: str | None = None
    """raw, ema, or the rate of an average. None takes the first average."""
    preset: str | None = None
    """What the model is, for released files that do not say so."""
    batch_size: int = 64
    """Images worked on at once."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    precision: Precision = "auto"
    """What the network computes in: float32 rounds nothing, auto is tf32 on a GPU and float32 elsewhere."""
    compile: Compile = "auto"
    """Use torch's compiler: auto does on a GPU, for work that is long enough to pay for it."""

    def check(self) -> None:
        """UserError for numbers that make no sense."""
        check_least(self, batch_size=1, seed=0)

    def load(self, model: str) -> Model:
        """The model at that path."""
        return load_for_use(model, self.weights, self.preset, self.device)

    def options(self, model: Model, path: str) -> SamplerOptions:
        """How the chain of the model at `path` is walked."""
        from iddpm.sampling import SamplerOptions, check_reading

        clip = chosen_clip(self.clip, self.threshold)
        is_bound = self.sampler == "ancestral"
        # What is wrong with these comes before a plan is looked for.
        SamplerOptions(sampler=self.sampler, eta=self.eta or None)
        if self.variance != "model":
            check_reading(self.sampler, self.variance)
        variance = chosen_variance(model, path, self.variance, clip=clip, seed=self.seed)
        steps = chosen_steps(
            model,
            path,
            self.steps,
            self.stride,
            clip=clip,
            variance=self.variance,
            is_bound=is_bound,
            from_noise=True,
        )
        return SamplerOptions(steps, self.sampler, self.eta or None, clip, variance)
