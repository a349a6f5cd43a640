"""What all graders with a local model are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from evalkit.errors import GraderError
from evalkit.grading import Grader
from evalkit_graders.local_model.files import ModelFiles, find_files

if TYPE_CHECKING:
    from evalkit_graders.local_model.config import ModelConfig
    from evalkit_graders.local_model.model import Model

__all__ = ["LocalModelGrader"]

_FEWEST_TOKENS = 16


@dataclass(frozen=True, kw_only=True)
class LocalModelGrader(Grader):
    """A grader that runs a model of its own, on the processor and without a network.

    Args:
        model: A folder with config.json, tokenizer.json and the weights, from where evalkit.yaml is; or with `revision`
            the name of a model on the Hugging Face hub.
        revision: The commit of a model on the hub, 40 hexadecimal digits; it is read from the hub's cache.
        file: The weights within the model: ONNX or safetensors. Empty for the first of model.onnx, onnx/model.onnx and
            model.safetensors.
        digest: The hash of the model's files. Where it is given, no other files are taken; where it is not, it is
            computed. It is part of the grader's fingerprint either way.
        download: Fetch what is not in the hub's cache yet.
        max_tokens: The longest input of the model, if the model itself takes no less.
        batch_size: Inputs at a time.
        max_inputs: The most inputs that one answer may make; with more, grading it is an error.
    """

    _files: ClassVar[ModelFiles]
    """Set for each grader when it is made; no parameter."""

    model: str
    revision: str = ""
    file: str = ""
    digest: str = ""
    download: bool = False
    max_tokens: int = 512
    batch_size: int = 16
    max_inputs: int = 2048

    def __post_init__(self) -> None:
        for key, least in (("max_tokens", _FEWEST_TOKENS), ("batch_size", 1), ("max_inputs", 1)):
            if getattr(self, key) < least:
                raise GraderError(f"at least {least}", key=self._key(key), value=getattr(self, key))
        found = find_files(self.model, self.revision, self.file, download=self.download, key=self._key())
        if self.digest and self.digest != found.digest:
            raise GraderError(
                "the files of the model are others than the ones meant",
                file=found.weights.parent, key=self._key("digest"), value=self.digest,
                fix=f"they are {found.digest}: get the right ones, or write this if these are",
            )  # fmt: skip
        object.__setattr__(self, "digest", found.digest)
        object.__setattr__(self, "_files", found)
        self._check(self._config(found))

    def _check(self, config: ModelConfig) -> None:
        """Raise where the model's configuration does not suit the grader."""

    def _open(self) -> Model:
        """The model, open.

        Raises:
            GraderError: when its files are not what they were when the grader was made, or are no model.
        """
        from evalkit_graders.local_model.model import open_model

        return open_model(self._files, self.max_tokens)

    def _bounded(self, inputs: int) -> None:
        if inputs > self.max_inputs:
            raise GraderError(
                f"the answer makes {inputs:,} inputs for the model, more than `max_inputs`",
                key=self._key("max_inputs"), value=self.max_inputs, fix="raise it, or use shorter sources",
            )  # fmt: skip

    def _key(self, parameter: str = "") -> str:
        where = f"graders.{self.name}.params"
        return f"{where}.{parameter}" if parameter else where

    @staticmethod
    def _config(files: ModelFiles) -> ModelConfig:
        from evalkit_graders.local_model.config import read_config

        return read_config(files.config.read_bytes(), files.config)
