"""Networks in safetensors of the BERT family, run by numpy.

BERT (Devlin et al. 2019), RoBERTa (Liu et al. 2019), XLM-RoBERTa (Conneau et al. 2020) and DistilBERT (Sanh et al.
2019) are one encoder under several names of its weights; the heads are those of the ``transformers`` library. Of any
other architecture the weights are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import GraderError
from evalkit_graders.local_model.config import ModelConfig
from evalkit_graders.local_model.encoding import Batch
from evalkit_graders.local_model.threads import model_threads

__all__ = ["NumpyNetwork"]

Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class _Family:
    """What the weights of an architecture are called."""

    prefix: str
    layer: str
    query: str
    key: str
    value: str
    mixed: str
    mixed_norm: str
    wide: str
    narrow: str
    narrow_norm: str
    activation: str = "hidden_act"
    layers: str = "num_hidden_layers"
    heads: str = "num_attention_heads"
    offset: bool = False
    """Whether positions begin after the padding token's."""


_BERT = _Family(
    "bert.", "encoder.layer.", "attention.self.query", "attention.self.key", "attention.self.value",
    "attention.output.dense", "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm",
)  # fmt: skip
_ROBERTA = _Family(
    "roberta.", _BERT.layer, _BERT.query, _BERT.key, _BERT.value, _BERT.mixed, _BERT.mixed_norm, _BERT.wide,
    _BERT.narrow, _BERT.narrow_norm, offset=True,
)  # fmt: skip
_DISTILBERT = _Family(
    "distilbert.", "transformer.layer.", "attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin",
    "sa_layer_norm", "ffn.lin1", "ffn.lin2", "output_layer_norm",
    activation="activation", layers="n_layers", heads="n_heads",
)  # fmt: skip
_FAMILIES = {"bert": _BERT, "roberta": _ROBERTA, "xlm-roberta": _ROBERTA, "distilbert": _DISTILBERT}


class NumpyNetwork:
    """An encoder with its head.

    Args:
        weights: A safetensors file.
        config: Its configuration.
        vocabulary: How many tokens the tokenizer has.

    Raises:
        GraderError: when the architecture is not one of those above, or weights are missing.
    """

    def __init__(self, weights: bytes, config: ModelConfig, vocabulary: int) -> None:
        self._family = _family(config)
        self._values = config.values
        self._weights = _load(weights)
        prefix = self._family.prefix
        self._prefix = prefix if any(name.startswith(prefix) for name in self._weights) else ""
        self._activate = _activation(str(self._values.get(self._family.activation, "gelu")))
        self._layers, self._heads = self._count(self._family.layers), self._count(self._family.heads)
        self._first = config.pad + 1 if self._family.offset else 0
        self._epsilon = float(self._values.get("layer_norm_eps", 1e-12))
        self._tokens = config.architecture.endswith("ForTokenClassification")
        self._classifies = config.architecture.endswith(("ForSequenceClassification", "ForTokenClassification"))
        self._name = config.architecture
        rows = self._encoder("embeddings.word_embeddings.weight").shape[0]
        if vocabulary > rows:
            raise GraderError(
                f"the tokenizer has {vocabulary:,} tokens and the model {rows:,}: they do not belong together"
            )

    def logits(self, batch: Batch) -> Floats:
        """Scores of labels: inputs x labels, or inputs x tokens x labels."""
        if not self._classifies:
            raise GraderError("the model is no classifier", key="architectures", value=self._name)
        with _limited():
            hidden = self._hidden(batch)
            if self._tokens:
                return self._linear(hidden, "classifier")
            first = hidden[:, 0]
            if self._family is _BERT:
                return self._linear(np.tanh(self._linear(first, f"{self._prefix}pooler.dense")), "classifier")
            if self._family is _DISTILBERT:
                return self._linear(np.maximum(self._linear(first, "pre_classifier"), 0), "classifier")
            return self._linear(np.tanh(self._linear(first, "classifier.dense")), "classifier.out_proj")

    def hidden(self, batch: Batch) -> Floats:
        """The last layer: inputs x tokens x size."""
        with _limited():
            return self._hidden(batch)

    def _hidden(self, batch: Batch) -> Floats:
        family = self._family
        places = np.cumsum(batch.mask, axis=1) * batch.mask + self._first - 1 if family.offset else np.arange(
            batch.ids.shape[1]
        )  # fmt: skip
        x = self._encoder("embeddings.word_embeddings.weight")[batch.ids]
        x = x + self._encoder("embeddings.position_embeddings.weight")[places]
        if family is not _DISTILBERT:
            kinds = self._encoder("embeddings.token_type_embeddings.weight")
            x = x + kinds[np.minimum(batch.kinds, 0) if family.offset else batch.kinds]
        x = self._norm(x, f"{self._prefix}embeddings.LayerNorm")
        masked = np.where(batch.mask[:, None, None, :] == 1, np.float32(0), np.finfo(np.float32).min)
        for number in range(self._layers):
            name = f"{self._prefix}{family.layer}{number}."
            x = self._norm(x + self._attend(x, masked, name), name + family.mixed_norm)
            wide = self._activate(self._linear(x, name + family.wide))
            x = self._norm(x + self._linear(wide, name + family.narrow), name + family.narrow_norm)
        return x

    def _attend(self, x: Floats, masked: Floats, name: str) -> Floats:
        """Attention of every token to those of its own input."""
        family, (inputs, tokens, size) = self._family, x.shape
        shape = (inputs, tokens, self._heads, size // self._heads)
        query, key, value = (
            self._linear(x, name + part).reshape(shape).transpose(0, 2, 1, 3)
            for part in (family.query, family.key, family.value)
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(shape[3])) + masked
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = (scores @ value).transpose(0, 2, 1, 3).reshape(inputs, tokens, size)
        return self._linear(mixed, name + family.mixed)

    def _norm(self, x: Floats, name: str) -> Floats:
        x = x - x.mean(axis=-1, keepdims=True)
        x /= np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + np.float32(self._epsilon))
        return x * self._weight(f"{name}.weight") + self._weight(f"{name}.bias")

    def _linear(self, x: Floats, name: str) -> Floats:
        return x @ self._weight(f"{name}.weight").T + self._weight(f"{name}.bias")

    def _encoder(self, name: str) -> Floats:
        return self._weight(self._prefix + name)

    def _weight(self, name: str) -> Floats:
        if name not in self._weights:
            raise GraderError("the file holds no such weights", key=name, fix="is config.json of this model?")
        return self._weights[name]

    def _count(self, key: str) -> int:
        value = self._values.get(key)
        if not (isinstance(value, int) and value > 0):
            raise GraderError("config.json does not say how many", key=key, value=value)
        return value


