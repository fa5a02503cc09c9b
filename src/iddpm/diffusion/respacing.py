"""A schedule on a subset of its timesteps, remembering the original ones (Section 4)."""

from __future__ import annotations

import torch

from iddpm.diffusion.schedule import NoiseSchedule
from iddpm.errors import UserError
from iddpm.names import STRIDES

Stride = str | int | tuple[int, ...]
"""A choice of timesteps to keep: see `kept_timesteps`."""


def strided(schedule: NoiseSchedule, stride: Stride) -> NoiseSchedule:
    """Return the chain on the timesteps that `stride` keeps (see `kept_timesteps`), with betas of its own (Eq. 19).

    Its alpha_bar is the original's at the kept timesteps; its betas, and so its beta-tilde, follow from that.
    UserError where the stride asks for what the schedule does not have.
    """
    return restricted(schedule, kept_timesteps(len(schedule), stride))


def restricted(schedule: NoiseSchedule, positions: list[int]) -> NoiseSchedule:
    """Return the chain on the given increasing positions of `schedule`."""
    if not positions or sorted(set(positions)) != positions or not 0 <= positions[0] <= positions[-1] < len(schedule):
        raise UserError(
            f"must be increasing positions in 0 ... {len(schedule) - 1}", field="timesteps", value=positions
        )
    kept = torch.tensor(positions)
    if len(kept) == len(schedule):
        return schedule
    alpha_bar = schedule.alpha_bar[kept]
    previous = torch.cat([torch.ones(1, dtype=torch.float64), alpha_bar[:-1]])
    return NoiseSchedule(1.0 - alpha_bar / previous, schedule.timesteps[kept], schedule.num_train_timesteps)


def kept_timesteps(num_timesteps: int, stride: Stride) -> list[int]:
    """Return the timesteps that a stride keeps out of 0 ... num_timesteps - 1, increasing.

    "250":         250 timesteps, evenly spaced from the first to the last (the paper's).
    "10,15,20":    equal sections of the chain, with 10, 15 and 20 evenly spaced timesteps.
    "ddim50":      every n-th timestep from 0 on, for the whole n that gives exactly 50 (Song et al.'s).
    "quadratic50": 50 timesteps whose roots are evenly spaced, from the first to the last: closer at the data's end.
    "1":           the last timestep alone: sampling starts from noise, so that is the one step that makes sense.
    (0, 3, 9):     these.
    """
    if isinstance(stride, tuple):
        return list(stride)
    text = str(stride).strip()
    prefixes = {named_stride(name): name for name in STRIDES}
    prefix = next((prefix for prefix in prefixes if prefix and text.startswith(prefix)), "")
    digits = text.removeprefix(prefix)
    counts = [int(part) for part in digits.split(",") if part.strip().isdecimal()]
    if len(counts) != digits.count(",") + 1 or min(counts) < 1 or (prefix and len(counts) != 1):
        raise UserError(
            f'"{text}" is no stride',
            field="steps",
            way='use a number ("50"), sections ("10,15,20"), "ddim50" or "quadratic50"',
        )
    if len(counts) > 1:
        return _sections(num_timesteps, counts)
    kept: list[int] = STRIDES[prefixes[prefix]](num_timesteps, counts[0])
    return kept


def named_stride(name: str, count: int | str = "") -> str:
    """Return the text of `count` steps by a stride of `names.STRIDES` ("ddim50"), which begins with its prefix."""
    return f"{STRIDES.fact(name, 'prefix', name)}{count}"


def evenly_spaced(num_timesteps: int, count: int) -> list[int]:
    """Keep `count` timesteps, evenly spaced from the first to the last; the last alone for 1."""
    return [num_timesteps - 1] if count == 1 else _sections(num_timesteps, [count])


def every_nth(num_timesteps: int, count: int) -> list[int]:
    """Keep every n-th timestep from 0 on, for the n that gives exactly `count`. UserError where there is none."""
    for step in range(1, num_timesteps + 1):
        kept = range(0, num_timesteps, step)
        if len(kept) == count and (count > 1 or num_timesteps == 1):
            return list(kept)
    lengths = sorted({len(range(0, num_timesteps, step)) for step in range(1, num_timesteps + 1)})
    near = sorted(sorted(lengths, key=lambda length: abs(length - count))[:2])
    raise UserError(
        f"no whole stride keeps {count} of {num_timesteps} timesteps (ddim{count}), but {near[0]} or {near[-1]}",
        field="steps",
        way=f'use evenly spaced steps ("{count}")',
    )


def quadratic(num_timesteps: int, count: int) -> list[int]:
    """Keep `count` timesteps whose roots are evenly spaced, from the first to the last."""
    if count > num_timesteps:
        raise UserError(
            f"{count} is more than the chain's {num_timesteps} timesteps", field="steps", way="ask for fewer"
        )
    if count == 1:
        return [num_timesteps - 1]
    kept: list[int] = []
    for i in range(count):  # near 0 the squares round to the same timestep, and the next free one is taken
        wanted = round((num_timesteps - 1) * (i / (count - 1)) ** 2)
        kept.append(max(wanted, kept[-1] + 1 if kept else 0))
    return kept


def _sections(num_timesteps: int, counts: list[int]) -> list[int]:
    size, longer = divmod(num_timesteps, len(counts))
    kept: list[int] = []
    start = 0
    for i, count in enumerate(counts):
        length = size + (1 if i < longer else 0)
        if count > length:
            where = f"the chain's {num_timesteps}" if len(counts) == 1 else f"section {i + 1}'s {length}"
            raise UserError(f"{count} is more than {where} timesteps", field="steps", way=f"ask for at most {length}")
        # Python's rounding of a running sum, as in the authors' code: other roundings keep other timesteps.
        spacing = (length - 1) / (count - 1) if count > 1 else 1.0
        position = 0.0
        for _ in range(count):
            kept.append(start + round(position))
            position += spacing
        start += length
    return kept
