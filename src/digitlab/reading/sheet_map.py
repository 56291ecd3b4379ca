"""Which part of an image is paper, and which the desk that it lies on: a small network's answer."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

BUNDLED = Path(__file__).parent / "bundled"
# It learnt from images of this many pixels on the long side, and a multiple of so many on each.
SIDE, CELL = 128, 16


def sheet_map(pixels: np.ndarray) -> np.ndarray:
    """Say how surely each place of an image is sheet; `making/sheets.py` made the network.

    Args:
        pixels: (h, w, 3) or (h, w) of 0..255.

    Returns:
        (m, n) float32, at most 64 each, of the whole image: above 0 where there more likely is sheet than ground.

    Example:
        >>> photo = np.full((120, 160), 60, np.uint8); photo[20:100, 30:130] = 230
        >>> found = sheet_map(photo)
        >>> found.shape, bool(found[24, 32] > 0), bool(found[2, 2] > 0)
        ((48, 64), True, False)
    """
    from PIL import Image

    height, width = pixels.shape[:2]
    factor = max(height, width) / SIDE
    shape = tuple(max(CELL, round(side / factor)) for side in (height, width))
    image = Image.fromarray(pixels.astype(np.uint8)).convert("RGB")
    small = np.asarray(image.resize(shape[::-1], Image.Resampling.BOX), np.float32)
    padded = np.pad(small, ((0, -shape[0] % CELL), (0, -shape[1] % CELL), (0, 0)), mode="edge")
    answer = _session().run(None, {"pixels": padded.transpose(2, 0, 1)[None]})[0][0, 0]
    return np.asarray(answer[: -(-shape[0] // 2), : -(-shape[1] // 2)])


@cache
def _session() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # 5 ms of work
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(BUNDLED / "sheets.onnx"), options, providers=["CPUExecutionProvider"])
