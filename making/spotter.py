"""Make the spotter: the network that says which sign stands where on a page's ink.

    pip install -r making/requirements.txt
    npm install $(cut -d' ' -f1 making/hands.txt | sed 's|^|@fontsource/|')
    python making/spotter.py draw train 60000 pages/ --fonts node_modules/@fontsource
    python making/spotter.py draw validation 1500 pages/ --fonts node_modules/@fontsource
    python making/spotter.py train pages/ spotter.pt --minutes 60
    python making/spotter.py train new-pages/ further.pt --start spotter.pt --minutes 60 --rate 1e-3 --batch 16 --forget 0.997
    python making/spotter.py mean spotter.pt further.pt spotter.pt --share 0.75 --pages new-pages/
    python making/spotter.py export spotter.pt src/digitlab/reading/bundled/spotter.onnx

A convolutional network with a quarter of the ink's resolution: at each place whether a sign's middle is there, which of 18
it is, and its box. PyTorch trains it, in bfloat16 where the processor has products of those: 2.5 times as many pages a
second as in float32 on a Xeon with AMX, where XLA's convolutions have no such path.

Reference: X. Zhou, D. Wang, P. Krähenbühl, Objects as Points (2019).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

SHAPE = (144, 320)
STRIDE = 4
NUMBER = 18  # ten digits, seven separators, and every other sign
MOST = 96  # signs a page
# Where the processor has no products of bfloat16 they are emulated: 0.9 pages a second for a core instead of 9.
HAS_BFLOAT16 = Path("/proc/cpuinfo").is_file() and "avx512_bf16" in Path("/proc/cpuinfo").read_text()
TALL = 28.0


def draw(part: str, number: int, out: Path, fonts: Path, seed: int) -> None:
    """Write pages in shards of 1,000: `ink` (n, h, w) uint8 and `signs` (n, 96, 5) float32, class -1 for none."""
    from compose import Composer
    from hands import centre_lines_of, split_of
    from photograph import photographed, seen

    split = split_of(part, fonts)
    clouds = centre_lines_of(part, split)
    out.mkdir(parents=True, exist_ok=True)
    for shard in range(-(-number // 1000)):
        file = out / f"{part}-{seed:02d}-{shard:03d}.npz"
        if file.exists():
            continue
        composer = Composer(split, clouds, ({"train": 0, "validation": 1, "test": 2}[part], seed, shard))
        size = min(1000, number - 1000 * shard)
        ink, signs = np.zeros((size, *SHAPE), np.uint8), np.full((size, MOST, 5), -1, np.float32)
        for i in range(size):
            sheet = composer.page(SHAPE)
            ink[i] = seen(photographed(sheet, composer.rng))
            for k, sign in enumerate(sheet.signs[:MOST]):
                signs[i, k] = (sign.name, *sign.box)
        partial = file.with_suffix(".tmp.npz")
        np.savez(partial, ink=ink, signs=signs)
        partial.replace(file)
        print(file, flush=True)


class Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.two = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) to the same."""
        return F.relu(x + self.two(self.one(x)))


