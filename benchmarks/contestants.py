"""The contestants' work for a measurement, as their users would do it: a forward pass, sampling, training.

Every contestant runs in a process of its own (`python -m benchmarks.contestants NAME`), so that none profits from
another's settings. It reads one task a line from standard input, as JSON, and answers with seconds a call.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.matched import SIZES, Diffusers, Size, ddp, flops, parameters

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
T = 1000
STEPS = 25
"""The steps of the chain that is sampled or scored where the loop around the network is measured."""


class Scored(NamedTuple):
    """A peer's model as its bound needs it: betas `[T]`, what the network predicts, and the network."""

    betas: Tensor
    prediction: str
    predict: Callable[[Tensor, Tensor], Tensor]


class Contestant(ABC):
    """One implementation. Each method prepares a piece of work and returns what does it once."""

    @abstractmethod
    def network(self, size: Size) -> nn.Module:
        """Return the matched network, in evaluation mode."""

    @abstractmethod
    def training(self, size: Size, batch: int) -> Callable[[], object]:
        """Return what does a whole training step on a batch that is in memory."""

    @abstractmethod
    def sampling(self, size: Size, batch: int) -> Callable[[], object]:
        """Return what draws a batch of samples in `STEPS` steps."""

    def forward(self, size: Size, batch: int) -> Callable[[], object]:
        """Return what calls the network alone, as sampling does."""
        network = self.network(size)
        x, t = torch.randn(batch, *size.shape, device=DEVICE), torch.full((batch,), 500, device=DEVICE)
        return torch.no_grad()(lambda: network(x, t))


class Ours(Contestant):
    """iddpm."""

    precision = "float32"

    def _model(self, size: Size, **training: Any) -> Any:
        from iddpm.config import Config, DatasetSpec
        from iddpm.model import Model

        config = Config.model_validate(
            {
                "network": {
                    "channels": size.channels,
                    "channel_multipliers": size.multipliers,
                    "num_res_blocks": size.blocks,
                    "attention_resolutions": size.attention,
                    "num_heads": size.heads,
                    "norm_groups": 32,  # the peers'
                },
                "diffusion": {"num_timesteps": T},
                "training": {"gradient_clip": 1.0, "precision": self.precision, **training},
            }
        )
        spec = DatasetSpec(channels=size.image_channels, size=(size.side, size.side))
        return config, spec, Model.from_config(config, spec)

    def _ready(self, size: Size) -> Any:
        model = self._model(size)[2].to(DEVICE)
        return model.accelerate(calls=10**9, precision=self.precision, tell=_tell)

    def network(self, size: Size) -> nn.Module:
        network: nn.Module = self._ready(size).network
        return network

    def forward(self, size: Size, batch: int) -> Callable[[], object]:
        predict = self._ready(size).predict()
        x, t = torch.randn(batch, *size.shape, device=DEVICE), torch.full((1,), 500, device=DEVICE)
        return torch.no_grad()(lambda: predict(x, t))

    def training(self, size: Size, batch: int) -> Callable[[], object]:
        from iddpm.training.records import Window
        from iddpm.training.trainer import Trainer

        config, spec, _ = self._model(size, batch_size=batch)
        trainer, window = Trainer.from_config(config, spec, device=DEVICE, tell=_tell), Window(T, DEVICE)
        x_0 = torch.rand(batch, *size.shape) * 2 - 1
        return lambda: window.add(trainer.optimize(trainer.draw(x_0)))

    def sampling(self, size: Size, batch: int) -> Callable[[], object]:
        from iddpm.progress import finish
        from iddpm.sampling import SamplerOptions, sample_batches

        model, options = self._ready(size), SamplerOptions(STEPS)
        return lambda: [finish(work) for work in sample_batches(model, batch, options, batch_size=batch)]

    def scoring(self, size: Size, batch: int) -> Callable[[], object]:
        """Return what takes the bound on a batch in `STEPS` steps."""
        from iddpm.diffusion import SeededNoise, bits_per_dim

        model = self._ready(size)
        diffusion, x_0 = model.diffusion.strided(STEPS), (torch.rand(batch, *size.shape) * 2 - 1).to(DEVICE)
        return lambda: bits_per_dim(diffusion, model.predict(), x_0, SeededNoise(range(batch), size.shape, DEVICE))


class OursInBfloat16(Ours):
    """iddpm with --precision bfloat16."""

    precision = "bfloat16"


