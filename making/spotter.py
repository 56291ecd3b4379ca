"""Make the spotter: the network that says which sign stands where on a page's ink.

    pip install -r making/requirements.txt
    npm install $(cut -d' ' -f1 making/hands.txt | sed 's|^|@fontsource/|')
    python making/spotter.py draw train 60000 pages/ --fonts node_modules/@fontsource
    python making/spotter.py draw validation 1500 pages/ --fonts node_modules/@fontsource
    python making/spotter.py train pages/ spotter.pt --minutes 11.2 --batch 256 --rate 4e-3 --forget 0.9993
    python making/spotter.py export spotter.pt src/digitlab/reading/bundled/spotter.onnx

A convolutional network with a quarter of the ink's resolution: at each place whether a sign's middle is there, which of 18
it is, and its box. PyTorch trains it, on a GPU where there is one, in bfloat16 where the device has products of those.
Training takes up new pages as they are drawn: both may be started at once.

Reference: X. Zhou, D. Wang, P. Krähenbühl, Objects as Points (2019).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

SHAPE = (144, 320)
STRIDE = 4
NUMBER = 18  # ten digits, seven separators, and every other sign
MOST = 96  # signs a page
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Where a processor has no products of bfloat16 they are emulated: 0.9 pages a second for a core instead of 9.
HAS_BFLOAT16 = DEVICE == "cuda" or (
    Path("/proc/cpuinfo").is_file() and "avx512_bf16" in Path("/proc/cpuinfo").read_text()
)
TALL = 28.0
# A sign counts while so much of it is in the picture.
VISIBLE = 0.8
WIDTHS = (48, 96, 152)


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
    """(n, 1, h, w) of 0 to 1 to (n, 23, h/4, w/4): a middle's logit, 18 class logits, dx, dy, log width, log height.

    Args:
        widths: channels at a quarter, an eighth and a sixteenth of the resolution.
    """

    def __init__(self, widths: tuple[int, int, int] = WIDTHS) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.first = down(1, 16, 5)
        self.quarter = nn.Sequential(down(16, fine), Block(fine), Block(fine))
        self.eighth = nn.Sequential(down(fine, middle), Block(middle), Block(middle))
        self.sixteenth = nn.Sequential(down(middle, coarse), Block(coarse), Block(coarse))
        self.up16 = nn.Conv2d(coarse, middle, 1)
        self.mix8 = Block(middle)
        self.up8 = nn.Conv2d(middle, fine, 1)
        self.mix4 = Block(fine)
        self.head = nn.Sequential(nn.Conv2d(fine, 72, 3, 1, 1), nn.ReLU(), nn.Conv2d(72, 1 + NUMBER + 4, 1))
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
    """Heat (n, h, w), class (n, h, w), box (n, 4, h, w), weight (n, h, w) of class and box, 0 where there is none."""
    n, device = len(signs), signs.device
    there = signs[:, :, 0] >= 0
    cx, cy = (signs[:, :, 1] + signs[:, :, 3]) / 2 / STRIDE, (signs[:, :, 2] + signs[:, :, 4]) / 2 / STRIDE
    w = (signs[:, :, 3] - signs[:, :, 1]).clamp(min=1.0)
    h = (signs[:, :, 4] - signs[:, :, 2]).clamp(min=1.0)
    x = torch.arange(width, device=device) + 0.5
    y = torch.arange(height, device=device) + 0.5
    sx, sy = (w / STRIDE / 6).clamp(0.45, 1.2), (h / STRIDE / 6).clamp(0.45, 1.2)
    gx = torch.exp(-(((x[None, None] - cx[..., None]) / sx[..., None]) ** 2) / 2)  # (n, k, width)
    gy = torch.exp(-(((y[None, None] - cy[..., None]) / sy[..., None]) ** 2) / 2)
    all_heat = gy[..., :, None] * gx[..., None, :] * there[..., None, None]  # (n, k, h, w)
    heat, owner = all_heat.max(1)
    # The cell that holds the middle is 1, wherever in it the middle lies. Places of no sign go to a cell that is cut off.
    cells = cy.long().clamp(0, height - 1) * width + cx.long().clamp(0, width - 1)
    cells = torch.where(there, cells, height * width)
    heat = F.pad(heat.view(n, -1), (0, 1)).scatter(1, cells, 1.0)[:, :-1].view(n, height, width)
    places = torch.arange(signs.shape[1], device=device).expand(n, -1)
    own = F.pad(owner.view(n, -1), (0, 1)).scatter(1, cells, places)[:, :-1]
    weight = torch.where(heat >= 1, 1.0, torch.where(heat > 0.45, 0.5, 0.0))

    def take(values: torch.Tensor) -> torch.Tensor:
        return values.gather(1, own).view(n, height, width)

    box = torch.stack(
        [
            take(cx) - x[None, None, :],
            take(cy) - y[None, :, None],
            torch.log(take(w) / TALL),
            torch.log(take(h) / TALL),
        ],
        1,
    )
    return heat, take(signs[:, :, 0]).clamp(min=0).long(), box, weight


def loss_of(out: torch.Tensor, signs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Focal loss of the middles, cross-entropy of the classes, absolute error of the boxes: their sum, and each."""
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
    kind = F.cross_entropy(out[:, 1 : 1 + NUMBER], name, reduction="none", label_smoothing=0.02)
    total = weight.sum().clamp(min=1)
    kind = (kind * weight).sum() / total
    place = ((out[:, 1 + NUMBER :] - box).abs().sum(1) * weight).sum() / total
    return middle + kind + 0.5 * place, torch.stack([middle, kind, place]).detach()