def down(inside: int, out: int, size: int = 3) -> nn.Sequential:
    """Half the resolution."""
    return nn.Sequential(nn.Conv2d(inside, out, size, 2, size // 2, bias=False), nn.BatchNorm2d(out), nn.ReLU())


class Spotter(nn.Module):
    """(n, 1, h, w) of 0 to 1 to (n, 23, h/4, w/4): a middle's logit, 18 class logits, dx, dy, log width, log height."""

    def __init__(self) -> None:
        super().__init__()
        self.first = down(1, 16, 5)
        self.quarter = nn.Sequential(down(16, 48), Block(48), Block(48))
        self.eighth = nn.Sequential(down(48, 80), Block(80), Block(80))
        self.sixteenth = nn.Sequential(down(80, 96), Block(96))
        self.up16 = nn.Conv2d(96, 80, 1)
        self.mix8 = Block(80)
        self.up8 = nn.Conv2d(80, 48, 1)
        self.mix4 = Block(48)
        self.head = nn.Sequential(nn.Conv2d(48, 72, 3, 1, 1), nn.ReLU(), nn.Conv2d(72, 1 + NUMBER + 4, 1))
        nn.init.constant_(self.head[-1].bias[:1], -4.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        a = self.quarter(self.first(x))
        b = self.eighth(a)
        c = self.sixteenth(b)
        b = self.mix8(F.relu(b + F.interpolate(self.up16(c), scale_factor=2.0)))
        a = self.mix4(F.relu(a + F.interpolate(self.up8(b), scale_factor=2.0)))
        return self.head(a)


def targets(
    signs: torch.Tensor, height: int, width: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Heat (n, h, w), class (n, h, w) with -1 for none, box (n, 4, h, w), weight (n, h, w) of class and box."""
    n = len(signs)
    there = signs[:, :, 0] >= 0
    cx, cy = (signs[:, :, 1] + signs[:, :, 3]) / 2 / STRIDE, (signs[:, :, 2] + signs[:, :, 4]) / 2 / STRIDE
    w = (signs[:, :, 3] - signs[:, :, 1]).clamp(min=1.0)
    h = (signs[:, :, 4] - signs[:, :, 2]).clamp(min=1.0)
    x = torch.arange(width) + 0.5
    y = torch.arange(height) + 0.5
    sx, sy = (w / STRIDE / 6).clamp(0.45, 1.2), (h / STRIDE / 6).clamp(0.45, 1.2)
    gx = torch.exp(-(((x[None, None] - cx[..., None]) / sx[..., None]) ** 2) / 2)  # (n, k, width)
    gy = torch.exp(-(((y[None, None] - cy[..., None]) / sy[..., None]) ** 2) / 2)
    all_heat = gy[..., :, None] * gx[..., None, :] * there[..., None, None]  # (n, k, h, w)
    heat, owner = all_heat.max(1)
    # The cell that holds the middle is 1, wherever in it the middle lies.
    cells = (cy.long().clamp(0, height - 1) * width + cx.long().clamp(0, width - 1)).masked_fill(~there, -1)
    flat = heat.view(n, -1)
    own = owner.view(n, -1)
    rows, k = torch.nonzero(there, as_tuple=True)
    flat[rows, cells[rows, k]] = 1.0
    own[rows, cells[rows, k]] = k
    weight = torch.where(heat >= 1, 1.0, torch.where(heat > 0.45, 0.5, 0.0))

    def take(values: torch.Tensor) -> torch.Tensor:
        return values.gather(1, own).view(n, height, width)

    name = torch.where(weight > 0, take(signs[:, :, 0]), torch.tensor(-1.0)).long()
    box = torch.stack(
        [
            take(cx) - x[None, None, :],
            take(cy) - y[None, :, None],
            torch.log(take(w) / TALL),
            torch.log(take(h) / TALL),
        ],
        1,
    )
    return heat, name, box, weight


def loss_of(out: torch.Tensor, signs: torch.Tensor) -> tuple[torch.Tensor, list[float]]:
    """Focal loss of the middles, cross-entropy of the classes, absolute error of the boxes."""
    heat, name, box, weight = targets(signs, out.shape[2], out.shape[3])
    logit = out[:, 0]
    p = torch.sigmoid(logit)
    positive = (heat >= 1).float()
    count = positive.sum().clamp(min=1)
    middle = (
        -(
            positive * (1 - p) ** 2 * F.logsigmoid(logit)
            + (1 - positive) * (1 - heat) ** 4 * p**2 * F.logsigmoid(-logit)
        ).sum()
        / count
    )
    chosen = weight > 0
    kind = F.cross_entropy(
        out[:, 1 : 1 + NUMBER].permute(0, 2, 3, 1)[chosen], name[chosen], reduction="none", label_smoothing=0.02
    )
    total = weight[chosen].sum().clamp(min=1)
    kind = (kind * weight[chosen]).sum() / total
    place = ((out[:, 1 + NUMBER :] - box).abs().sum(1) * weight).sum() / total
    return middle + kind + 0.5 * place, [part.item() for part in (middle, kind, place)]


def load(folder: Path, part: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Every shard there is."""
    inks, signs = [], []
    for file in sorted(folder.glob(f"{part}-*.npz")):
        if ".tmp" not in file.name and file.exists():
            shard = np.load(file)
            inks.append(shard["ink"])
            signs.append(shard["signs"])
    return inks, signs


def augmented(ink: torch.Tensor, signs: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """One batch another size, another way up for the paleness, a piece blanked, a window of it."""
    sx, sy = np.exp(rng.normal(0, 0.15)) * np.exp(rng.normal(0, 0.07, 2))
    height, width = ink.shape[2:]
    size = [max(96, round(height * sy / 16) * 16), max(160, round(width * sx / 16) * 16)]
    fy, fx = size[0] / height, size[1] / width
    ink = F.interpolate(ink, size=size, mode="bilinear", align_corners=False, antialias=bool(min(fx, fy) < 0.95))
    signs = signs.clone()
    there = signs[:, :, :1] >= 0
    signs[:, :, 1:] = torch.where(there, signs[:, :, 1:] * torch.tensor([fx, fy, fx, fy]), signs[:, :, 1:])
    n = len(ink)
    gain = torch.from_numpy(np.where(rng.random(n) < 0.5, 1, np.exp(rng.uniform(-0.7, 0.5, n))).astype(np.float32))[
        :, None, None, None
    ]
    power = torch.from_numpy(np.where(rng.random(n) < 0.6, 1, np.exp(rng.normal(0, 0.3, n))).astype(np.float32))[
        :, None, None, None
    ]
    ink = (ink * gain).clamp(0, 1) ** power
    if rng.random() < 0.3:
        ink = (ink + torch.randn_like(ink) * float(rng.uniform(0.01, 0.06))).clamp(0, 1)
    return ink, signs


def train(
    folder: Path, out: Path, minutes: float, batch: int, seed: int, start: Path | None, rate: float, forget: float
) -> None:
    """Train for so many minutes of processor time; the rate falls with them. New shards are taken as they come.

    What is kept is the moving average of the weights; `forget` is how much of it a step leaves.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Spotter().to(memory_format=torch.channels_last)
    if start:
        model.load_state_dict(torch.load(start))
    average = {k: v.clone() for k, v in model.state_dict().items()}
    decay = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.02}, {"params": rest, "weight_decay": 0}], lr=rate
    )
    validation = load(folder, "validation")
    begin, step, known = time.process_time(), 0, 0
    sums = np.zeros(3)
    inks: list[np.ndarray] = []
    signs: list[np.ndarray] = []
    last = time.time()
    while (done := (time.process_time() - begin) / (60 * minutes)) < 1:
        if step % 400 == 0:
            files = sum(file.exists() for file in folder.glob("train-*.npz"))
            if files != known:
                inks, signs = load(folder, "train")
                known = files
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, step / 200 + 0.02) * (0.5 + 0.5 * np.cos(np.pi * done)) + 1e-6
        picks = [(int(rng.integers(len(inks))), int(rng.integers(len(inks[0])))) for _ in range(batch)]
        picks = [(s, i % len(inks[s])) for s, i in picks]
        x = torch.from_numpy(np.stack([inks[s][i] for s, i in picks])[:, None]).float() / 255
        y = torch.from_numpy(np.stack([signs[s][i] for s, i in picks]))
        x, y = augmented(x, y, rng)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=HAS_BFLOAT16):
            predicted = model(x.contiguous(memory_format=torch.channels_last))
        loss, parts = loss_of(predicted.float(), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        keep = min(forget, 1 - 1 / (step + 2))
        with torch.no_grad():
            for name, value in model.state_dict().items():
                if value.dtype.is_floating_point:
                    average[name].lerp_(value, 1 - keep)
                else:
                    average[name].copy_(value)
        sums += parts
        step += 1
        if step % 200 == 0:
            now = time.time()
            print(
                f"{done:.3f} step {step} {200 * batch / (now - last):.0f} pages/s of {1000 * known} loss {np.round(sums / 200, 4)}",
                flush=True,
            )
            sums[:], last = 0, now
        if step % 1000 == 0:
            torch.save(average, out)
            score(average, validation)
            last = time.time()
    torch.save(average, out)
    score(average, validation)


def decode(out: np.ndarray, least: float = 0.3) -> list[tuple[int, float, np.ndarray, np.ndarray]]:
    """(23, h, w) to signs: class, score, box, class probabilities."""
    heat = 1 / (1 + np.exp(-out[0]))
    padded = np.pad(heat, 1)
    around = np.max([padded[i : i + heat.shape[0], j : j + heat.shape[1]] for i in range(3) for j in range(3)], axis=0)
    found = []
    for row, column in zip(*np.nonzero((heat >= around) & (heat > least)), strict=True):
        logits = out[1 : 1 + NUMBER, row, column]
        p = np.exp(logits - logits.max())
        p /= p.sum()
        dx, dy, w, h = out[1 + NUMBER :, row, column]
        x, y = (column + 0.5 + dx) * STRIDE, (row + 0.5 + dy) * STRIDE
        w, h = np.exp(w) * TALL / 2, np.exp(h) * TALL / 2
        found.append((int(p.argmax()), float(heat[row, column]), np.array([x - w, y - h, x + w, y + h]), p))
    return found


def score(state: dict[str, torch.Tensor], data: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
    """Of validation pages: signs found with the correct class, missed, named wrongly, invented."""
    if not data[0]:
        return
    model = Spotter()
    model.load_state_dict(state)
    model.eval()
    good = missed = wrong = extra = 0
    ink, signs = np.concatenate(data[0])[:600], np.concatenate(data[1])[:600]
    for start in range(0, len(ink), 30):
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=HAS_BFLOAT16):
            outs = (
                model(
                    (torch.from_numpy(ink[start : start + 30, None]).float() / 255).contiguous(
                        memory_format=torch.channels_last
                    )
                )
                .float()
                .numpy()
            )
        for out, true in zip(outs, signs[start : start + 30], strict=True):
            true = true[true[:, 0] >= 0]
            found = decode(out)
            free = list(range(len(found)))
            for name, *box in true:
                middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
                reach = max(5.0, 0.3 * (box[2] - box[0])), max(5.0, 0.3 * (box[3] - box[1]))
                near = [
                    i for i in free
                    if abs((found[i][2][0] + found[i][2][2]) / 2 - middle[0]) < reach[0] and abs((found[i][2][1] + found[i][2][3]) / 2 - middle[1]) < reach[1]
                ]  # fmt: skip
                if not near:
                    missed += 1
                    continue
                best = min(near, key=lambda i: abs(found[i][2] - box).sum())
                free.remove(best)
                good += found[best][0] == name
                wrong += found[best][0] != name
            extra += len(free)
    total = good + missed + wrong
    print(
        f"validation: {total} signs, good {good / total:.4f}, missed {missed / total:.4f}, wrong {wrong / total:.4f}, invented {extra / total:.4f}",
        flush=True,
    )


def mean(one: Path, other: Path, out: Path, share: float, pages: Path) -> None:
    """Write the mean of two states of one training, `share` of the other in it, and score it on validation pages."""
    first, second = torch.load(one), torch.load(other)
    state = {k: v.lerp(second[k], share) if v.dtype.is_floating_point else second[k] for k, v in first.items()}
    torch.save(state, out)
    score(state, load(pages, "validation"))


def export(state: Path, out: Path) -> None:
    """Write the network as ONNX: `ink` (n, 1, h, w) float32, sides divisible by 16, to `signs` (n, 23, h/4, w/4)."""
    model = Spotter()
    model.load_state_dict(torch.load(state))
    model.eval()
    torch.onnx.export(
        model, (torch.zeros(1, 1, *SHAPE),), str(out), input_names=["ink"], output_names=["signs"], opset_version=17, dynamo=False,
        dynamic_axes={"ink": {0: "n", 2: "height", 3: "width"}, "signs": {0: "n", 2: "rows", 3: "columns"}},
    )  # fmt: skip
    print(f"{out}: {out.stat().st_size:,} bytes, {sum(p.numel() for p in model.parameters()):,} parameters")


def main() -> None:
    """See the head of the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("draw")
    verb.add_argument("part", choices=["train", "validation", "test"])
    verb.add_argument("number", type=int)
    verb.add_argument("out", type=Path)
    verb.add_argument("--fonts", type=Path, required=True)
    verb.add_argument("--seed", type=int, default=0)
    verb = verbs.add_parser("train")
    verb.add_argument("folder", type=Path)
    verb.add_argument("out", type=Path)
    verb.add_argument("--minutes", type=float, default=60, help="of processor time")
    verb.add_argument("--batch", type=int, default=24)
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument("--start", type=Path)
    verb.add_argument("--rate", type=float, default=2.5e-3)
    verb.add_argument("--forget", type=float, default=0.999)
    verb = verbs.add_parser("mean")
    verb.add_argument("one", type=Path)
    verb.add_argument("other", type=Path)
    verb.add_argument("out", type=Path)
    verb.add_argument("--share", type=float, default=0.5, help="of the other, 0 to 1")
    verb.add_argument("--pages", type=Path, required=True)
    verb = verbs.add_parser("export")
    verb.add_argument("state", type=Path)
    verb.add_argument("out", type=Path)
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    torch.set_num_threads(options.threads)
    if options.verb == "draw":
        draw(options.part, options.number, options.out, options.fonts, options.seed)
    elif options.verb == "train":
        train(
            options.folder,
            options.out,
            options.minutes,
            options.batch,
            options.seed,
            options.start,
            options.rate,
            options.forget,
        )
    elif options.verb == "mean":
        mean(options.one, options.other, options.out, options.share, options.pages)
    else:
        export(options.state, options.out)


if __name__ == "__main__":
    main()
