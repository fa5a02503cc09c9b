"""The authors' numbers: tables, single steps, whole chains, densities and the importance sampler."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from iddpm.diffusion import (
    DDIM,
    VLB,
    Ancestral,
    Diffusion,
    Discretized,
    Gaussian,
    Hybrid,
    LossSecondMoment,
    Parameterization,
    Simple,
    bits_per_dim,
    cosine_schedule,
    ddim_encode,
    diffuse,
    kept_timesteps,
    linear_schedule,
    posterior,
    reverse_step,
    strided,
    walk,
)
from iddpm.diffusion.likelihood import term_bits
from iddpm.errors import UserError
from iddpm.networks.embedding import sinusoidal_embedding
from tests import golden

INDEX = golden.facts("index.json")
THEIR_PREDICTIONS = {"eps": "eps", "x_start": "x_0", "x_prev": "x_prev"}


def close(actual: Tensor, expected: Tensor, *, logarithmic: bool = False) -> None:
    """Float32 quantities to 1e-5 of their size; 1e-4 where the log of a tiny probability is taken."""
    tolerance = 1e-4 if logarithmic else 1e-5
    torch.testing.assert_close(actual.expand_as(expected), expected, rtol=tolerance, atol=1e-5)


@pytest.mark.parametrize("key", golden.tensors("schedules.safetensors"))
def test_schedule(key: str) -> None:
    case, table = key.split(".")
    name, num_timesteps = case.split("_")
    schedule = {"linear": linear_schedule, "cosine": cosine_schedule}[name](int(num_timesteps))
    actual = schedule.betas if table == "betas" else schedule.alpha_bar
    torch.testing.assert_close(actual, golden.tensors("schedules.safetensors")[key], rtol=0, atol=1e-12)


@pytest.mark.parametrize("case", golden.facts("respacing.json")["valid"], ids=lambda case: case["spec"])
def test_stride(case: dict[str, object]) -> None:
    assert kept_timesteps(case["num_timesteps"], case["spec"]) == case["timesteps"]
    if "cosine_betas" in case:
        chain = strided(cosine_schedule(case["num_timesteps"]), case["spec"])
        expected = torch.tensor(case["cosine_betas"], dtype=torch.float64)
        torch.testing.assert_close(chain.betas, expected, rtol=0, atol=1e-12)
        assert chain.timesteps.tolist() == case["timesteps"]


@pytest.mark.parametrize("case", golden.facts("respacing.json")["invalid"], ids=lambda case: case["spec"])
def test_refused_stride(case: dict[str, object]) -> None:
    with pytest.raises(UserError):
        kept_timesteps(case["num_timesteps"], case["spec"])


@pytest.mark.parametrize("case", INDEX["steps"], ids=lambda case: case["key"])
def test_step(case: dict[str, object]) -> None:
    prefix = case["key"] + "."
    known = {k.removeprefix(prefix): v for k, v in golden.tensors("steps.safetensors").items() if k.startswith(prefix)}
    parameterization = Parameterization.named(THEIR_PREDICTIONS[case["mean"]], case["variance"])
    diffusion = Diffusion(golden.schedule_of(case), parameterization)
    t = torch.tensor(case["t"])
    x_0, noise, output = known["x_start"], known["noise"], known["model_output"]
    step = diffusion.schedule.at(t, x_0)

    x_t = diffuse(step, x_0, noise)
    close(x_t, known["x_t"])
    truth = posterior(step, x_0, known["x_t"])
    close(truth.mean, known["q_posterior.mean"])
    close(truth.log_variance, known["q_posterior.log_variance"])
    for clip, name in ((True, "clipped"), (False, "unclipped")):
        reverse = reverse_step(step, parameterization, output, known["x_t"], clip=clip)
        close(reverse.x_0, known[f"p.{name}.pred_xstart"])
        close(reverse.distribution.mean, known[f"p.{name}.mean"])
        close(reverse.distribution.log_variance, known[f"p.{name}.log_variance"])
        bits = term_bits(step, reverse, x_0, known["x_t"], decoder=Discretized(256))
        if case["mean"] == "eps":
            close(bits, known[f"vlb_bits.{name}"], logarithmic=True)

    num_steps = len(diffusion.schedule)
    if case["mean"] == "eps":
        vlb = VLB()(diffusion, output, x_0, known["x_t"], t, noise)
        close(vlb.total, known["loss.rescaled_kl.loss"], logarithmic=True)
        close(vlb.total / num_steps, known["loss.kl.loss"], logarithmic=True)
    if not parameterization.variance.is_learned:
        close(Simple()(diffusion, output, x_0, known["x_t"], t, noise).total, known["loss.mse.loss"])
        return
    for name, weight in (("rescaled_mse", 1e-3), ("mse", 1 / num_steps)):
        losses = Hybrid(weight)(diffusion, output, x_0, known["x_t"], t, noise)
        close(losses.simple, known[f"loss.{name}.mse"])
        close(losses.vlb * weight, known[f"loss.{name}.vb"], logarithmic=True)
        close(losses.total, known[f"loss.{name}.loss"], logarithmic=True)


class NoiseRows:
    """Row i of a table at the i-th call."""

    def __init__(self, rows: Tensor) -> None:
        self._rows = iter(rows)

    def __call__(self) -> Tensor:
        return next(self._rows)


@pytest.mark.parametrize("case", INDEX["loops"], ids=lambda case: case["key"])
def test_chain(case: dict[str, object]) -> None:
    prefix = case["key"] + "."
    known = {k.removeprefix(prefix): v for k, v in golden.tensors("loops.safetensors").items() if k.startswith(prefix)}
    diffusion = Diffusion(golden.schedule_of(case), Parameterization.named("eps", "learned_range"))
    scale = 1000 / case["num_timesteps"] if case["rescale_timesteps"] else 1.0

    def predict(x: Tensor, t: Tensor) -> Tensor:
        seen = (t.float() * scale)[:, None, None, None]
        return torch.cat([0.9 * x + 0.1 * torch.sin(seen / 100), torch.tanh(x - 0.5) * torch.cos(seen / 300)], dim=1)

    x_T, x_0 = known["x_T"], known["x_start"]
    *_, last = walk(diffusion, predict, Ancestral(), x_T, NoiseRows(known["ancestral.noise"]))
    close(last.x, known["ancestral.sample"])
    for eta in (0.0, 1.0):
        *_, last = walk(diffusion, predict, DDIM(eta), x_T, NoiseRows(known[f"ddim_eta{eta:.0f}.noise"]))
        expected = known[f"ddim_eta{eta:.0f}.sample"]
        if expected.isnan().all():  # theirs takes the root of a variance that rounds to just below zero
            assert last.x.isfinite().all()
        else:
            close(last.x, expected)
    *_, last = ddim_encode(diffusion, predict, x_0)
    close(last.x, known["ddim_encode"])

    bound = bits_per_dim(diffusion, predict, x_0, NoiseRows(known["nll.noise"]))
    close(bound.total, known["nll.total_bpd"], logarithmic=True)
    close(bound.prior, known["nll.prior_bpd"])
    close(bound.terms.flip(1), known["nll.vb"], logarithmic=True)


def test_densities() -> None:
    known = golden.tensors("densities.safetensors")
    kl = Gaussian(known["kl.mean1"], known["kl.logvar1"]).kl(Gaussian(known["kl.mean2"], known["kl.logvar2"]))
    close(kl, known["kl.nats"])
    model = Gaussian(known["dgll.means"], 2 * known["dgll.log_scales"])
    close(model.discretized_log_likelihood(known["dgll.x"], 256), known["dgll.nats"], logarithmic=True)
    for size in (64, 129):
        embedding = sinusoidal_embedding(known[f"timestep_embedding.{size}.t"], size)
        # A float32 frequency is known to 1e-7 of itself, and an angle is up to 4000 of it: machines differ by that.
        torch.testing.assert_close(embedding, known[f"timestep_embedding.{size}.out"], rtol=0, atol=4000 * 1.2e-7)


def test_importance_sampler() -> None:
    sampler = LossSecondMoment(num_timesteps=8, history_per_term=10, uniform_share=0.001)
    for update in golden.facts("importance_sampler.json"):
        sampler.update(torch.tensor(update["t"]), torch.tensor(update["loss"], dtype=torch.float64))
        assert sampler.warmed_up == update["warmed_up"]
        expected = torch.tensor(update["weights"], dtype=torch.float64)
        torch.testing.assert_close(sampler.weights(), expected, rtol=1e-12, atol=1e-12)
