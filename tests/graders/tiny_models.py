"""Tiny models made on the spot: a tokenizer of words, networks in ONNX that count words, encoders in safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = (
    "you", "can", "return", "the", "kettle", "within", "thirty", "sixty", "days", "of", "delivery", "red", "blue",
    "sorry", "cannot", "refuse", "help", "with", "that", "costs", "twelve", "euros", "shop", "opens", "monday", ".",
)  # fmt: skip
VOCABULARY = {word: place for place, word in enumerate((*SPECIAL, *WORDS))}
SIZE = len(VOCABULARY)


def write_tokenizer(folder: Path) -> None:
    """A tokenizer of whole words with BERT's layout of one and two texts."""
    tokenizer = Tokenizer(WordLevel(VOCABULARY, unk_token=SPECIAL[1]))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, VOCABULARY[name]) for name in ("[CLS]", "[SEP]")],
    )
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=7)
    tokenizer.save(str(folder / "tokenizer.json"))


def write_config(folder: Path, architecture: str, labels: Sequence[str] = (), **values: Any) -> None:
    """A config.json."""
    named = {"id2label": {str(place): label for place, label in enumerate(labels)}} if labels else {}
    content = {"model_type": "bert", "architectures": [architecture], "pad_token_id": 0, **named, **values}
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")


def overlap_model(folder: Path, labels: Sequence[str], *, tokens: bool = False, external: bool = False) -> Path:
    """How much of the second text stands in the first: the logit of label 0 is 20 (share - 0.75), of the others 0.

    Of pairs the share of words of the second; of tokens 1 or 0 each.
    """
    known = np.zeros((SIZE, SIZE), np.float32)
    known[len(SPECIAL) :, len(SPECIAL) :] = np.eye(len(WORDS))
    wide = np.zeros((1, len(labels)), np.float32)
    wide[0, 0] = 20
    constants = {"known": known, "wide": wide, "axis": np.array([1]), "last": np.array([2]),
                 "one": np.ones(1, np.float32), "limit": np.full(1, 0.75, np.float32)}  # fmt: skip
    nodes = [
        ("Cast", ["token_type_ids"], "second", {"to": TensorProto.FLOAT}),
        ("Cast", ["attention_mask"], "there", {"to": TensorProto.FLOAT}),
        ("Unsqueeze", ["second", "last"], "second3", {}),
        ("Unsqueeze", ["there", "last"], "there3", {}),
        ("Gather", ["known", "input_ids"], "words", {}),
        ("Mul", ["words", "there3"], "real", {}),
        ("Sub", ["one", "second3"], "first3", {}),
        ("Mul", ["real", "first3"], "firsts", {}),
        ("ReduceMax", ["firsts", "axis"], "bag", {"keepdims": 0}),
        ("Unsqueeze", ["bag", "last"], "column", {}),
        ("MatMul", ["real", "column"], "held", {}),
    ]
    if not tokens:
        nodes += [
            ("Mul", ["held", "second3"], "held2", {}),
            ("ReduceSum", ["held2", "axis"], "hits", {"keepdims": 0}),
            ("Mul", ["real", "second3"], "seconds", {}),
            ("ReduceSum", ["seconds", "axis"], "counts", {"keepdims": 0}),
            ("ReduceSum", ["counts", "axis"], "count", {"keepdims": 1}),
            ("Max", ["count", "one"], "most", {}),
            ("Div", ["hits", "most"], "share", {}),
        ]
    nodes += [
        ("Sub", ["held" if tokens else "share", "limit"], "over", {}),
        ("MatMul", ["over", "wide"], "logits", {}),
    ]
    write_onnx(folder, nodes, constants, "logits", 3 if tokens else 2, external=external)
    write_config(folder, f"BertFor{'Token' if tokens else 'Sequence'}Classification", labels)
    return folder


def cue_model(folder: Path, labels: Sequence[str], cues: Mapping[str, float], *, of_second: bool = False) -> Path:
    """The logit of label 1 is the sum over the words, less 1; of label 0 it is 0."""
    weights = np.zeros((SIZE, 1), np.float32)
    for word, weight in cues.items():
        weights[VOCABULARY[word], 0] = weight
    constants = {"weights": weights, "axis": np.array([1]), "one": np.ones(1, np.float32),
                 "wide": np.array([[0, 1]], np.float32), "last": np.array([2])}  # fmt: skip
    mask = "token_type_ids" if of_second else "attention_mask"
    nodes = [
        ("Gather", ["weights", "input_ids"], "each", {}),
        ("Cast", [mask], "there", {"to": TensorProto.FLOAT}),
        ("Unsqueeze", ["there", "last"], "there3", {}),
        ("Mul", ["each", "there3"], "real", {}),
        ("ReduceSum", ["real", "axis"], "sum", {"keepdims": 0}),
        ("Sub", ["sum", "one"], "over", {}),
        ("MatMul", ["over", "wide"], "logits", {}),
    ]
    write_onnx(folder, nodes, constants, "logits", 2, inputs=("input_ids", mask))
    write_config(folder, "BertForSequenceClassification", labels)
    return folder