def _family(config: ModelConfig) -> _Family:
    family = _FAMILIES.get(config.family)
    known = ", ".join(_FAMILIES)
    if family is None:
        raise GraderError(
            "safetensors are run for a few architectures only",
            key="model_type", value=config.family,
            fix=f"those are {known}; export another to ONNX: optimum-cli export onnx --model NAME FOLDER",
        )  # fmt: skip
    places = config.values.get("position_embedding_type", "absolute")
    if places != "absolute" or config.values.get("is_decoder"):
        raise GraderError(
            "safetensors are run for encoders with absolute positions only",
            key="position_embedding_type", value=places,
            fix="export it to ONNX: optimum-cli export onnx --model NAME FOLDER",
        )  # fmt: skip
    return family


def _load(weights: bytes) -> Mapping[str, Floats]:
    import safetensors

    deserialize: Any = safetensors.deserialize
    try:
        tensors: list[tuple[str, dict[str, Any]]] = deserialize(weights)
    except Exception as error:  # only some have a class of their own  # noqa: BLE001
        raise GraderError(f"the weights are no safetensors: {str(error)[:300]}") from None
    return {name: found for name, tensor in tensors if (found := _floats(tensor)) is not None}


def _floats(tensor: Mapping[str, Any]) -> Floats | None:
    """A tensor as 32-bit floats; None for integers, which are no weights."""
    kind, data, shape = tensor["dtype"], tensor["data"], tensor["shape"]
    if kind == "BF16":  # the upper half of a 32-bit float
        return (np.frombuffer(data, dtype="<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    dtype = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}.get(kind)
    return None if dtype is None else np.frombuffer(data, dtype=dtype).astype(np.float32).reshape(shape)


def _activation(name: str) -> Callable[[Floats], Floats]:
    if name == "gelu":
        from scipy.special import erf

        return lambda x: x * np.float32(0.5) * (1 + erf(x / np.float32(np.sqrt(2))))
    if name in ("gelu_new", "gelu_pytorch_tanh"):
        factor = np.float32(np.sqrt(2 / np.pi))
        return lambda x: np.float32(0.5) * x * (1 + np.tanh(factor * (x + np.float32(0.044715) * x**3)))
    if name == "relu":
        return lambda x: np.maximum(x, 0)
    raise GraderError("no such activation function here", value=name, fix="gelu, gelu_new, gelu_pytorch_tanh, relu")


def _limited() -> Any:
    """Within it numpy's linear algebra uses no more threads than a model may."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=model_threads(), user_api="blas")
