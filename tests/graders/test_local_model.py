"""A local model's files: where they are found, which they are, what is not read; and what the networks compute."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import huggingface_hub.file_download
import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file, save_file

from evalkit.errors import GraderError
from evalkit.grading import Grader, grader_ref, make_graders
from evalkit_graders.local_model.config import read_config
from evalkit_graders.local_model.encoding import TextEncoder, pad
from evalkit_graders.local_model.numpy_network import NumpyNetwork

from .made import case, score, trace
from .tiny_models import (
    PLACES,
    SIZE,
    cue_model,
    encoder_model,
    overlap_model,
    word_embeddings,
    write_config,
)

LABELS = ("entailment", "neutral")
SOURCE = "You can return the kettle within thirty days of delivery."
GOOD, BAD = "You can return the kettle within thirty days.", "The red kettle costs twelve euros."
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def made(model: str | Path, **params: Any) -> Grader:
    return make_graders([("model_groundedness", {"model": str(model), **params})])[0]


def value(model: Grader, answer: str = GOOD) -> float | None:
    return score(model, case(), trace(answer, documents=(SOURCE,))).value


def fault(model: Grader) -> str:
    found = score(model, case(), trace(GOOD, documents=(SOURCE,)))
    assert found.status == "error"
    return str(found.evidence["error"])


def test_the_digest_is_of_the_content_and_part_of_the_fingerprint(tmp_path: Path) -> None:
    folder = overlap_model(tmp_path / "a", LABELS)
    before = made(folder)
    assert grader_ref(made(folder)).fingerprint == grader_ref(before).fingerprint
    (overlap_model(tmp_path / "b", LABELS) / "README.md").write_text("not read", encoding="utf-8")
    assert made(tmp_path / "b").digest == before.digest  # type: ignore[attr-defined]
    for name in ("config.json", "tokenizer.json", "model.onnx"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content + b"\n")
        assert grader_ref(made(folder)).fingerprint != grader_ref(before).fingerprint, name
        (folder / name).write_bytes(content)
    assert grader_ref(made(folder)).fingerprint == grader_ref(before).fingerprint


def test_a_digest_that_is_given_is_required(tmp_path: Path) -> None:
    folder = overlap_model(tmp_path, LABELS)
    digest = made(folder).digest  # type: ignore[attr-defined]
    assert value(made(folder, digest=digest)) == pytest.approx(0.993307, abs=1e-6)
    write_config(folder, "BertForSequenceClassification", LABELS, note="another")
    with pytest.raises(GraderError, match="others than the ones meant"):
        made(folder, digest=digest)


def test_files_that_change_after_the_grader_was_made_are_not_graded_with(tmp_path: Path) -> None:
    folder = overlap_model(tmp_path, LABELS)
    grader = made(folder)
    write_config(folder, "BertForSequenceClassification", LABELS, note="another")
    assert "have changed" in fault(grader)


def test_a_relative_folder_is_one_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overlap_model(tmp_path / "models" / "nli", LABELS)
    (tmp_path / "evalkit.yaml").write_text("workflows: {}\n", encoding="utf-8")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    assert value(made("models/nli")) is not None


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.onnx"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    folder = overlap_model(tmp_path, LABELS)
    (folder / missing).unlink()
    with pytest.raises(GraderError) as caught:
        made(folder)
    assert missing in str(caught.value)


def test_a_missing_folder_may_be_meant_for_the_hub(tmp_path: Path) -> None:
    with pytest.raises(GraderError, match="no such folder") as caught:
        made("org/name")
    assert "`revision`" in (caught.value.fix or "")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "training_args.bin"])
def test_pickled_weights_are_refused(tmp_path: Path, name: str) -> None:
    folder = overlap_model(tmp_path, LABELS)
    (folder / "model.onnx").rename(folder / name)
    with pytest.raises(GraderError, match="can run code") as caught:
        made(folder)
    assert "onnx" in (caught.value.fix or "")
    with pytest.raises(GraderError, match="can run code"):
        made(folder, file=name)


def test_weights_in_several_files_are_refused(tmp_path: Path) -> None:
    folder = overlap_model(tmp_path, LABELS)
    (folder / "model.onnx").unlink()
    (folder / "model.safetensors.index.json").write_text("{}", encoding="utf-8")
    with pytest.raises(GraderError, match="in several files"):
        made(folder)


def test_the_file_of_the_weights_can_be_chosen(tmp_path: Path) -> None:
    folder = overlap_model(tmp_path, LABELS)
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / "onnx" / "model_quantized.onnx")
    with pytest.raises(GraderError, match="no weights"):
        made(folder)
    assert value(made(folder, file="onnx/model_quantized.onnx")) is not None
    (folder / "onnx" / "model_quantized.onnx").rename(folder / "onnx" / "model.onnx")
    assert value(made(folder)) is not None


def test_weights_beside_an_onnx_file_are_read_and_part_of_the_digest(tmp_path: Path) -> None:
    folder = overlap_model(tmp_path / "external", LABELS, external=True)
    assert (folder / "model.onnx_data").is_file()
    assert value(made(folder)) == value(made(overlap_model(tmp_path / "plain", LABELS)))
    before = made(folder).digest  # type: ignore[attr-defined]
    data = bytearray((folder / "model.onnx_data").read_bytes())
    data[-1] ^= 1
    (folder / "model.onnx_data").write_bytes(data)
    assert made(folder).digest != before  # type: ignore[attr-defined]


@pytest.mark.parametrize("others", [True, False])
def test_an_onnx_file_reads_no_file_that_is_not_in_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: bool
) -> None:
    folder = overlap_model(tmp_path, LABELS, external=True)
    network = onnx.load(str(folder / "model.onnx"), load_external_data=False)
    for tensor in network.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "elsewhere"
    (folder / "elsewhere").write_bytes((folder / "model.onnx_data").read_bytes())
    (folder / "model.onnx").write_bytes(network.SerializeToString())
    if not others:
        (folder / "model.onnx_data").unlink()
    monkeypatch.chdir(folder)
    assert "elsewhere" in fault(made(folder))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tokenizer.json", b"{}", "no tokenizer"),
        ("model.onnx", b"nonsense", "cannot load"),
    ],
)
def test_a_damaged_file_is_an_error_row(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    folder = overlap_model(tmp_path, LABELS)
    (folder / name).write_bytes(content)
    assert said in fault(made(folder))


@pytest.mark.parametrize("content", ["{", "[]", '{"id2label": {"1": "entailment"}}', '{"id2label": {"a": "b"}}'])
def test_a_damaged_configuration_is_refused_when_the_grader_is_made(tmp_path: Path, content: str) -> None:
    folder = overlap_model(tmp_path, LABELS)
    (folder / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(GraderError) as caught:
        made(folder)
    assert "config.json" in str(caught.value)


def test_an_input_that_a_tokenizer_does_not_make_is_refused(tmp_path: Path) -> None:
    folder = cue_model(tmp_path, LABELS, {"sorry": 1.0})
    network = onnx.load(str(folder / "model.onnx"))
    network.graph.input[0].name = "pixel_values"
    network.graph.node[0].input[1] = "pixel_values"
    (folder / "model.onnx").write_bytes(network.SerializeToString())
    assert "pixel_values" in fault(made(folder))


def test_a_network_that_computes_nothing_finite_is_an_error(tmp_path: Path) -> None:
    folder = word_embeddings(tmp_path, np.full((SIZE, 4), np.nan, np.float32))
    similar = make_graders([("model_similarity", {"model": str(folder), "threshold": 0.5})])[0]
    found = score(similar, case(answer="red"), trace("blue"))
    assert found.status == "error"
    assert "not finite" in found.evidence["error"]


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers"])
def test_without_the_extra_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    folder = overlap_model(tmp_path, LABELS)
    monkeypatch.setattr("evalkit_graders.local_model.files.find_spec", lambda name: None if name == package else 1)
    with pytest.raises(GraderError, match=package) as caught:
        made(folder)
    assert caught.value.fix == "pip install 'evalkit[models]'"


def test_the_classes_are_listed_without_the_extra() -> None:
    program = """
