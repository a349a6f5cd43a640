"""Graders that ask a classifier or an encoder which runs here: ONNX or safetensors, on the processor, offline.

The packages that it takes are the extra ``evalkit[models]``; nothing of them is imported before a model is opened.
"""

from evalkit_graders.local_model.groundedness import ModelGroundedness
from evalkit_graders.local_model.refusal import ModelRefusal
from evalkit_graders.local_model.similarity import ModelSimilarity

__all__ = ["ModelGroundedness", "ModelRefusal", "ModelSimilarity"]
