"""The JSON schema, the badge, growth curves, and the example for continuous integration."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from profiles import FAST
from saver_conformance import SaverSpec, run
from saver_conformance.capability import Capability, since
from saver_conformance.growth import growth_table, measure
from saver_conformance.reference import ReferenceSaver
from saver_conformance.report_data import ReportData
from saver_conformance.reports import as_badge, as_json, json_schema

if TYPE_CHECKING:
    from saver_conformance.result import Report

_README = Path(__file__).parents[1] / "README.md"


class _NoLimit(ReferenceSaver):
    def list(self, config: Any, **narrowing: Any) -> Any:
        narrowing.pop("limit", None)
        return super().list(config, **narrowing)


def _report(saver: type[ReferenceSaver], **claims: Any) -> Report:
    spec = SaverSpec(name="mine", open=lambda path: saver(), **claims)
    return run(spec, profile=FAST, seed=0, only=["list.limit", "put.config", "reopen"])


def test_json_report_has_the_form_of_its_schema() -> None:
    broken = SaverSpec(name="broken", open=lambda path: 42)
    unopened = run(broken, profile=FAST, seed=0, only=["get"])
    reports = [_report(_NoLimit), _report(ReferenceSaver), unopened]
    written = json.loads(as_json(reports))
    adapter = TypeAdapter(list[ReportData])
    # Validation drops unknown keys, so an equal result shows that every key is declared.
    assert adapter.validate_python(written, strict=True) == written
    assert json.loads(json_schema()) == adapter.json_schema()
    with pytest.raises(ValidationError, match="ok"):
        adapter.validate_python([{k: v for k, v in written[0].items() if k != "ok"}])


def test_schema_command_prints_the_schema() -> None:
    command = [sys.executable, "-m", "saver_conformance", "schema"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == json_schema()


@pytest.mark.parametrize(
    ("reports", "text"),
    [
        ([_report(ReferenceSaver)], "4 passed"),
        ([_report(_NoLimit)], "2 passed, 1 failed"),
        ([_report(_NoLimit, known_failures={"list.limit": "no"})], "2 passed, 1 known failures"),
        ([_report(ReferenceSaver, known_failures={"list.limti": "no"})], "4 passed, 1 failed"),
    ],
)
def test_badge_has_the_counts(reports: list[Report], text: str) -> None:
    image = ET.fromstring(as_badge(reports))
    shown = [e.text for e in image.iter() if e.tag.endswith("}text")]
    assert shown == ["saver conformance", text]


def test_growth_of_a_saver_that_keeps_every_checkpoint_in_one_file(tmp_path: Path) -> None:
    spec = SaverSpec.on_disk("disk", lambda path, serde=None: ReferenceSaver(path, serde=serde))
    few, many = measure(spec, [2, 60])
    assert (few.checkpoints, many.checkpoints) == (2, 60)
    assert many.size > few.size > 0
    table = growth_table([few, many]).splitlines()
    assert [line.split("  ")[0] for line in table] == [
        "checkpoints",
        "put",
        "put_writes",
        "get latest",
        "list 10",
        "size of the store",
    ]


def test_release_of_a_clause_is_the_latest_of_its_methods() -> None:
    assert since([Capability.PUT]) == "1.0.0"
    assert since([Capability.PUT, Capability.DELETE_THREAD, Capability.PRUNE]) == "4.0.1"
    assert since([Capability.PRUNE, Capability.DELTA_HISTORY]) == "4.1.0"


def test_ci_example_runs_a_valid_command(tmp_path: Path) -> None:
    [block] = re.findall(r"```yaml\n(.*?)```", _README.read_text(), re.DOTALL)
    steps = yaml.safe_load(block)["jobs"]["conformance"]["steps"]
    [command] = [s["run"] for s in steps if s.get("run", "").startswith("saver-conformance check")]
    (tmp_path / "my_spec.py").write_text(
        "from saver_conformance.specs.reference import memory as spec"
    )
    arguments = [*shlex.split(command)[1:], "--only", "get.unknown"]
    done = subprocess.run(
        [sys.executable, "-m", "saver_conformance", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    [uploaded] = [s["with"]["path"] for s in steps if "upload-artifact" in s.get("uses", "")]
    assert {path.name for path in tmp_path.iterdir()} >= set(uploaded.split())