import sys
class Refuse:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] in {"onnxruntime", "tokenizers", "safetensors", "huggingface_hub", "threadpoolctl"}:
            raise AssertionError(name)
sys.meta_path.insert(0, Refuse())
from evalkit.grading.discover import describe
from evalkit_graders.local_model import ModelGroundedness, ModelRefusal, ModelSimilarity
print([describe(kind)[0] for kind in (ModelGroundedness, ModelRefusal, ModelSimilarity)])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("'required'") == 3


@pytest.mark.parametrize("threads", ["0", "many", "-1", "²"])
def test_threads_are_counted_from_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: str) -> None:
    monkeypatch.setenv("EVALKIT_MODEL_THREADS", threads)
    assert "counted from 1" in fault(made(overlap_model(tmp_path, LABELS)))


def test_threads_do_not_change_the_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = encoder_model(tmp_path, "bert", "SequenceClassification", LABELS)
    one = value(made(folder))
    monkeypatch.setenv("EVALKIT_MODEL_THREADS", "2")
    assert value(made(folder)) == one


# ---- safetensors: what transformers computes with the same weights

RECORDED: dict[str, list[list[float]]] = {
    "bert": [[-1.356813, -1.129012, 1.213683], [-1.376601, -1.12475, 1.237832]],
    "roberta": [[0.581547, 1.067495, 0.323558], [0.580016, 1.069537, 0.32718]],
    "xlm-roberta": [[0.581547, 1.067495, 0.323558], [0.580016, 1.069537, 0.32718]],
    "distilbert": [[-3.3097, 0.394118, 4.725353], [-3.23133, 0.461853, 4.716304]],
}
"""Logits of transformers 5.23.0 on torch 2.15.0: ``AutoModelForSequenceClassification.from_pretrained`` of the folder
that :func:`encoder_model` writes, with the ids, masks and token types (BERT) of the two pairs below as one batch."""
RECORDED_TOKENS: dict[str, list[list[float]]] = {
    "bert": [
        [-3.359155, 0.823985, 5.214738],
        [-3.352882, 0.849213, 5.234284],
        [-3.381676, 1.125861, 5.546200],
        [-3.364260, 1.015242, 5.415576],
        [-3.359214, 0.955793, 5.349690],
        [-3.363155, 1.056908, 5.457114],
        [-3.353337, 0.972129, 5.360532],
        [-3.351441, 0.865770, 5.249787],
        [-3.359954, 0.972790, 5.367826],
        [-3.366025, 1.034597, 5.437148],
    ],
    "roberta": [
        [-5.395540, -4.108646, 2.203030],
        [-5.383468, -4.515772, 1.774302],
        [-5.377550, -4.485316, 1.799553],
        [-5.410500, -4.235849, 2.087808],
        [-5.408674, -4.237874, 2.083910],
        [-5.367716, -4.390285, 1.886973],
        [-5.195068, -4.775012, 1.320592],
        [-5.409142, -4.237407, 2.084856],
        [-5.386508, -4.531420, 1.761325],
        [-5.384800, -4.521496, 1.769774],
    ],
    "xlm-roberta": [
        [-5.395540, -4.108646, 2.203030],
        [-5.383468, -4.515772, 1.774302],
        [-5.377550, -4.485316, 1.799553],
        [-5.410500, -4.235849, 2.087808],
        [-5.408674, -4.237874, 2.083910],
        [-5.367716, -4.390285, 1.886973],
        [-5.195068, -4.775012, 1.320592],
        [-5.409142, -4.237407, 2.084856],
        [-5.386508, -4.531420, 1.761325],
        [-5.384800, -4.521496, 1.769774],
    ],
    "distilbert": [
        [5.857993, -0.119480, -4.967960],
        [5.850015, -0.138270, -4.979212],
        [5.003445, -1.399609, -5.423506],
        [4.994314, -1.410010, -5.425018],
        [4.738610, -1.693206, -5.459142],
        [4.573254, -1.900649, -5.506084],
        [4.582185, -1.963788, -5.579631],
        [4.937934, -1.566958, -5.529260],
        [4.776872, -1.660627, -5.464061],
        [4.875360, -1.531980, -5.430892],
    ],
}
"""The same by ``AutoModelForTokenClassification``, of the second pair."""
PAIRS = (("You can return the kettle", "within thirty days"), ("The red kettle", "costs twelve euros ."))