def word_embeddings(folder: Path, table: NDArray[np.float32]) -> Path:
    """The last layer is a row of the table for each token."""
    nodes: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Gather", ["table", "input_ids"], "last_hidden_state", {})
    ]
    write_onnx(folder, nodes, {"table": table}, "last_hidden_state", 3, inputs=("input_ids",))
    write_config(folder, "BertModel")
    return folder


def write_onnx(
    folder: Path,
    nodes: Sequence[tuple[str, list[str], str, dict[str, Any]]],
    constants: Mapping[str, NDArray[Any]],
    output: str,
    rank: int,
    *,
    inputs: Sequence[str] = ("input_ids", "attention_mask", "token_type_ids"),
    external: bool = False,
) -> None:
    """An ONNX file of these nodes, and the tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    graph = helper.make_graph(
        [helper.make_node(kind, given, [made], **rest) for kind, given, made, rest in nodes],
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"]) for name in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [f"d{axis}" for axis in range(rank)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    beside = {"save_as_external_data": True, "location": "model.onnx_data", "size_threshold": 512} if external else {}
    onnx.save_model(model, str(folder / "model.onnx"), **beside)
    write_tokenizer(folder)


LAYERS, HEADS, HIDDEN, WIDE, PLACES = 2, 2, 8, 12, 24
_BERT_LAYER = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
               "intermediate.dense", "output.dense")  # fmt: skip
_DISTILBERT_LAYER = ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "ffn.lin1",
                     "ffn.lin2")  # fmt: skip


def encoder_model(folder: Path, family: str, head: str, labels: Sequence[str], **values: Any) -> Path:
    """An encoder of two layers with weights that are sines, so that anybody can make the same ones.

    Args:
        folder: Where to.
        family: bert, roberta, xlm-roberta, distilbert.
        head: SequenceClassification, TokenClassification, or nothing.
        labels: Of the head.
        values: What else stands in config.json.
    """
    distil, roberta = family == "distilbert", "roberta" in family
    stem = "roberta" if roberta else family
    prefix = f"{stem}." if head else ""
    shapes: dict[str, tuple[int, ...]] = {
        f"{prefix}embeddings.word_embeddings.weight": (SIZE, HIDDEN),
        f"{prefix}embeddings.position_embeddings.weight": (PLACES, HIDDEN),
    }
    if not distil:
        shapes[f"{prefix}embeddings.token_type_embeddings.weight"] = (1 if roberta else 2, HIDDEN)
    norms = [f"{prefix}embeddings.LayerNorm"]
    for number in range(LAYERS):
        at = f"{prefix}{'transformer' if distil else 'encoder'}.layer.{number}."
        names = [at + name for name in (_DISTILBERT_LAYER if distil else _BERT_LAYER)]
        sizes = [(HIDDEN, HIDDEN)] * 4 + [(WIDE, HIDDEN), (HIDDEN, WIDE)]
        shapes |= {f"{name}.weight": size for name, size in zip(names, sizes, strict=True)}
        shapes |= {f"{name}.bias": size[:1] for name, size in zip(names, sizes, strict=True)}
        norms += [at + name for name in (("sa_layer_norm", "output_layer_norm") if distil
                                         else ("attention.output.LayerNorm", "output.LayerNorm"))]  # fmt: skip
    shapes |= {f"{norm}.{part}": (HIDDEN,) for norm in norms for part in ("weight", "bias")}
    linear: dict[str, tuple[int, int]] = {}
    if head == "TokenClassification":
        linear = {"classifier": (len(labels), HIDDEN)}
    elif head == "SequenceClassification":
        before = {"bert": "bert.pooler.dense", "distilbert": "pre_classifier"}.get(stem, "classifier.dense")
        after = "classifier.out_proj" if roberta else "classifier"
        linear = {before: (HIDDEN, HIDDEN), after: (len(labels), HIDDEN)}
    for name, size in linear.items():
        shapes |= {f"{name}.weight": size, f"{name}.bias": size[:1]}
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: _sines(name, shape) for name, shape in shapes.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    write_tokenizer(folder)
    sizes_of = (
        {"dim": HIDDEN, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": WIDE, "activation": "gelu"}
        if distil
        else {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
              "intermediate_size": WIDE, "hidden_act": "gelu", "layer_norm_eps": 1e-5 if roberta else 1e-12,
              "type_vocab_size": 1 if roberta else 2}
    )  # fmt: skip
    classes = {"bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta", "distilbert": "DistilBert"}
    write_config(
        folder, f"{classes[family]}{f'For{head}' if head else 'Model'}", labels,
        **{"model_type": family, "vocab_size": SIZE, "max_position_embeddings": PLACES, **sizes_of, **values},
    )  # fmt: skip
    return folder


def _sines(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Weights that depend on their name and place; those of a normalisation lie around 1."""
    count = int(np.prod(shape))
    start = sum(map(ord, name))
    norm = name.lower().endswith("norm.weight")
    made: NDArray[np.float32] = (np.sin(start + 1.7 * np.arange(1, count + 1)) * 0.8 + norm).astype(np.float32)
    return made.reshape(shape)
