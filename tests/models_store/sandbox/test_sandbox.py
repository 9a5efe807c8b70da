"""The sandboxed process can do its task and nothing else; whatever becomes of it is an error that says so."""

from __future__ import annotations

import errno
import importlib.util
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models_store.sandbox import Outcome, ResourceLimits, SandboxFailure, run_confined
from models_store.sandbox.confinement import (
    KILL_PROCESS,
    MACHINES,
    Machine,
    filter_instructions,
    filter_system_calls,
)
from models_store.sandbox.events import Confined
from models_store.sandbox.launcher import missing_parts

TASKS = Path(__file__).with_name("tasks.py")
ALLOWED, REFUSED = 0x7FFF_0000, 0x0005_0001
LIMITS = {"memory_bytes": 512 << 20, "cpu_s": 20, "file_bytes": 1 << 20, "timeout_s": 60.0}


def attempts() -> list[str]:
    spec = importlib.util.spec_from_file_location("tasks", TASKS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.ATTEMPTS)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    monkeypatch.syspath_prepend(TASKS.parent)

    def run(
        function: str, *, inputs: Any = None, outputs: Any = None, progress: Any = None, **changes: Any
    ) -> Outcome:
        limits = {key: changes.pop(key, value) for key, value in LIMITS.items()}
        return run_confined(
            f"tasks:{function}",
            inputs=inputs or {},
            outputs=outputs or {},
            arguments=changes,
            limits=ResourceLimits(**limits),
            progress=progress,
        )

    return run


@pytest.mark.parametrize("what", attempts())
def test_nothing_but_the_task_is_possible(what: str, run: Callable[..., Outcome]) -> None:
    outcome = run("attempt", what=what)
    if any("system call filter" in part for part in outcome.missing):
        pytest.skip(f"this kernel grants {outcome.missing}")
    assert outcome.result.startswith("refused")


def test_task_reads_and_writes_what_it_was_handed(run: Callable[..., Outcome], tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"abc")
    heard: list[tuple[int, int]] = []
    outcome = run(
        "work",
        inputs={"source": source},
        outputs={"target": target},
        progress=lambda done, total: heard.append((done, total)),
    )
    assert outcome.result == {"sum": sum(b"abc")}
    assert target.read_bytes() == b"bcd"
    assert heard[0] == (0, 10)
    assert heard[-1] == (10, 10)
    assert 0 < outcome.peak_rss_bytes < 200 << 20