def network_of(folder: Path) -> tuple[NumpyNetwork, TextEncoder]:
    config = read_config((folder / "config.json").read_bytes(), folder / "config.json")
    encoder = TextEncoder((folder / "tokenizer.json").read_bytes(), PLACES - 1)
    return NumpyNetwork((folder / "model.safetensors").read_bytes(), config, encoder.vocabulary), encoder


def logits_of(folder: Path, pairs: Sequence[tuple[str, str]] = PAIRS) -> Any:
    network, encoder = network_of(folder)
    return network.logits(pad([encoder.pair(*(encoder.pieces(text, 20)[0] for text in pair)) for pair in pairs], 0))


@pytest.mark.parametrize("family", RECORDED)
def test_pairs_are_classified_as_transformers_does(tmp_path: Path, family: str) -> None:
    folder = encoder_model(tmp_path, family, "SequenceClassification", ("a", "b", "c"))
    assert logits_of(folder) == pytest.approx(np.array(RECORDED[family]), abs=1e-5)


@pytest.mark.parametrize("family", RECORDED)
def test_tokens_are_classified_as_transformers_does(tmp_path: Path, family: str) -> None:
    """Of the second pair, which is filled up, the tokens of its own."""
    folder = encoder_model(tmp_path, family, "TokenClassification", ("a", "b", "c"))
    assert logits_of(folder)[1, :10] == pytest.approx(np.array(RECORDED_TOKENS[family]), abs=1e-5)


