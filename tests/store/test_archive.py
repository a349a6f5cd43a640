"""A baseline in one file: what goes along, that it is the same file each time, and that a hostile one gets nowhere."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit import codec
from evalkit.errors import StoreError, UsageError
from evalkit.store import Baselines, Runs
from evalkit.store.archive import ArchiveReader, Entry, Manifest, export_baselines, file_digest
from evalkit.store.importing import import_baselines
from tests.conftest import ProjectFolder
from tests.store.conftest import Judged


@pytest.fixture(scope="session")
def exported(judged: Judged, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The baseline of the judged project, exported."""
    file = tmp_path_factory.mktemp("exported") / "baseline.tar"
    export_baselines(judged.store, file, "main")
    return file


def listing(store: Path) -> dict[str, str]:
    """All files of a store but what belongs to the machine, with their digests."""
    machine = ("evalkit.duckdb", ".index", ".gitignore", "main.lock")
    return {
        str(path.relative_to(store)): file_digest(path)
        for path in sorted(store.rglob("*"))
        if path.is_file() and path.name not in machine
    }


def test_what_a_comparison_needs_goes_along_and_nothing_else(judged: Judged, exported: Path, tmp_path: Path) -> None:
    import_baselines(tmp_path / "store", exported, file_digest(exported))
    run_id = judged.baseline["candidate_run"]
    here, there = listing(judged.store), listing(tmp_path / "store")
    assert there == {name: here[name] for name in there}
    tops = {name.split("/")[0] for name in there}
    assert tops == {"baselines", "cases", "runs"}, "no verdicts, no journals, no catalogue"
    assert {name.split("/")[1] for name in there if name.startswith("runs/")} == {run_id}, "and no other run"
    assert Baselines(tmp_path / "store").all() == Baselines(judged.store).all()


def test_the_same_baseline_is_the_same_file_and_tar_reads_it(judged: Judged, exported: Path, tmp_path: Path) -> None:
    import_baselines(tmp_path / "store", exported)
    again = export_baselines(tmp_path / "store", tmp_path / "again.tar", "main")
    assert (tmp_path / "again.tar").read_bytes() == exported.read_bytes()
    assert again.sha256 == hashlib.sha256(exported.read_bytes()).hexdigest()
    names = subprocess.run(["tar", "tf", str(exported)], check=True, capture_output=True, text=True).stdout.split()
    assert names[0] == "manifest.json"
    assert names[1:] == sorted(names[1:])
    with tarfile.open(exported) as archive:
        assert {(member.uid, member.mtime, member.mode) for member in archive} == {(0, 0, 0o644)}