class DiffusersLibrary(Contestant):
    """diffusers: its U-Net, its DDPM scheduler, and the loop of its unconditional training example."""

    def network(self, size: Size) -> nn.Module:
        return Diffusers(size).eval().to(DEVICE)

    def training(self, size: Size, batch: int) -> Callable[[], object]:
        x_0 = torch.rand(batch, *size.shape) * 2 - 1
        return self.learner(size, lambda: x_0, steps=10_000)[0]

    def learner(
        self, size: Size, data: Callable[[], Tensor], steps: int
    ) -> tuple[Callable[[], None], Callable[[], Scored]]:
        """Return what does a step on a batch of `data` in [-1, 1], and what gives the averaged model so far."""
        from diffusers import DDPMScheduler
        from diffusers.optimization import get_scheduler
        from diffusers.training_utils import EMAModel

        network = Diffusers(size).train().to(DEVICE)
        average = EMAModel(network.parameters(), decay=0.9999, use_ema_warmup=True)
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6)
        rates = get_scheduler("cosine", optimizer, num_warmup_steps=500, num_training_steps=steps)
        scheduler = DDPMScheduler(num_train_timesteps=T)

        def step() -> None:
            x_0 = data().to(DEVICE)
            noise, t = torch.randn_like(x_0), torch.randint(0, T, (len(x_0),), device=DEVICE)
            output = network(scheduler.add_noise(x_0, noise, t), t)[:, : size.image_channels]
            loss = F.mse_loss(output.float(), noise.float())
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            rates.step()
            optimizer.zero_grad()
            average.step(network.parameters())
            loss.item()

        def averaged() -> Scored:
            average.store(network.parameters())
            average.copy_to(network.parameters())
            half = size.image_channels
            return Scored(scheduler.betas, "eps", lambda x, t: network(x, t.expand(len(x)))[:, :half])

        return step, averaged

    def sampling(self, size: Size, batch: int) -> Callable[[], object]:
        from diffusers import DDPMScheduler

        network = Diffusers(size).eval().to(DEVICE)
        scheduler = DDPMScheduler(num_train_timesteps=T, variance_type="learned_range")
        scheduler.set_timesteps(STEPS)

        @torch.no_grad()
        def sample() -> Tensor:
            x = torch.randn(batch, *size.shape, device=DEVICE)
            for t in scheduler.timesteps:
                x = scheduler.step(network(x, t), t, x).prev_sample
            return x

        return sample


class DenoisingDiffusionPytorch(Contestant):
    """denoising-diffusion-pytorch: its U-Net, its diffusion, its trainer's step."""

    def network(self, size: Size) -> nn.Module:
        return ddp(size).eval().to(DEVICE)

    def _diffusion(self, size: Size) -> nn.Module:
        network = ddp(size, learned_variance=False)
        from denoising_diffusion_pytorch import GaussianDiffusion

        diffusion: nn.Module = GaussianDiffusion(network, image_size=size.side, timesteps=T, sampling_timesteps=STEPS)
        return diffusion

    def training(self, size: Size, batch: int) -> Callable[[], object]:
        x_0 = torch.rand(batch, *size.shape) * 2 - 1
        return self.learner(size, lambda: x_0, steps=0)[0]

    def learner(
        self, size: Size, data: Callable[[], Tensor], steps: int
    ) -> tuple[Callable[[], None], Callable[[], Scored]]:
        """Return the same two as for diffusers."""
        from ema_pytorch import EMA

        diffusion = self._diffusion(size).train().to(DEVICE)
        average = EMA(diffusion, beta=0.995, update_every=10)
        optimizer = torch.optim.Adam(diffusion.parameters(), lr=1e-4, betas=(0.9, 0.99))

        def step() -> None:
            loss = diffusion((data().to(DEVICE) + 1) / 2)
            loss.backward()
            nn.utils.clip_grad_norm_(diffusion.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            average.update()
            loss.item()

        def averaged() -> Scored:
            best = average.ema_model
            return Scored(best.betas, "v", lambda x, t: best.model(x, t.expand(len(x))))

        return step, averaged

    def sampling(self, size: Size, batch: int) -> Callable[[], object]:
        diffusion = self._diffusion(size).eval().to(DEVICE)
        return torch.no_grad()(lambda: diffusion.sample(batch_size=batch))  # type: ignore[operator]


CONTESTANTS: dict[str, type[Contestant]] = {
    "iddpm": Ours,
    "diffusers": DiffusersLibrary,
    "denoising-diffusion-pytorch": DenoisingDiffusionPytorch,
    "iddpm, bfloat16": OursInBfloat16,
}


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def wait() -> None:
    """Wait until the device has done what it was given."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def peak_bytes() -> int:
    """Return the most memory so far: the GPU's, or the process's."""
    if DEVICE.type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def serve(contestant: Contestant) -> None:
    """Answer tasks until standard input ends."""
    ready: tuple[Any, Callable[[], object]] | None = None
    for line in sys.stdin:
        task = json.loads(line)
        size, batch, work = SIZES[task["size"]], task["batch"], task["work"]
        if work == "facts":
            network = contestant.network(size)
            answer: dict[str, float] = {"parameters": parameters(network), "flops": flops(network, size)}
        else:
            key = (size.name, batch, work)
            if ready is None or ready[0] != key:
                ready = None  # free the last one first
                torch.manual_seed(0)
                ready = key, getattr(contestant, work)(size, batch)
                ready[1]()
            wait()
            begun = time.perf_counter()
            calls = 0
            while calls == 0 or time.perf_counter() - begun < task["seconds"]:
                ready[1]()
                calls += 1
                wait()
            answer = {"seconds": (time.perf_counter() - begun) / calls, "peak_bytes": peak_bytes()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(CONTESTANTS[sys.argv[1]]())