@pytest.mark.parametrize(("kind", "close"), [("F16", 2e-2), ("BF16", 1e-1), ("F64", 1e-6)])
def test_weights_of_other_precision_are_read(tmp_path: Path, kind: str, close: float) -> None:
    folder = encoder_model(tmp_path, "bert", "SequenceClassification", ("a", "b", "c"))
    before = logits_of(folder)
    weights = load_file(folder / "model.safetensors")
    if kind == "BF16":
        _write_bfloat16(folder / "model.safetensors", weights)
    else:
        dtype = {"F16": np.float16, "F64": np.float64}[kind]
        save_file({name: tensor.astype(dtype) for name, tensor in weights.items()}, folder / "model.safetensors")
    assert logits_of(folder) == pytest.approx(before, abs=close)


def _write_bfloat16(path: Path, weights: dict[str, Any]) -> None:
    """By the format's description: the length of the header, the header, the upper halves of the floats."""
    header, data = {}, b""
    for name, tensor in weights.items():
        half = (np.ascontiguousarray(tensor, dtype="<f4").view("<u4") >> 16).astype("<u2").tobytes()
        header[name] = {"dtype": "BF16", "shape": tensor.shape, "data_offsets": [len(data), len(data) + len(half)]}
        data += half
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model_type": "deberta-v2"}, "deberta-v2"),
        ({"position_embedding_type": "relative_key"}, "absolute"),
        ({"is_decoder": True}, "encoders"),
        ({"hidden_act": "swish"}, "swish"),
        ({"num_hidden_layers": 3}, "encoder.layer.2"),
        ({"num_attention_heads": None}, "num_attention_heads"),
    ],
)
def test_an_architecture_that_is_not_run_is_refused(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    folder = encoder_model(tmp_path, "bert", "SequenceClassification", LABELS, **values)
    assert said in fault(made(folder))


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = encoder_model(tmp_path, "bert", "SequenceClassification", LABELS)
    weights = load_file(folder / "model.safetensors")
    weights["bert.embeddings.word_embeddings.weight"] = weights["bert.embeddings.word_embeddings.weight"][:-3]
    save_file(weights, folder / "model.safetensors")
    assert "do not belong together" in fault(made(folder))


def test_damaged_safetensors_are_an_error_row(tmp_path: Path) -> None:
    folder = encoder_model(tmp_path, "bert", "SequenceClassification", LABELS)
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    assert "no safetensors" in fault(made(folder))


def test_no_input_is_longer_than_the_model_has_places_for(tmp_path: Path) -> None:
    """512 tokens are the default, and this one has 24 places."""
    for family in RECORDED:
        folder = encoder_model(tmp_path / family, family, "SequenceClassification", LABELS)
        found = score(made(folder), case(), trace(GOOD * 5, documents=(SOURCE * 9,)))
        assert found.status == "ok", (family, found.evidence)


# ---- the hub


@dataclass
class Hub:
    """A hub of one repository on this machine."""

    files: dict[str, bytes]
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    folder = overlap_model(tmp_path / "made", LABELS, external=True)
    repository = Hub({path.name: path.read_bytes() for path in folder.iterdir()} | {"pytorch_model.bin": b"pickled"})

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.wfile.write(self.answer())

        def answer(self) -> bytes:
            repository.asked.append(self.path)
            start = f"/org/name/resolve/{COMMIT}/"
            shown = self.path.startswith(start)
            content = repository.files.get(self.path.removeprefix(start)) if shown else None
            self.send_response(200 if content is not None else 404 if shown else 401)
            self.send_header("X-Repo-Commit", COMMIT)
            if content is None:
                self.send_header("X-Error-Code", "EntryNotFound" if shown else "RepoNotFound")
            self.send_header("ETag", f'"{abs(hash(self.path))}"')
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            return content or b""

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    reach(monkeypatch, server.server_address[1], tmp_path / "cache")
    yield repository
    server.shutdown()
    server.server_close()


def reach(monkeypatch: pytest.MonkeyPatch, port: int, cache: Path) -> None:
    address = f"http://127.0.0.1:{port}"
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)


