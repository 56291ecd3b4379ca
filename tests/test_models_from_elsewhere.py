"""ONNX files that somebody else made: what could run for ever, reach other files or answer nonsense is one line."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from digitlab.errors import ReadingError
from digitlab.reading.onnx_file import check_file
from digitlab.reading.reader import BUNDLED, Reader

PAGE = np.full((120, 200), 255, np.uint8)
PAGE[20:90, 95:103] = 0
WEIGHTS = numpy_helper.from_array(np.random.default_rng(0).normal(size=(784, 10)).astype(np.float32), "w")


def whole(values: Any, name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, np.int64), name)


FLAT = whole([-1, 784], "s")
LOGITS = [
    helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
    helper.make_node("Reshape", ["f", "s"], ["r"]),
    helper.make_node("MatMul", ["r", "w"], ["l"]),
]
SOFTMAX = [*LOGITS, helper.make_node("Softmax", ["l"], ["y"])]


def write(
    path: Path,
    nodes: list[onnx.NodeProto],
    more: tuple[onnx.TensorProto, ...] = (),
    *,
    takes: tuple[int, list[Any]] = (TensorProto.UINT8, ["n", 28, 28]),
    gives: tuple[int, list[Any]] = (TensorProto.FLOAT, ["n", 10]),
    metadata: dict[str, str] | None = None,
) -> Path:
    ends = [helper.make_tensor_value_info("x", *takes)], [helper.make_tensor_value_info("y", *gives)]
    graph = helper.make_graph(nodes, "g", *ends, [WEIGHTS, FLAT, *more])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if metadata:
        helper.set_model_props(model, metadata)
    path.write_bytes(model.SerializeToString())
    return path


def loop() -> tuple[list[onnx.NodeProto], tuple[onnx.TensorProto, ...]]:
    """Goes round for ever."""
    inner = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Identity", ["v"], ["u"])],
        "b",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, ["n", 10]),
        ],
        [
            helper.make_tensor_value_info("d", TensorProto.BOOL, []),
            helper.make_tensor_value_info("u", TensorProto.FLOAT, ["n", 10]),
        ],
    )
    nodes = [*LOGITS, helper.make_node("Loop", ["", "t", "l"], ["y"], body=inner)]
    return nodes, (numpy_helper.from_array(np.array(True), "t"),)


def elsewhere() -> tuple[list[onnx.NodeProto], tuple[onnx.TensorProto, ...]]:
    """Has its weights in a file of the machine's."""
    tensor = TensorProto(name="e", data_type=TensorProto.UINT8, data_location=TensorProto.EXTERNAL, dims=[784, 1])
    for key, value in (("location", "/etc/passwd"), ("offset", "0"), ("length", "784")):
        tensor.external_data.add(key=key, value=value)
    return SOFTMAX, (tensor,)


ZERO = numpy_helper.from_array(np.float32(0), "z")
TEXT, DOUBLE = TensorProto.STRING, TensorProto.DOUBLE
WORDS = {"gives": (TEXT, ["n", 10])}
ONE = {"takes": (TensorProto.UINT8, [1, 28, 28]), "gives": (TensorProto.FLOAT, [1, 10])}
REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "loop": (loop(), {}, "Loop, which can run for ever"),
    "elsewhere": (elsewhere(), {}, "weights in another file"),
    "custom": (([helper.make_node("Evil", ["x"], ["y"], domain="evil")], ()), {}, "evil.Evil"),
    "nan": (([*LOGITS, helper.make_node("Div", ["l", "z"], ["y"])], (ZERO,)), {}, "nan"),
    "negative": (([*LOGITS, helper.make_node("Neg", ["l"], ["y"])], ()), {}, "expected probabilities"),
    "five": (([*LOGITS, helper.make_node("Reshape", ["l", "q"], ["y"])], (whole([-1, 5], "q"),)), {}, "gives|opened"),
    "words": (([*LOGITS, helper.make_node("Cast", ["l"], ["y"], to=TEXT)], ()), WORDS, "to float"),
    "double": ((SOFTMAX, ()), {"takes": (DOUBLE, ["n", 28, 28])}, "expected from uint8"),
    "one only": ((SOFTMAX, ()), ONE, "cannot be run|opened"),
    "six axes": ((SOFTMAX, ()), {"takes": (TensorProto.UINT8, ["n", 28, 1, 28, 1, 1])}, "expected .n, 28, 28"),
    "cold": ((SOFTMAX, ()), {"metadata": {"temperature": "1e-300"}}, "temperature 1e-300"),
    "below": ((SOFTMAX, ()), {"metadata": {"temperature": "-1"}}, "temperature -1"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_network_over_pictures_is_refused_in_a_line(tmp_path: Path, name: str) -> None:
    (nodes, more), options, words = REFUSED[name]
    with pytest.raises(ReadingError, match=words) as caught:
        Reader(write(tmp_path / "theirs.onnx", nodes, more, **options), threads=1)
    assert "\n" not in str(caught.value) and "theirs.onnx" in str(caught.value)


def test_a_plain_network_of_somebody_elses_reads(tmp_path: Path) -> None:
    metadata = {"temperature": "nan", "scores": '{"test_accuracy": "<b>", "x": NaN}', "recipe": "[" * 90_000}
    reader = Reader(write(tmp_path / "theirs.onnx", SOFTMAX, metadata=metadata), threads=1)
    assert reader.temperature == 1.0 and len(reader.read(PAGE).digits) == 1
    from digitlab.serving import jobs

    card = jobs.card(reader, "theirs")
    assert b"NaN" not in card and b"<b>" not in card


@pytest.mark.parametrize("seed", range(3))
def test_mutated_models(tmp_path: Path, seed: int) -> None:
    """Whatever byte is changed: it reads, or one line says why not. The long campaign: benchmarks/attack."""
    chance, good = random.Random(seed), write(tmp_path / "good.onnx", SOFTMAX).read_bytes()
    refused: list[str] = []
    for _ in range(25):
        content = bytearray(good)
        for _ in range(chance.choice([1, 3])):
            place = chance.choice([chance.randrange(120), len(content) - 1 - chance.randrange(120)])
            if chance.random() < 0.6:
                content[place] = chance.randrange(256)
            else:
                del content[place : place + chance.randrange(1, 5)]
        (tmp_path / "changed.onnx").write_bytes(content)
        try:
            Reader(tmp_path / "changed.onnx", threads=1).read(PAGE)
        except ReadingError as error:
            refused.append(str(error))
    assert len(refused) > 5 and all(line.isprintable() for line in refused)


def test_what_is_no_protocol_buffer(tmp_path: Path) -> None:
    for content in (b"", b"hello", bytes(1000), b"\x3a\x02\x0a\x00" * 10_000, b"\xff" * 50, b"\x3a\x7f"):
        with pytest.raises(ValueError, match="damaged"):
            check_file(content)
    for file in BUNDLED.glob("*.onnx"):
        check_file(file.read_bytes())
