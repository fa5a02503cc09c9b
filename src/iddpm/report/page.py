"""The page itself: one HTML document."""

from __future__ import annotations

import base64
import html
import io
import json
import math
import platform
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from PIL import Image

import iddpm
from iddpm.checkpoints.run import RunDirectory
from iddpm.evaluation.results import rounded, title_of
from iddpm.files import replacing
from iddpm.model import Model
from iddpm.pictures import grid
from iddpm.report import figures
from iddpm.report.facts import Facts

MOST_PAIRS = 64
"""Samples that are shown beside their neighbours."""

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
table { border-collapse: collapse; margin: .8rem 0 } th, td { padding: .25rem .9rem .25rem 0; text-align: left }
th { font-weight: 600; border-bottom: 1px solid #bbb }
td.number { font-variant-numeric: tabular-nums }
tr.ours td { font-weight: 600 } img { max-width: 100%; image-rendering: pixelated }
svg { max-width: 100%; height: auto }
figure { margin: 1rem 0 } figcaption, .note { color: #666; font-size: .9rem }
pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; font-size: .85rem } summary { cursor: pointer }
"""


def page(run: RunDirectory, model: Model, facts: Facts, records: list[dict[str, Any]]) -> str:
    """Return the report of a run, as one HTML document that needs nothing else."""
    name = html.escape(run.path.name)
    sections = [
        f"<h1>{name}</h1><p class=note>{html.escape(_subtitle(model))}</p>",
        _bits_table(facts.values),
        _samples(model, facts),
        _quality(facts.values.get("quality")),
        f"<h2>Training</h2><figure>{figures.losses(records)}</figure>" if records else "",
        _terms(facts.values),
        _grids(run),
        _what_was_run(run, model, records),
    ]
    body = "\n".join(section for section in sections if section)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>{body}</body></html>\n'
    )


def _subtitle(model: Model) -> str:
    config = model.config
    parameters = sum(parameter.numel() for parameter in model.network.parameters())
    weight = f" with lambda {config.objective.vlb_weight:g}" if config.objective.kind == "hybrid" else ""
    return (
        f"{config.data.source}, {'x'.join(map(str, model.spec.shape))} in {model.spec.levels} levels;"
        f" {parameters:,} parameters; {config.diffusion.schedule} schedule of {config.diffusion.num_timesteps} steps;"
        f" L_{config.objective.kind}{weight}; step {model.step:,} of {config.training.steps:,}, {model.weights} weights"
    )


def _bits(bits: dict[str, float]) -> str:
    return f"<td class=number>{bits['mean']:.3f} &plusmn; {bits['error']:.3f}</td>"


def _bits_table(values: dict[str, Any]) -> str:
    if "scores" not in values:
        return "<h2>Bits/dim</h2><p>No data was held out, so there is nothing to score.</p>"
    rows = []
    for i, score in enumerate(values["scores"]):
        parts = "".join(_bits(score[part]) for part in ("total", "prior", "kl", "decoder"))
        chain = f"this model, {len(score['terms'])} steps" + (" (whole chain)" if i == 0 else "")
        rows.append(f"<tr{' class=ours' if i == 0 else ''}><td>{chain}</td>{parts}</tr>")
    rows += [f"<tr><td>{html.escape(bits['name'])}</td>{_bits(bits)}</tr>" for bits in values.get("baselines", [])]
    count = values["scores"][0]["count"]
    return (
        "<h2>Bits/dim on held-out data</h2><table><tr><th></th><th>bits/dim</th><th>prior</th><th>KL terms</th>"
        f"<th>decoder</th></tr>{''.join(rows)}</table><p class=note>{count} items, each counted once, with the standard"
        " error over items. The model's figures are an upper bound on its negative log likelihood; the baselines count"
        " grey levels in the same training data, at each place and given the pixels before it.</p>"
    )


def _samples(model: Model, facts: Facts) -> str:
    together = _embedded(grid(facts.samples, model.spec, columns=_columns(len(facts.samples))), width=40)
    between = np.full_like(facts.samples[..., :1], model.spec.levels // 3)
    pairs = np.concatenate([facts.samples, between, facts.neighbours], axis=-1)[:MOST_PAIRS]
    distance = facts.values["distance"]
    held_out = (
        f" Held-out items are at {distance['held_out']:.2f} from theirs: a model that copied would be far below that."
        if "held_out" in distance
        else ""
    )
    return (
        f"<h2>Samples</h2><figure>{together}<figcaption>{len(facts.samples)} samples, not chosen, smoothly enlarged,"
        f" from the whole chain,"
        f" seed {facts.values['of']['seed']}.</figcaption></figure>"
        f"<figure>{_embedded(grid(pairs, model.spec, columns=8), width=60)}<figcaption>Each sample (left) beside the"
        f" training item that is nearest to it (right). The median distance is {distance['samples']:.2f} grey levels a"
        f" pixel.{held_out}</figcaption></figure>"
    )


QUALITY = ("frechet", "precision", "recall", "coverage", "authenticity")
"""The scores that are shown."""


def _quality(quality: dict[str, Any] | None) -> str:
    if quality is None:
        return ""
    rows = []
    for name, label in (("samples", "samples"), ("held_out", "held-out items: what real data gets")):
        if quality[name] is not None:
            count = quality[name]["samples"]["images"]["count"]
            cells = "".join(_score(quality[name]["scores"][score]) for score in QUALITY)
            rows.append(f"<tr{' class=ours' if name == 'samples' else ''}><td>{count} {label}</td>{cells}</tr>")
    reference = quality["samples"]["reference"]
    accuracy = reference["features"]["accuracy"]
    head = "".join(f"<th>{title_of(score, reference['features']['name'])}</th>" for score in QUALITY)
    return (
        f"<h2>How good the samples are</h2><table><tr><th></th>{head}</tr>{''.join(rows)}</table><p class=note>Against"
        f" {reference['images']['count']} training items, in the features of a classifier of this data's classes (right"
        f" for {accuracy:.1%} of the items that it was not trained on), with standard errors. FD is the Frechet"
        " distance: 0 for the same distribution, larger for fewer items. Precision: the share that looks like training"
        " items; recall and coverage: the share of training items that something here looks like. Authenticity: the"
        " share that is farther from its nearest training item than that one is from its own; copies have 0.</p>"
    )


def _score(score: dict[str, float]) -> str:
    return f"<td class=number>{' &plusmn; '.join(rounded(score['value'], score['error']))}</td>"


def _columns(count: int) -> int:
    return min(count, max(8, math.isqrt(count)))


def _terms(values: dict[str, Any]) -> str:
    if "scores" not in values:
        return ""
    curve = f"<figure>{figures.steps_curve(values['scores'])}</figure>" if len(values["scores"]) > 1 else ""
    return f"<h2>Bits/dim by term</h2><figure>{figures.terms(values['scores'][0])}</figure>{curve}"


def _grids(run: RunDirectory) -> str:
    newest = sorted(run.samples.glob("step-*.png"))
    last = [path for path in newest if path.name[:13] == newest[-1].name[:13]]
    pictures = []
    for path in sorted(last, reverse=True):
        with Image.open(path) as image:
            label = path.stem.split("-", 2)[2].replace("-", " ")
            pictures.append(
                f"<figure style='display:inline-block;width:45%;margin-right:2%'>{_embedded(image)}"
                f"<figcaption>{html.escape(label)} weights</figcaption></figure>"
            )
    if not pictures:
        return ""
    return (
        f"<h2>Raw and averaged weights</h2><p class=note>The same noise, {newest[-1].name[:13]}.</p>{''.join(pictures)}"
    )


def _what_was_run(run: RunDirectory, model: Model, records: list[dict[str, Any]]) -> str:
    paces = [record["images_per_second"] for record in records if "images_per_second" in record]
    facts = {
        "training": f"iddpm train {run.path}",
        "this page": f"iddpm report {run.path}",
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "versions": f"iddpm {iddpm.__version__}, torch {torch.__version__}, Python {platform.python_version()}",
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, {model.device}",
        "training pace": f"{float(np.median(paces)):.0f} images/s (median)" if paces else "unknown",
    }
    rows = "".join(f"<tr><td>{key}</td><td>{html.escape(value)}</td></tr>" for key, value in facts.items())
    config = html.escape(json.dumps(model.config.to_json(), indent=2))
    return (
        f"<h2>What was run</h2><table>{rows}</table><details><summary>configuration</summary><pre>{config}</pre>"
        "</details>"
    )


def _embedded(image: Image.Image, width: int | None = None) -> str:
    """Return an <img>, `width` rem wide or of its own size."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    style = "" if width is None else f' style="width:{width}rem"'
    return f'<img alt="samples"{style} src="data:image/png;base64,{data}">'


def write_page(run: RunDirectory, text: str) -> None:
    """Write the run's report.html, whole or not at all."""
    with replacing(run.report) as beside:
        beside.write_text(text)