def test_a_model_of_the_hub_is_fetched_where_that_is_asked_for_and_then_read_offline(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(GraderError, match="cache of the hub") as caught:
        made("org/name", revision=COMMIT)
    assert hub.asked == [], "offline unless asked"
    assert f"hf download org/name config.json tokenizer.json model.onnx --revision {COMMIT}" in (caught.value.fix or "")
    fetched = made("org/name", revision=COMMIT, download=True)
    assert all(path.startswith(f"/org/name/resolve/{COMMIT}/") for path in hub.asked), "nothing but the model's files"
    assert value(fetched) == pytest.approx(0.993307, abs=1e-6)
    assert fetched.digest == made(tmp_path / "made").digest  # type: ignore[attr-defined]
    hub.asked.clear()
    offline = made("org/name", revision=COMMIT)
    assert value(offline) == value(fetched)
    assert hub.asked == []


def test_nothing_pickled_is_fetched(hub: Hub) -> None:
    del hub.files["model.onnx"]
    with pytest.raises(GraderError, match=r"no model\.onnx"):
        made("org/name", revision=COMMIT, download=True)
    assert not any(path.endswith(".bin") for path in hub.asked)


def test_a_hub_that_cannot_be_reached_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reach(monkeypatch, 9, tmp_path)
    # the hub's own switch; without it the library tries for half a minute
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(GraderError, match="the hub does not give"):
        made("org/name", revision=COMMIT, download=True)


def test_a_repository_that_the_hub_does_not_show_is_said(hub: Hub) -> None:
    with pytest.raises(GraderError, match="the hub does not give") as caught:
        made("org/other", revision=COMMIT, download=True)
    assert "HF_TOKEN" in (caught.value.fix or "")


@pytest.mark.parametrize("name", ["no such name!", "a/b/c"])
def test_a_name_that_no_repository_can_have_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    reach(monkeypatch, 9, tmp_path)
    with pytest.raises(GraderError, match="the hub does not give"):
        made(name, revision=COMMIT)


@pytest.mark.parametrize("revision", ["main", "v1", COMMIT[:12], COMMIT.upper()])
def test_a_revision_that_can_move_is_refused(revision: str) -> None:
    with pytest.raises(GraderError, match="can move"):
        made("org/name", revision=revision, download=True)