def test_importing_again_changes_nothing(exported: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert import_baselines(store, exported).new_runs == 1
    before = listing(store)
    assert import_baselines(store, exported).new_runs == 0
    assert listing(store) == before


def test_a_candidate_is_judged_against_what_was_imported(copied: ProjectFolder, exported: Path) -> None:
    shutil.rmtree(copied.path / ".evalkit")
    assert copied.run("baseline", "import", str(exported), "--sha256", file_digest(exported)).code == 0
    done = copied.run("run", "--format", "json", "--no-report")
    verdict = json.loads(done.out)["workflows"][0]
    assert (done.code, verdict["verdict"]) == (1, "BLOCKED"), "the prompt of the copy is the broken one"


def test_histories_are_joined_in_the_order_of_acceptance(copied: ProjectFolder, tmp_path: Path, exported: Path) -> None:
    elsewhere, here = tmp_path / "elsewhere", copied.path / ".evalkit"
    import_baselines(elsewhere, exported)
    second = Runs(here).get("latest")
    Baselines(here).accept("main", second.run, "wanted")
    done = import_baselines(here, exported)
    assert [entry.run_id for entry in done.baselines[0].history][-1] == second.run.run_id
    export_baselines(here, tmp_path / "both.tar", "main")
    assert list(import_baselines(elsewhere, tmp_path / "both.tar").baselines) == Baselines(here).all()
    one = export_baselines(here, tmp_path / "one.tar", "main", runs=1)
    assert one.runs == 1
    import_baselines(tmp_path / "third", tmp_path / "one.tar")
    assert [folder.run.run_id for folder in Runs(tmp_path / "third").all()] == [second.run.run_id]


def test_a_run_that_differs_is_never_overwritten(exported: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    import_baselines(store, exported)
    traces = next(store.glob("runs/*/traces.parquet"))
    traces.write_bytes(traces.read_bytes() + b"x")
    before = listing(store)
    with pytest.raises(StoreError, match="holds another"):
        import_baselines(store, exported)
    assert listing(store) == before
    assert not list((store / "partial").glob(".import-*")), "nothing is left lying about"


def test_what_is_missing_cannot_be_exported(copied: ProjectFolder, tmp_path: Path) -> None:
    store = copied.path / ".evalkit"
    with pytest.raises(UsageError, match="no baseline `prod`"):
        export_baselines(store, tmp_path / "x.tar", "prod")
    next(store.glob("cases/*.parquet")).unlink()
    with pytest.raises(StoreError, match="cases of run"):
        export_baselines(store, tmp_path / "x.tar", "main")
    shutil.rmtree(store / "runs" / Baselines(store).all()[0].history[-1].run_id)
    with pytest.raises(StoreError, match="not in the store"):
        export_baselines(store, tmp_path / "x.tar", "main")
    assert not (tmp_path / "x.tar").exists()


# ---- hostile archives


def refused(archive: Path, tmp_path: Path, sha256: str = "") -> str:
    """Import an archive that must be refused, and look that nothing came of it; says why."""
    store = tmp_path / "inside" / "store"
    with pytest.raises(StoreError) as raised:
        import_baselines(store, archive, sha256)
    assert not listing(store), "nothing was stored"
    outside = {path.name for path in tmp_path.rglob("*") if store not in path.parents}
    assert outside <= {"inside", "store", archive.name}, "and nothing was written elsewhere"
    return str(raised.value)


def packed(members: list[tuple[tarfile.TarInfo, bytes]], path: Path, form: int = tarfile.USTAR_FORMAT) -> Path:
    """A tar file as Python's own library writes it."""
    with tarfile.open(path, "w", format=form) as archive:
        for info, content in members:
            info.size = len(content) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(content))
    return path


def manifest_of(members: list[tuple[tarfile.TarInfo, bytes]]) -> tuple[tarfile.TarInfo, bytes]:
    entries = sorted((info.name, len(content), hashlib.sha256(content).hexdigest()) for info, content in members)
    return tarfile.TarInfo("manifest.json"), codec.encode(Manifest(tuple(Entry(*entry) for entry in entries)))


def link(name: str, target: str, kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


RUN = "runs/01JAAAAAAAAAAAAAAAAAAAAAAA"


@pytest.mark.parametrize(
    "path",
    [
        "../evil", "/etc/evil", "runs/../../evil", f"{RUN}/../../../evil.parquet", f"{RUN}/run.json\n", f"{RUN}/x.py",
        "baselines/../evil.json", "baselines/./evil.json", "baselines/a/b/c.json", "baselines/a\\b/../main.json",
        "cases/aaaaaaaaaaaaaaaa-bbbbbbbb.parquet/x", "evalkit.duckdb", "verdicts/x.json", ".gitignore", "",
        f"{RUN.lower()}/run.json", "partial/x/journal.jsonl", f"{RUN}/scores-../../x.parquet",
    ],
)  # fmt: skip
def test_a_path_that_leads_elsewhere_is_refused(path: str, tmp_path: Path) -> None:
    members = [(tarfile.TarInfo(path), b"{}")]
    archive = packed([manifest_of(members), *members], tmp_path / "hostile.tar")
    assert "not a baseline that can be imported" in refused(archive, tmp_path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_only_files_are_taken(kind: bytes, form: int, tmp_path: Path) -> None:
    bad = link(f"{RUN}/run.json", "/etc/passwd", kind)
    archive = packed([manifest_of([bad]), bad], tmp_path / "hostile.tar", form)
    assert "not a baseline that can be imported" in refused(archive, tmp_path)


def altered(exported: Path, target: Path, change: Callable[[bytearray], Any]) -> Path:
    content = bytearray(exported.read_bytes())
    change(content)
    target.write_bytes(content)
    return target


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.extend(b"\0" * 512),
        lambda content: content.__delitem__(slice(-512, None)),
        lambda content: content.__delitem__(slice(len(content) // 2, None)),
        lambda content: content.clear(),
        lambda content: content.__setitem__(slice(124, 136), b"77777777777\0"),
        lambda content: content.__setitem__(slice(124, 136), b"-0000000001\0"),
        lambda content: content.__setitem__(156, ord("x")),
    ],
    ids=["longer", "shorter", "cut", "empty", "huge manifest", "negative", "pax header"],
)
def test_a_file_that_was_cut_or_grew_is_refused(
    change: Callable[[bytearray], Any], exported: Path, tmp_path: Path
) -> None:
    assert "not a baseline" in refused(altered(exported, tmp_path / "hostile.tar", change), tmp_path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_byte_can_be_changed(data: st.DataObject, exported: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = bytearray(exported.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    folder = tmp_path_factory.mktemp("changed")
    (folder / "x.tar").write_bytes(content)
    with pytest.raises(StoreError), ArchiveReader(folder / "x.tar") as reader:
        reader.extract(folder / "out")


def test_the_digest_that_was_asked_for_counts(exported: Path, tmp_path: Path) -> None:
    assert "was expected" in refused(exported, tmp_path, "0" * 64)
    import_baselines(tmp_path / "store", exported, f"sha256:{file_digest(exported).upper()}")


def rewritten(exported: Path, folder: Path, change: Callable[[Path], Any]) -> Path:
    """An archive whose digests are right, of a store that was changed by hand."""
    with ArchiveReader(exported) as reader:
        reader.extract(folder / "made")
    change(folder / "made")
    files = sorted(path for path in (folder / "made").rglob("*") if path.is_file())
    members = [(tarfile.TarInfo(str(path.relative_to(folder / "made"))), path.read_bytes()) for path in files]
    members.sort(key=lambda member: member[0].name)
    shutil.rmtree(folder / "made")
    return packed([manifest_of(members), *members], folder / "hostile.tar")


def replace_text(pattern: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (file,) = root.glob(pattern)
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")

    return change


def moved(root: Path) -> None:
    (folder,) = root.glob("runs/*")
    folder.rename(folder.with_name("01JAAAAAAAAAAAAAAAAAAAAAAA"))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (moved, "not what its folder says"),
        (lambda root: next(root.glob("cases/*")).unlink(), "the cases of run"),
        (lambda root: next(root.glob("runs/*/scores-*")).unlink(), "no such segment"),
        (lambda root: next(root.glob("runs/*/traces.parquet")).write_bytes(b"PAR1"), "not a readable segment"),
        (lambda root: shutil.rmtree(root / "runs"), "stands on is missing"),
        (lambda root: shutil.rmtree(root / "baselines"), "it holds no baseline"),
        (replace_text("runs/*/run.json", '"trials":48', '"trials":47'), "does not have the 47 trials"),
        (replace_text("runs/*/run.json", '"workflow":"shop"', '"workflow":"other"'), "not of workflow shop"),
        (replace_text("baselines/*/*.json", '"name":"main"', '"name":"prod"'), "says that it is another"),
        (replace_text("baselines/*/*.json", '"run_id":"0', '"run_id":"../0'), "names what is no run"),
        (replace_text("baselines/*/*.json", '"history":[', '"history":[7,'), "does not read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_right_digests_of_wrong_content_are_refused(
    change: Callable[[Path], Any], why: str, exported: Path, tmp_path: Path
) -> None:
    assert why in refused(rewritten(exported, tmp_path, change), tmp_path)


def test_a_baseline_cannot_come_to_stand_on_a_run_that_is_not_there(exported: Path, tmp_path: Path) -> None:
    def change(root: Path) -> None:
        (file,) = root.glob("baselines/*/*.json")
        data = json.loads(file.read_text(encoding="utf-8"))
        later = {**data["history"][0], "run_id": "01JAAAAAAAAAAAAAAAAAAAAAAA", "accepted_us": 2**62}
        data["history"].insert(0, later)
        file.write_text(json.dumps(data), encoding="utf-8")

    assert "would stand on no run" in refused(rewritten(exported, tmp_path, change), tmp_path)
