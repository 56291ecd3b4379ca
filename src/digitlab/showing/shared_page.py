"""One page to hand on: whoever opens it draws a digit, and the network inside the page says what it reads."""

from __future__ import annotations

import math
from typing import Any

from digitlab.showing.html import fill
from digitlab.showing.plain_network import plain_network


def render_shared(
    content: bytes,
    *,
    name: str,
    class_names: tuple[str, ...],
    temperature: float,
    facts: tuple[str, ...] = (),
) -> str:
    """Write the page.

    Args:
        content: the network, as ONNX that digitlab wrote.
        name: what it is called.
        class_names: what its answers mean.
        temperature: calibrates its probabilities.
        facts: sentences on the network, for people.

    Returns:
        HTML that asks nobody for anything: model, forward pass and normalisation are in it.

    Raises:
        ExportError: an operator that the page's script does not know.

    Example:
        >>> from digitlab.reading.model import BUNDLED
        >>> network = (BUNDLED / "digits.onnx").read_bytes()
        >>> page = render_shared(network, name="reader", class_names=tuple("0123456789"), temperature=1.04)
        >>> "https:" in page
        False
    """
    network: dict[str, Any] = plain_network(content) | {"temperature": temperature, "classes": class_names}
    return fill(
        "shared.html",
        styles=("style.css", "drawing.css", "shared.css"),
        scripts=("numbers.js", "network.js", "normalise.js", "sheet.js", "shared.js"),
        network=network,
        name=name,
        class_names=class_names,
        digits=class_names == tuple("0123456789"),
        weights=sum(math.prod(c["shape"]) for c in network["constants"].values() if "shape" in c),
        facts=facts,
    )
