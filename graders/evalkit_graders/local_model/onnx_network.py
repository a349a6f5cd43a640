"""Networks in ONNX, run by ONNX Runtime on the processor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import GraderError
from evalkit_graders.local_model.encoding import Batch
from evalkit_graders.local_model.threads import model_threads

__all__ = ["OnnxNetwork"]

_INTEGERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_HIDDEN = ("last_hidden_state", "token_embeddings")


class OnnxNetwork:
    """An exported transformer.

    Args:
        weights: The ONNX file.
        external: The files that it names, by name. It can name no other: nothing else is read from the disk.

    Raises:
        GraderError: when it cannot be loaded, or wants inputs that a tokenizer does not make.
    """

    def __init__(self, weights: bytes, external: Mapping[str, bytes]) -> None:
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = model_threads()
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = 4
        # with a table, even of nothing of use, files that it does not hold are refused and not looked for on the disk
        table = dict(external) or {"none": b"\0"}
        options.add_external_initializers_from_files_in_memory(
            list(table), list(table.values()), [len(data) for data in table.values()]
        )
        try:
            self._session: Any = onnxruntime.InferenceSession(
                weights, sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # there is no class for all of them  # noqa: BLE001
            raise GraderError(f"ONNX Runtime cannot load the model: {str(error)[:300]}") from None
        self._inputs: list[tuple[str, Any]] = []
        for given in self._session.get_inputs():
            if given.name not in ("input_ids", "attention_mask", "token_type_ids") or given.type not in _INTEGERS:
                raise GraderError(
                    "the model wants an input that a tokenizer does not make",
                    value=f"{given.name}: {given.type}",
                    fix="export it for sequence classification, token classification or feature extraction",
                )
            self._inputs.append((given.name, _INTEGERS[given.type]))

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """Scores of labels: inputs x labels, or inputs x tokens x labels."""
        return self._run(batch, ("logits",))

    def hidden(self, batch: Batch) -> NDArray[np.float32]:
        """The last layer: inputs x tokens x size."""
        return self._run(batch, _HIDDEN)

    def _run(self, batch: Batch, wanted: Sequence[str]) -> NDArray[np.float32]:
        names = [output.name for output in self._session.get_outputs()]
        name = next((name for name in wanted if name in names), names[0] if len(names) == 1 else None)
        if name is None:
            raise GraderError(f"the model has no output {' or '.join(wanted)}", value=", ".join(names))
        of = {"input_ids": batch.ids, "attention_mask": batch.mask, "token_type_ids": batch.kinds}
        inputs = {name: of[name].astype(kind, copy=False) for name, kind in self._inputs}
        try:
            result = self._session.run([name], inputs)[0]
        except Exception as error:  # as above  # noqa: BLE001
            raise GraderError(f"ONNX Runtime cannot run the model: {str(error)[:300]}") from None
        return np.asarray(result, dtype=np.float32)