def test_environment_and_modules_stay_outside(
    run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICECORE_API_KEY", "secret")
    around = run("look_around").result
    assert not [name for name in around["environment"] if "KEY" in name or name in ("HOME", "PATH")]
    assert "torch" not in around["modules"]  # two seconds and 200 MB


@pytest.mark.parametrize(
    ("function", "changes", "found"),
    [
        pytest.param("allocate", {}, "more memory than allowed", id="memory"),
        pytest.param("spin", {"cpu_s": 1}, "more processor time than allowed", id="processor time"),
        pytest.param("sleep", {"timeout_s": 1.0}, "longer than allowed", id="time"),
        pytest.param("crash", {}, "crashed", id="crash"),
        pytest.param("fail", {}, "ValueError: no such thing", id="exception"),
        pytest.param("leave", {}, "status 3", id="exit"),
        pytest.param("report_much", {}, "reported more than allowed", id="report"),
    ],
)
def test_every_end_is_named(
    function: str, changes: dict[str, Any], found: str, run: Callable[..., Outcome]
) -> None:
    with pytest.raises(SandboxFailure) as failure:
        run(function, **changes)
    assert found in failure.value.found


def test_output_beyond_the_limit_is_refused(run: Callable[..., Outcome], tmp_path: Path) -> None:
    with pytest.raises(SandboxFailure, match=r"File too large|wrote more"):
        run("write_much", outputs={"target": tmp_path / "target"})
    assert (tmp_path / "target").stat().st_size <= LIMITS["file_bytes"]


def test_full_disk_is_not_the_task_s_fault(run: Callable[..., Outcome]) -> None:
    with pytest.raises(OSError, match="No space left") as full:
        run("fill_disk")
    assert full.value.errno == errno.ENOSPC


def test_garbled_report_is_a_failure(run: Callable[..., Outcome]) -> None:
    with pytest.raises(SandboxFailure, match="garbled its report"):
        run("garble")


def test_chatter_neither_blocks_nor_leaks(
    run: Callable[..., Outcome], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("chatter").result == "said it"
    assert capfd.readouterr() == ("", "")


def test_what_progress_raises_ends_the_process(run: Callable[..., Outcome]) -> None:
    def cancel(done: int, total: int) -> None:
        raise InterruptedError("the client has gone")

    started = time.monotonic()
    with pytest.raises(InterruptedError):
        run("sleep", progress=cancel)
    assert time.monotonic() - started < 20  # the task sleeps for 30 s


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_only_regular_files_are_handed_over(kind: str, run: Callable[..., Outcome], tmp_path: Path) -> None:
    path = tmp_path / "source"
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(OSError, match=r"source"):
        run("work", inputs={"source": path}, outputs={"target": tmp_path / "target"})


# The filter of a machine that the tests don't run on is interpreted.

LOAD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06


def interpret(program: bytes, number: int, architecture: int, third_argument: int = 0) -> int:
    """Run classic BPF on struct seccomp_data."""
    data = struct.pack("<IIQQQQ", number, architecture, 0, 0, 0, third_argument)
    instructions = [struct.unpack_from("=HBBI", program, i) for i in range(0, len(program), 8)]
    accumulator, position = 0, 0
    while True:
        code, if_true, if_false, operand = instructions[position]
        position += 1
        if code == RETURN:
            return operand
        if code == LOAD:
            (accumulator,) = struct.unpack_from("<I", data, operand)
            continue
        holds = {
            JUMP_EQUAL: accumulator == operand,
            JUMP_AT_LEAST: accumulator >= operand,
            JUMP_ANY_BIT: bool(accumulator & operand),
        }[code]
        position += if_true if holds else if_false


# asm/unistd.h: socket connect openat execve clone clone3 ptrace kill unlinkat mount setuid io_uring_setup ...
FORBIDDEN = {
    "x86_64": (41, 42, 257, 59, 56, 435, 101, 62, 263, 165, 105, 425, 2, 57, 58),
    "aarch64": (198, 203, 56, 221, 220, 435, 117, 129, 35, 40, 146, 425),
}
READ = {"x86_64": 0, "aarch64": 63}


@pytest.mark.parametrize("name", MACHINES)
def test_filter_of_every_machine(name: str) -> None:
    machine: Machine = MACHINES[name]
    program = filter_instructions(machine)
    own = machine.audit_architecture
    assert interpret(program, READ[name], own) == ALLOWED
    assert {interpret(program, number, own) for number in FORBIDDEN[name]} == {REFUSED}
    assert interpret(program, READ[name], 0x4000_0003) == KILL_PROCESS  # i386 calls on x86-64
    for number in machine.memory:
        assert interpret(program, number, own, third_argument=3) == ALLOWED
        assert interpret(program, number, own, third_argument=5) == REFUSED
    if machine.first_foreign < 1 << 32:
        assert interpret(program, machine.first_foreign, own) == KILL_PROCESS


def test_other_machines_say_that_there_is_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert filter_system_calls() == "no list of system calls for riscv64"


@pytest.mark.parametrize(
    ("confined", "missing"),
    [
        (Confined(network=None, system_calls=None), ()),
        # The filter alone leaves no network: what most containers grant is enough.
        (Confined(network="Operation not permitted", system_calls=None), ()),
        (
            Confined(network=None, system_calls="Invalid argument"),
            ("no system call filter (Invalid argument)",),
        ),
        (Confined(network="a", system_calls="b"), ("no system call filter (b)", "no network namespace (a)")),
    ],
)
def test_only_what_counts_is_missed(confined: Confined, missing: tuple[str, ...]) -> None:
    assert missing_parts(confined) == missing
