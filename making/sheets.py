"""Make the sheet finder: the network that says which part of an image is paper, and which the desk it lies on.

    python making/sheets.py draw train 30000 sheets/
    python making/sheets.py draw validation 1500 sheets/
    python making/sheets.py train sheets/ sheets.pt --minutes 23
    python making/sheets.py export sheets.pt src/digitlab/reading/bundled/sheets.onnx

What it learns from is drawn by `desks.py`. What ships began with five minutes on an earlier version of that drawing, whose
shadows were all soft, and went on with 18 on this one (`--start`).
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from desks import KEPT, SIZE, scene
from half import halve
from torch import nn

SHARD = 500


def draw(part: str, number: int, out: Path, seed: int) -> None:
    """Write shards of `images` (n, 128, 128, 3) and `masks` (n, 128, 128) uint8, and `shapes` (n, 2)."""
    out.mkdir(parents=True, exist_ok=True)
    tasks = [(part, i, out, seed) for i in range(number // SHARD)]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        for name in pool.map(_shard, tasks):
            print(name, flush=True)


def _shard(task: tuple[str, int, Path, int]) -> str:
    part, number, out, seed = task
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, ["train", "validation"].index(part), number])
    side = round(KEPT * SIZE)
    images, masks = np.zeros((SHARD, side, side, 3), np.uint8), np.zeros((SHARD, side, side), np.uint8)
    shapes = np.zeros((SHARD, 2), np.int16)
    for i in range(SHARD):
        image, mask = scene(rng)
        shapes[i] = mask.shape
        images[i, : mask.shape[0], : mask.shape[1]], masks[i, : mask.shape[0], : mask.shape[1]] = image, mask
    file = out / f"{part}-{number:04d}.npz"
    np.savez(file, images=images, masks=masks, shapes=shapes)
    return file.name


class Finder(nn.Module):
    """(n, 3, h, w) float32 of 0 to 255, h and w multiples of 16, to (n, 1, h / 2, w / 2), how surely each is sheet."""

    def __init__(self) -> None:
        """Build it."""
        super().__init__()

        def step(inside: int, out: int, stride: int = 1) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(inside, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)
            )

        self.one = nn.Sequential(
            nn.Conv2d(3, 16, 5, 4, 2, bias=False), nn.BatchNorm2d(16), nn.ReLU(inplace=True), step(16, 16)
        )
        self.two = nn.Sequential(step(16, 26, 2), step(26, 26))
        self.three = nn.Sequential(step(26, 34, 2), step(34, 34))
        self.all = nn.Sequential(nn.Linear(34, 34), nn.ReLU(), nn.Linear(34, 34))
        self.four = step(34, 34)
        self.up = nn.ModuleList([step(34 + 26, 24), step(24 + 16, 16)])
        self.out = nn.Sequential(nn.Conv2d(16, 4, 3, 1, 1), nn.PixelShuffle(2))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Say which is sheet."""
        one = self.one(pixels / 64 - 2)
        two = self.two(one)
        x = self.three(two)
        x = self.four(x + self.all(x.mean((2, 3)))[:, :, None, None])
        for layer, before in zip(self.up, (two, one), strict=True):
            x = layer(torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), before], 1))
        return torch.as_tensor(self.out(x))