class Pages:
    """The drawn pages of one part, on the device; grows while they are drawn.

    Args:
        folder: where the shards lie.
        part: "train" or "validation".
    """

    def __init__(self, folder: Path, part: str) -> None:
        self.folder, self.part = folder, part
        self.known: set[Path] = set()
        self.ink: list[torch.Tensor] = []
        self.signs: list[torch.Tensor] = []

    def look(self) -> None:
        """Take up the shards that have come."""
        for file in sorted(self.folder.glob(f"{self.part}-*.npz")):
            if file not in self.known and ".tmp" not in file.name:
                shard = np.load(file)
                self.signs.append(torch.from_numpy(shard["signs"]).to(DEVICE))
                self.ink.append(torch.from_numpy(shard["ink"]).to(DEVICE))
                self.known.add(file)

    def batch(self, number: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw pages, of eight shards: ink (n, 1, h, w) float32 of 0 to 1, signs (n, 96, 5) float32."""
        inks, signs = [], []
        for part in np.array_split(np.arange(number), min(8, number)):
            shard = int(rng.integers(len(self.ink)))
            rows = torch.from_numpy(rng.integers(len(self.ink[shard]), size=len(part))).to(DEVICE)
            inks.append(self.ink[shard][rows])
            signs.append(self.signs[shard][rows])
        return torch.cat(inks)[:, None].float() / 255, torch.cat(signs)


def augmented(ink: torch.Tensor, signs: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Each page of another size and at another place, paler or darker; some coarser, with rows wiped out, or with noise."""
    n, _, height, width = ink.shape

    def some(share: float) -> torch.Tensor:
        return on_device((rng.random(n) < share).astype(np.float32))

    def on_device(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(DEVICE)[:, None, None, None]

    size = np.array([width, height], np.float32)
    scale = np.exp(rng.normal(0, 0.15, (n, 1)) + rng.normal(0, 0.07, (n, 2))).clip(0.7, 1.6)
    # Where the page's left upper corner comes to lie: anywhere while it fills the picture or lies in it.
    corner = (1 - scale) * size * rng.random((n, 2)) + rng.normal(0, 6, (n, 2))
    theta = np.zeros((n, 2, 3))
    theta[:, (0, 1), (0, 1)] = 1 / scale
    theta[:, :, 2] = (1 - 2 * corner / size) / scale - 1
    grid = F.affine_grid(
        torch.from_numpy(theta.astype(np.float32)).to(DEVICE), [n, 1, height, width], align_corners=False
    )
    ink = F.grid_sample(ink, grid, align_corners=False)
    four = torch.from_numpy(np.concatenate([scale, scale], 1).astype(np.float32)).to(DEVICE)[:, None]
    boxes = signs[:, :, 1:] * four + torch.from_numpy(np.tile(corner, (1, 2)).astype(np.float32)).to(DEVICE)[:, None]
    edge = torch.tensor([width, height], device=DEVICE)
    low, high = boxes[..., :2].clamp(min=0), torch.minimum(boxes[..., 2:], edge)
    seen = (high - low).clamp(min=0).prod(-1) / (boxes[..., 2:] - boxes[..., :2]).clamp(min=0.5).prod(-1)
    there = (signs[..., 0] >= 0) & (seen > VISIBLE)
    signs = torch.cat([torch.where(there, signs[..., 0], -1.0)[..., None], low, high], -1)

    gain = on_device(np.where(rng.random(n) < 0.5, 1, np.exp(rng.uniform(-0.7, 0.5, n))))
    power = on_device(np.where(rng.random(n) < 0.6, 1, np.exp(rng.normal(0, 0.3, n))))
    ink = (ink * gain).clamp(0, 1) ** power
    coarse = F.interpolate(ink, scale_factor=float(rng.uniform(0.45, 0.8)), mode="bilinear", antialias=DEVICE == "cpu")
    coarse = F.interpolate(coarse, size=(height, width), mode="bilinear")
    ink = torch.lerp(ink, coarse, some(0.12))
    # What taking ruled lines out leaves: gaps as thin as the lines.
    rows = (np.arange(height)[None] + rng.integers(0, 60, (n, 1))) % rng.integers(18, 60, (n, 1)) < rng.integers(
        1, 3, (n, 1)
    )
    wiped = torch.from_numpy(rows.astype(np.float32)).to(DEVICE)[:, None, :, None] * some(0.06)
    ink = ink * (1 - wiped)
    return (ink + torch.randn_like(ink) * on_device(rng.uniform(0.01, 0.06, n)) * some(0.3)).clamp(0, 1), signs


def train(
    folder: Path, out: Path, minutes: float, batch: int, seed: int, start: Path | None, rate: float, forget: float
) -> None:
    """Train for so many minutes of processor time, or of a GPU's; the rate falls with them. New shards are taken as they come.

    What is kept is the moving average of the weights; `forget` is how much of it a step leaves.
    """
    torch.backends.cudnn.benchmark = True  # the shapes stay the same
    clock: Callable[[], float] = time.monotonic if DEVICE == "cuda" else time.process_time
    begin = clock()
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Spotter().to(DEVICE, memory_format=torch.channels_last)
    if start:
        model.load_state_dict(torch.load(start, map_location=DEVICE))
    average = {k: v.clone() for k, v in model.state_dict().items()}
    moving = [(average[k], v) for k, v in model.state_dict().items() if v.dtype.is_floating_point]
    counted = [(average[k], v) for k, v in model.state_dict().items() if not v.dtype.is_floating_point]
    decay = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.02}, {"params": rest, "weight_decay": 0}], lr=rate
    )
    pages, validation = Pages(folder, "train"), Pages(folder, "validation")
    step, sums, last = 0, torch.zeros(3, device=DEVICE), time.time()
    while (done := (clock() - begin) / (60 * minutes)) < 1:
        if step % 100 == 0:
            pages.look()
            while not pages.ink:
                time.sleep(1)
                pages.look()
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, step / 300 + 0.02) * (0.5 + 0.5 * np.cos(np.pi * done)) + 1e-6
        x, y = augmented(*pages.batch(batch, rng), rng)
        with torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=HAS_BFLOAT16):
            predicted = model(x.contiguous(memory_format=torch.channels_last))
        loss, parts = loss_of(predicted.float(), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        keep = min(forget, 1 - 1 / (step + 2))
        with torch.no_grad():
            torch._foreach_lerp_([a for a, _ in moving], [v for _, v in moving], 1 - keep)
            for kept, value in counted:
                kept.copy_(value)
        sums += parts
        step += 1
        if step % 200 == 0:
            now = time.time()
            print(
                f"{done:.3f} step {step} {200 * batch / (now - last):.0f} pages/s of {sum(map(len, pages.ink))}"
                f" loss {np.round((sums / 200).tolist(), 4)}",
                flush=True,
            )
            sums.zero_()
            last = now
        if step % 5000 == 0:
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


def score(state: dict[str, torch.Tensor], pages: Pages) -> None:
    """Of validation pages: signs found with the correct class, missed, named wrongly, invented."""
    pages.look()
    if not pages.ink:
        return
    model = Spotter().to(DEVICE)
    model.load_state_dict(state)
    model.eval()
    good = missed = wrong = extra = 0
    ink, signs = torch.cat(pages.ink)[:600], torch.cat(pages.signs)[:600].cpu().numpy()
    for start in range(0, len(ink), 30):
        x = ink[start : start + 30, None].float() / 255
        with torch.no_grad(), torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=HAS_BFLOAT16):
            outs = model(x.contiguous(memory_format=torch.channels_last)).float().cpu().numpy()
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


def export(state: Path, out: Path) -> None:
    """Write the network as ONNX, weights in half precision: `ink` (n, 1, h, w) float32, sides divisible by 16, to `signs` (n, 23, h/4, w/4)."""
    from half import halve

    model = Spotter()
    model.load_state_dict(torch.load(state, map_location="cpu"))
    model.eval()
    torch.onnx.export(
        model, (torch.zeros(1, 1, *SHAPE),), str(out), input_names=["ink"], output_names=["signs"], opset_version=17, dynamo=False,
        dynamic_axes={"ink": {0: "n", 2: "height", 3: "width"}, "signs": {0: "n", 2: "rows", 3: "columns"}},
    )  # fmt: skip
    halve(out)
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
    verb.add_argument("--minutes", type=float, default=60, help="of processor time, or of a GPU's")
    verb.add_argument("--batch", type=int, default=24)
    verb.add_argument("--seed", type=int, default=0)
    verb.add_argument("--start", type=Path)
    verb.add_argument("--rate", type=float, default=2.5e-3)
    verb.add_argument("--forget", type=float, default=0.999)
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
    else:
        export(options.state, options.out)


if __name__ == "__main__":
    main()
