"""A model that is open: texts in, probabilities or embeddings out, in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import GraderError
from evalkit_graders.local_model.config import ModelConfig, read_config
from evalkit_graders.local_model.encoding import Batch, TextEncoder, pad
from evalkit_graders.local_model.files import ModelFiles, read

if TYPE_CHECKING:
    from tokenizers import Encoding

__all__ = ["Model", "open_model"]

Floats: TypeAlias = NDArray[np.float64]
_OPEN = Lock()


class Network(Protocol):
    """A network, whatever runs it."""

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """Scores of labels: inputs x labels, or inputs x tokens x labels."""
        ...

    def hidden(self, batch: Batch) -> NDArray[np.float32]:
        """The last layer: inputs x tokens x size."""
        ...


class Model:
    """A network with its tokenizer and its labels."""

    def __init__(self, network: Network, encoder: TextEncoder, config: ModelConfig) -> None:
        self._network = network
        self.encoder = encoder
        self.config = config

    def probabilities(self, inputs: Sequence[Encoding], batch_size: int) -> list[Floats]:
        """Of each input the probability of every label: labels, or tokens x labels.

        A model with one label says how probable it is, one with several which of them it is.

        Raises:
            GraderError: when the network's output does not fit its labels.
        """
        return [_probabilities(found) for found in self._in_batches(self._network.logits, inputs, batch_size, (2, 3))]

    def hidden(self, inputs: Sequence[Encoding], batch_size: int) -> list[Floats]:
        """Of each input the last layer: tokens x size.

        Raises:
            GraderError: when the network gives no such thing.
        """
        return self._in_batches(self._network.hidden, inputs, batch_size, (3,))

    def _in_batches(
        self,
        run: Callable[[Batch], NDArray[np.float32]],
        inputs: Sequence[Encoding],
        batch_size: int,
        ranks: tuple[int, ...],
    ) -> list[Floats]:
        """Inputs of like length together, so that little is filled up; results in the order of the inputs."""
        order = sorted(range(len(inputs)), key=lambda place: len(inputs[place]))
        found: dict[int, Floats] = {}
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            batch = pad([inputs[place] for place in places], self.config.pad)
            result = run(batch)
            labels = len(self.config.labels)
            fits = result.ndim in ranks and result.shape[: result.ndim - 1] == batch.ids.shape[: result.ndim - 1]
            if not fits or (len(ranks) > 1 and result.shape[-1] != labels):
                raise GraderError(
                    "the network's output does not fit: "
                    + (f"{labels} labels are named" if len(ranks) > 1 else "a vector for each token is needed"),
                    value=result.shape,
                )
            if not np.isfinite(result).all():
                raise GraderError("the network computed numbers that are not finite")
            for row, place in enumerate(places):
                whole = result[row].astype(np.float64)
                found[place] = whole[: len(inputs[place])] if result.ndim == 3 else whole
        return [found[place] for place in range(len(inputs))]


def _probabilities(logits: Floats) -> Floats:
    if logits.shape[-1] == 1:
        return 1 / (1 + np.exp(-np.clip(logits, -700, 700)))
    powers: Floats = np.exp(logits - logits.max(axis=-1, keepdims=True))
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers


def open_model(files: ModelFiles, max_tokens: int) -> Model:
    """Open a model; the last few stay open, for every grader of the process that uses them.

    Raises:
        GraderError: when its files are not what they were when the grader was made, or are no model.
    """
    with _OPEN:
        return _opened(files, max_tokens)


@lru_cache(maxsize=4)
def _opened(files: ModelFiles, max_tokens: int) -> Model:
    content, digest = read(files)
    if digest != files.digest:
        raise GraderError("the files of the model have changed while evalkit runs", file=files.weights.parent)
    config = read_config(content["config"], files.config)
    encoder = TextEncoder(content["tokenizer"], min(max_tokens, config.max_tokens or max_tokens))
    try:
        network = _network(content, config, encoder)
    except GraderError as error:
        error.file = error.file or str(files.weights)
        raise
    return Model(network, encoder, config)


def _network(content: dict[str, bytes], config: ModelConfig, encoder: TextEncoder) -> Network:
    if "safetensors" in content:
        from evalkit_graders.local_model.numpy_network import NumpyNetwork

        return NumpyNetwork(content["safetensors"], config, encoder.vocabulary)
    from evalkit_graders.local_model.onnx_network import OnnxNetwork

    beside = {role.removeprefix("external "): data for role, data in content.items() if role.startswith("external ")}
    return OnnxNetwork(content["onnx"], beside)
