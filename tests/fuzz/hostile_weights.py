"""Weights files that are well formed and hostile in meaning, made from a seed.

Each maker takes a source of random numbers and returns the bytes of a file. Nothing is damaged at
random: opcodes, structures, sizes and metadata are put together as no program would.
"""

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import onnx
import torch

from models.weights.checkpoint import checkpoint_metadata
from tests.models.factories import tiny_detector
from tests.utils.checkpoint.test_hostile_torch_file import doubled, name, number, text
from utils.checkpoint.weights import format_tensor_file

KINDS = (
    "FloatStorage", "HalfStorage", "LongStorage", "BoolStorage", "ComplexFloatStorage",
    "QInt8Storage", "UntypedStorage", "NoStorage",
)  # fmt: skip
CALLS = (
    ("os", "system"), ("builtins", "eval"), ("builtins", "exec"), ("posix", "execv"),
    ("subprocess", "Popen"), ("torch", "load"), ("torch.serialization", "load"),
    ("torch._utils", "_rebuild_parameter"), ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_qtensor"), ("collections", "OrderedDict"), ("builtins", "set"),
    ("models.yolo", "DetectionModel"), ("pathlib", "PosixPath"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("\x1b[31m", "x\x07"), ("", ""), ("a" * 3000, "b"),
)  # fmt: skip
NAMES = ("model", "ema", "state_dict", "names", "yaml", "_parameters", "_modules", "_buffers", "nc",
         "weight", "training", "stride", "\x1b]0;t\x07", "", "\ud7ff", "x" * 9000)  # fmt: skip


def make_pickle(source: random.Random) -> bytes:
    """Return a zip as torch writes it, with a pickle of random structure and storages that lie."""
    body = _value(source, depth=source.choice([1, 3, 6]))
    if source.random() < 0.15:
        depth = source.choice([50, 5000, 120_000])
        body = source.choice([
            b"(" * depth + body + b"t" * depth,
            b"]" * depth + body + b"a" * depth,
            (b"}" + text("k")) * depth + body + b"s" * depth,
            doubled(source.choice([20, 60]), 2) + b"0" + body,
            doubled(12, 10, source.choice([b"t", b"l"])),
            body + b"2" * depth,
            b"N0" * depth + body,
        ])  # fmt: skip
    data = {str(key): b"\0" * source.choice([0, 1, 16, 4096]) for key in range(3)}
    return _zip(source, b"\x80" + bytes([source.choice([0, 2, 4, 5, 200])]) + body + b".", data)


def _value(source: random.Random, depth: int) -> bytes:
    if depth == 0:
        return source.choice(_LEAVES)(source)
    makers = (_mapping, _mapping, _mapping, _sequence, _tensor, _call, _module, _odd)
    return source.choice(makers)(source, depth - 1)


def _mapping(source: random.Random, depth: int) -> bytes:
    items = b"".join(_key(source) + _value(source, depth) for _ in range(source.randint(0, 4)))
    start = source.choice([b"}", name("collections", "OrderedDict") + b")R"])
    return start + b"(" + items + b"u"


def _key(source: random.Random) -> bytes:
    return text(source.choice(NAMES[:-2])) if source.random() < 0.8 else _value(source, 1)


def _sequence(source: random.Random, depth: int) -> bytes:
    items = b"".join(_value(source, depth) for _ in range(source.randint(0, 3)))
    return source.choice([b"(" + items + b"t", b"](" + items + b"e", b"\x8f(" + items + b"\x90",
                          b"(" + items + b"\x91", b"(" + items + b"l"])  # fmt: skip


def _tensor(source: random.Random, depth: int) -> bytes:
    count = source.choice([0, 1, 4, 2**30, -1])
    kind = name("torch", source.choice(KINDS))
    words = text(source.choice(["storage", "storage", "x"])) + kind
    storage = b"(" + words + text(source.choice("0129")) + text("cpu") + number(count) + b"tQ"
    sizes = [source.choice([0, 1, 2, 2, 4, -1, 2**31 - 1]) for _ in range(source.randint(0, 4))]
    shape = b"(" + b"".join(map(number, sizes)) + b"t"
    steps = [source.choice([0, 1, 2, -1, 2**31 - 1]) for _ in sizes]
    stride = b"(" + b"".join(map(number, steps)) + b"t"
    if source.random() < 0.2:
        shape = _value(source, depth)
    offset = number(source.choice([0, 0, 0, 3, -1, 2**31 - 1]))
    rest = storage + offset + shape + stride + b"\x89)t"
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + rest[:-1] + b"tR"


def _call(source: random.Random, depth: int) -> bytes:
    arguments = b"(" + b"".join(_value(source, depth) for _ in range(source.randint(0, 3))) + b"t"
    module, attribute = source.choice(CALLS)
    found = (
        name(module, attribute)
        if source.random() < 0.7
        else text(module) + text(attribute) + b"\x93"
    )
    return (
        found
        + arguments
        + source.choice([b"R", b"\x81", b"R}b", b"\x81" + _value(source, depth) + b"b"])
    )


def _module(source: random.Random, depth: int) -> bytes:
    parts = text("_parameters") + b"}(" + text("weight") + _tensor(source, depth) + b"u"
    parts += text("_modules") + _mapping(source, depth) + text("names") + _value(source, depth)
    parts += text("yaml") + _value(source, depth)
    return name("models.yolo", "DetectionModel") + b")\x81}(" + parts + b"ub"


def _odd(source: random.Random, depth: int) -> bytes:
    inner = _value(source, depth)
    return source.choice([
        inner + b"q\x07h\x07" + source.choice([b"\x86", b"0"]), inner + b"Q", b"h\x63", b"0",
        b"(" + inner, inner + b"b", b"(ios\nsystem\n", b"(" + inner + b"o", b"Pevil\n", b"\x82\x01",
        b"\x97", b"\x98", b"]q\x09h\x09a", b"}q\x08" + text("self") + b"h\x08s",
    ])  # fmt: skip


_LEAVES: tuple[Callable[[random.Random], bytes], ...] = (
    lambda source: b"N",
    lambda source: source.choice([b"\x88", b"\x89"]),
    lambda source: number(source.choice([0, 1, -1, 2**31 - 1])),
    lambda source: b"\x8b" + struct.pack("<i", 9000) + b"\x7f" * 9000,
    lambda source: b"G" + struct.pack(">d", source.choice([0.5, 1e308, float("nan")])),
    lambda source: text(source.choice(NAMES[:-2])),
    lambda source: b"X" + struct.pack("<I", 3) + b"\xed\xa0\x80",
    lambda source: b"\x8e" + struct.pack("<Q", 2**62),
    lambda source: b"I" + b"9" * 6000 + b"\n",
    lambda source: b"B" + struct.pack("<I", 5) + b"bytes",
    lambda source: doubled(30, 2),
)


def _zip(source: random.Random, pickle: bytes, data: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    packing = source.choice([zipfile.ZIP_STORED] * 5 + [zipfile.ZIP_DEFLATED])
    with zipfile.ZipFile(file, "w", packing) as archive:
        archive.writestr("a/data.pkl", pickle)
        for key, content in data.items():
            archive.writestr(f"a/data/{key}", content)
        if source.random() < 0.1:
            archive.writestr("a/data/2", b"\0" * 64_000_000, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def make_weights(source: random.Random) -> bytes:
    """Return weights of this program, checksum right, with one to three hostile metadata."""
    tensors, content = _own_weights()
    for _ in range(source.randint(1, 3)):
        source.choice(_EDITS)(source, content)
    if source.random() < 0.3:
        _edit_tensors(source, tensors)
    header = {"kind": "weights", "format_version": 1, "content": content}
    try:
        return format_tensor_file(tensors, header)
    except (ValueError, TypeError):  # JSON holds no NaN
        return format_tensor_file(tensors, {"kind": "weights", "format_version": 1, "content": 1})


def _own_weights() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    detector = tiny_detector()
    config = {"train": {"image_size": 64, "epochs": 3}, "eval": {"batch_size": 4}, "data": {}}
    extra = {"config": config, "category_ids": [1, 2, 3]}
    metadata = checkpoint_metadata(detector, ("cat", "dog", "owl"), 64, extra)
    return dict(detector.state_dict()), json.loads(json.dumps(metadata))


def _hostile(source: random.Random) -> Any:
    deep: Any = 1
    for _ in range(source.choice([5, 150])):
        deep = source.choice([[deep], {"a": deep}])
    return source.choice([
        None, True, -1, 0, 10**9, 10**400, 1e308, 0.5, "", "x" * 100_000, "\ud800", "\x1b[2J",
        "nan",
        [], {}, [[]] * 1000, list(range(100_000)), {"a" * 1000: 1}, deep, "nn.ReLU(" + "(" * 90,
        "nn.PReLU(999999999)", "../../x", "/dev/zero", [10**9] * 3, "None",
    ])  # fmt: skip


def _edit_key(source: random.Random, content: dict[str, Any]) -> None:
    content[source.choice([*content, "score_map", "extra"])] = _hostile(source)


def _edit_graph(source: random.Random, content: dict[str, Any]) -> None:
    graph = content["graph"]
    if not isinstance(graph, dict):
        return
    keys = ["nc", "depth_multiple", "width_multiple", "anchors", "channel_multiple", "activation"]
    graph[source.choice(keys)] = _hostile(source)


def _edit_rows(source: random.Random, content: dict[str, Any]) -> None:
    graph = content["graph"]
    rows = graph.get("backbone") if isinstance(graph, dict) else None
    if not isinstance(rows, list) or not rows:
        return
    row = source.choice(rows)
    kind = source.randrange(6)
    if kind == 0:
        graph["backbone"] = [[-1, 1, "Conv", [64, 1, 1]]] * source.choice([600, 40_000]) + rows
    elif kind == 1:
        row[1] = source.choice([500, 10**5, 10**9, -1, 0.5, None])
    elif kind == 2:
        row[3] = [source.choice([65_536, 10**6, -1, 0, 1]) for _ in range(source.randint(0, 6))]
    elif kind == 3:
        row[2] = source.choice(["nn.Conv2d", "nn.ZeroPad2d", "nn.Upsample", "TransformerC3", "eval",
                                "C3", "SPPF", "nn.AdaptiveAvgPool2d", "Detect"])  # fmt: skip
        row[3] = [source.choice([10**6, 2, None, "nearest", 65_536, [10**6] * 4]) for _ in range(3)]
    elif kind == 4:
        row[0] = _hostile(source)
    else:
        row[source.randrange(4)] = _hostile(source)


def _edit_names(source: random.Random, content: dict[str, Any]) -> None:
    count = source.choice([0, 1, 1000, 65_536, 300_000])
    content["class_names"] = [f"c{index}" for index in range(count)]
    if source.random() < 0.5:
        content["category_ids"] = [source.choice([1, 2**62, -5])] * count


def _edit_config(source: random.Random, content: dict[str, Any]) -> None:
    config = content.get("config")
    if isinstance(config, dict):
        section = source.choice(["train", "eval", "data", "model", "loss"])
        config[section] = source.choice([
            _hostile(source), {"image_size": _hostile(source)}, {"batch_size": 10**9},
            {"format": "synthetic", "path": "evil", "train_images": 10**9},
        ])  # fmt: skip


_EDITS: tuple[Callable[[random.Random, dict[str, Any]], None], ...] = (
    _edit_key, _edit_graph, _edit_graph, _edit_rows, _edit_rows, _edit_names, _edit_config,
)  # fmt: skip


def _edit_tensors(source: random.Random, tensors: dict[str, torch.Tensor]) -> None:
    key = source.choice(list(tensors))
    own = tensors[key]
    types = (torch.bool, torch.int8, torch.float64, torch.complex64, torch.float8_e4m3fn)
    tensors[key] = source.choice([
        torch.full_like(own, float("nan")) if own.is_floating_point() else own.bool(),
        own.to(source.choice(types)), own.reshape(-1), torch.zeros(0), torch.zeros(1, 0, 2**20),
        own * 3e38 if own.is_floating_point() else own,
    ])  # fmt: skip


def make_header(source: random.Random) -> bytes:
    """Return a safetensors file whose header lies about its tensors."""
    entries: dict[str, Any] = {}
    for index in range(source.choice([0, 1, 3, 20_000])):
        begin = source.choice([0, 4, -1, 2**40])
        entries[f"t{index}"] = {
            "dtype": source.choice(["F32", "F16", "I64", "BOOL", "F8_E4M3", "X"]),
            "shape": source.choice([[1], [], [2**20, 2**20, 2**20], [-1], [0, 2**62], ["1"], 5]),
            "data_offsets": [begin, begin + source.choice([4, 0, 2**45, -4])],
        }
    content = source.choice([
        _hostile(source), {"kind": "weights", "format_version": 1, "content": {}},
        {"kind": _hostile(source), "format_version": _hostile(source)},
    ])  # fmt: skip
    aliases = source.choice([{}, {"a": "b"}, {"t0": "t0"}, [1], None, {"a": ["t0"]}])
    own = {"checksum": _hostile(source), "aliases": aliases, "metadata": content}
    texts = (json.dumps(own), "[" * 100_000, _hostile(source), '{"a": ' * 900 + "1")
    entries["__metadata__"] = {"focaldet": source.choice(texts)}
    header = json.dumps(entries, default=str).encode("utf-8", "backslashreplace")
    length = source.choice([len(header)] * 6 + [0, 2**63, 2**32, 99_999_999])
    return struct.pack("<Q", length) + header + b"\0" * source.choice([0, 4, 4096])


def make_onnx(source: random.Random) -> bytes:
    """Return an ONNX file that says hostile things of itself."""
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    domain = source.choice(["", "", "evil.domain"])
    node = onnx.helper.make_node("Identity", ["x"], ["y"], domain=domain)
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([node], "g", [value], [out])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 8
    described = {
        "focaldet_format": "1", "class_names": '["cat"]', "category_ids": "[0]", "image_size": "64",
        "stride": "32", "letterbox": '"pad"', "nms": "false", "training": "{}", "score_map": "null",
        "score_threshold": "0.1", "iou_threshold": "0.5", "max_detections": "10",
        "max_candidates": "100", "multi_label": "true", "class_agnostic": "false",
        "precision": '"float32"', "pad_colour": "114", "rectangular": "true",
    }  # fmt: skip
    for _ in range(source.randint(1, 4)):
        key = source.choice(list(described))
        hostile = _hostile(source)
        described[key] = source.choice([
            json.dumps(hostile), str(hostile)[:100_000], "[" * 50_000, "NaN", "1e999", "9" * 5000,
        ])  # fmt: skip
    clean = {key: value.encode("utf-8", "replace").decode() for key, value in described.items()}
    onnx.helper.set_model_props(model, clean)
    data: bytes = model.SerializeToString()
    return data


MAKERS: dict[str, Callable[[random.Random], bytes]] = {
    ".pt": make_pickle,
    ".safetensors": make_weights,
    ".header.safetensors": make_header,
    ".onnx": make_onnx,
}
