"""Write calls against rewards, on runs made up in the format of the recorded ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit_graders.verification.tau_airline import VERIFICATION

CANCEL = {"name": "cancel_reservation", "kwargs": {"reservation_id": "AB12"}}
CERTIFICATE = {"name": "send_certificate", "kwargs": {"user_id": "u", "amount": 50}}
LOOK = {"name": "get_reservation_details", "kwargs": {"reservation_id": "AB12"}}


def run(task: int, wanted: list[Any], made: list[Any], reward: float) -> dict[str, Any]:
    return {
        "task_id": task, "trial": 0, "reward": reward, "instruction": "Cancel it.", "gt_actions": json.dumps(wanted),
        "pred_calls": json.dumps([{**call, "json_ok": True} for call in made]),
    }  # fmt: skip


def test_reads_and_the_order_of_writes_do_not_count(tmp_path: Path) -> None:
    rows = [
        run(0, [LOOK, CANCEL, CERTIFICATE], [CERTIFICATE, CANCEL], 1.0),
        run(1, [CANCEL], [LOOK, LOOK, CANCEL], 1.0),
        run(2, [CANCEL], [CANCEL, CANCEL], 0.0),
        run(3, [CANCEL], [LOOK], 0.0),
        run(4, [LOOK], [LOOK, CANCEL], 0.0),
        run(5, [LOOK], [], 1.0),
        run(6, [CERTIFICATE], [{**CERTIFICATE, "kwargs": {"user_id": "u", "amount": 60}}], 0.0),
        run(7, [CANCEL], [CANCEL], 0.0),
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / VERIFICATION.files[0])
    (found,) = VERIFICATION.measure(tmp_path)
    assert found.n == 8
    assert found.value == pytest.approx(7 / 8)
    assert (found.goal, found.low <= found.value <= found.high) == (0.93, True)