def train(folder: Path, out: Path, minutes: float, batch: int, seed: int, start: Path | None, rate: float) -> None:
    """Train for so many minutes of processor time; the rate falls with them."""
    torch.manual_seed(seed)
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0))))
    rng = np.random.default_rng(seed)
    shards = [np.load(file) for file in sorted(folder.glob("train-*.npz"))]
    images, masks, shapes = (np.concatenate([s[name] for s in shards]) for name in ("images", "masks", "shapes"))
    of_shape = [np.flatnonzero((shapes == shape).all(1)) for shape in np.unique(shapes, axis=0)]
    share = np.array([len(rows) for rows in of_shape]) / len(shapes)
    model = Finder().to(memory_format=torch.channels_last)
    if start:
        model.load_state_dict(torch.load(start))
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    begin, step, total = time.process_time(), 0, 0.0
    while (done := (time.process_time() - begin) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, step / 200 + 0.02) * (0.5 + 0.5 * np.cos(np.pi * done)) + 1e-6
        rows = rng.choice(of_shape[rng.choice(len(of_shape), p=share)], batch)
        height, width = shapes[rows[0]]
        x = torch.from_numpy(images[rows, :height, :width]).permute(0, 3, 1, 2).float()
        y = torch.from_numpy(masks[rows, :height, :width])[:, None].float() / 255
        for axis in (2, 3):
            if rng.random() < 0.5:
                x, y = x.flip(axis), y.flip(axis)
        if rng.random() < 0.5:
            x = x.flip(1)
        x = x * float(rng.uniform(0.6, 1.1))
        loss = F.binary_cross_entropy_with_logits(
            model(x.contiguous(memory_format=torch.channels_last)), F.avg_pool2d(y, 2)
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        total, step = total + loss.item(), step + 1
        if step % 100 == 0:
            print(f"{done:.3f} step {step} loss {total / 100:.4f}", flush=True)
            total = 0.0
        if step % 1000 == 0:
            torch.save(model.state_dict(), out)
    torch.save(model.state_dict(), out)
    score(model, folder)


def score(model: Finder, folder: Path) -> None:
    """Print, of the validation images with and without a ground, how much of sheet and prediction is common to both."""
    model.eval()
    common: dict[str, list[float]] = {"whole": [], "sheets": [], "nothing": []}
    for file in sorted(folder.glob("validation-*.npz")):
        shard = np.load(file)
        for image, mask, shape in zip(shard["images"], shard["masks"], shard["shapes"], strict=True):
            height, width = shape
            x = torch.from_numpy(image[:height, :width]).permute(2, 0, 1)[None].float()
            with torch.no_grad():
                found = (F.interpolate(model(x), scale_factor=2, mode="bilinear")[0, 0] > 0).numpy()
            there = mask[:height, :width] > 127
            kind = "nothing" if not there.any() else "whole" if there.mean() > 0.9 else "sheets"
            of_both = (found | there).sum()
            common[kind].append(1 - found.mean() if kind == "nothing" else (found & there).sum() / of_both)
    for kind, shares in common.items():
        low = np.mean(np.array(shares) < 0.9)
        print(f"{kind}: {len(shares)} images, {100 * np.mean(shares):.1f} % in common, below 90 % in {100 * low:.1f} %")


def export(weights: Path, file: Path) -> None:
    """Write the ONNX file, its weights in half precision."""
    model = Finder()
    model.load_state_dict(torch.load(weights, map_location="cpu"))
    model.eval()
    torch.onnx.export(
        model,
        (torch.zeros(1, 3, 128, 128),),
        str(file),
        input_names=["pixels"],
        output_names=["sheet"],
        dynamic_axes={"pixels": {2: "h", 3: "w"}, "sheet": {2: "half h", 3: "half w"}},
        opset_version=17,
        dynamo=False,
    )
    halve(file)


def main() -> None:
    """Run one of the steps."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    steps = parser.add_subparsers(dest="step", required=True)
    drawing = steps.add_parser("draw")
    drawing.add_argument("part", choices=["train", "validation"])
    drawing.add_argument("number", type=int)
    drawing.add_argument("out", type=Path)
    training = steps.add_parser("train")
    training.add_argument("folder", type=Path)
    training.add_argument("out", type=Path)
    training.add_argument("--minutes", type=float, default=25)
    training.add_argument("--batch", type=int, default=32)
    training.add_argument("--rate", type=float, default=3e-3)
    training.add_argument("--start", type=Path, help="weights to go on from")
    exporting = steps.add_parser("export")
    exporting.add_argument("weights", type=Path)
    exporting.add_argument("file", type=Path)
    for one in (drawing, training):
        one.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.step == "draw":
        draw(options.part, options.number, options.out, options.seed)
    elif options.step == "train":
        train(options.folder, options.out, options.minutes, options.batch, options.seed, options.start, options.rate)
    else:
        export(options.weights, options.file)


if __name__ == "__main__":
    main()
