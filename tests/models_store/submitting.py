"""Submits to a store without an intake: for the tests, as a module and as processes that get killed.

submitting.py ROOT loop PREFIX         publish for ever, a line per submission
submitting.py ROOT publish PREFIX N    publish N submissions, a line per submission
submitting.py ROOT collect             collect garbage for ever
submitting.py ROOT lease ID            hold a lease until standard input ends
submitting.py ROOT killed TASK         for every line N of standard input run TASK in a process that dies
                                       at its N-th file operation; answers "killed" or "done"
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from models_store import intake
from models_store.report import Checked, Converted, Report
from models_store.store import ModelsStore, Published

OPERATIONS = {
    *("open", "fcntl.flock", "os.chmod", "os.listdir", "os.mkdir", "os.remove", "os.rename", "os.rmdir"),
    *("os.scandir", "shutil.rmtree"),
}


def checked(scratch: Path, content: str, size_bytes: int = 1000) -> Checked:
    """What the intake would hand over: the weights differ with `content`, the rest is the same for all."""
    files = {role: scratch / role for role in ("weights", "config", "vocabulary")}
    files["weights"].write_bytes((content.encode() + b"\n") * (size_bytes // (len(content) + 1) + 1))
    files["config"].write_bytes(b"{}")
    files["vocabulary"].write_bytes(b"[]")
    recording = scratch / "reference.wav"
    recording.write_bytes(b"sound")
    converted = Converted("xtts", "v2", ("en", "de"), files, recording, duration_s=3.0)
    return Checked(Report("xtts", "v2", ("en", "de")), converted)


def publish(store: ModelsStore, name: str, content: str, size_bytes: int = 1000) -> Published:
    with store.scratch() as scratch:
        return store.publish(checked(scratch, content, size_bytes), name)


def publish_many(store: ModelsStore, prefix: str, count: int | None = None, name: str | None = None) -> None:
    for index in itertools.count() if count is None else range(count):
        content = f"{prefix}{index}"
        published = publish(store, name or f"{prefix}{index % 3}", content, size_bytes=100_000)
        print(published.submission.id, published.is_new, published.replaced_id, flush=True)


def stand_in_for_the_intake(replace: Callable[[object, str, object], None] = setattr) -> None:
    """Whatever is submitted from here on has been read, and is the same."""
    replace(intake, "read_submission", lambda path, scratch, *_: checked(scratch, "new", 10_000))


def run_killed(store: ModelsStore, task: str) -> None:
    """Forks, so that hundreds of points cost no interpreter start each."""
    print("ready", flush=True)
    for line in sys.stdin:
        if (pid := os.fork()) == 0:
            _die_at_operation(int(line))
            if task == "publish":
                publish(store, "new", "new", size_bytes=10_000)
            elif task == "try":
                stand_in_for_the_intake()
                with store.on_trial(Path()):
                    pass
            else:
                store.delete("old", force=True)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print("done" if status == 0 else "killed" if os.WIFSIGNALED(status) else "failed", flush=True)


def _die_at_operation(number: int) -> None:
    left = number

    def count_down(event: str, _: object) -> None:
        nonlocal left
        if event in OPERATIONS:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count_down)


def main() -> None:
    store, task, arguments = ModelsStore(Path(sys.argv[1])), sys.argv[2], sys.argv[3:]
    if task == "loop":
        publish_many(store, arguments[0])
    elif task == "publish":
        publish_many(store, arguments[0], int(arguments[1]))
    elif task == "move":
        publish_many(store, arguments[0], int(arguments[1]), arguments[2])
    elif task == "collect":
        while True:
            store.collect_garbage()
    elif task == "lease":
        with store.lease(arguments[0]):
            print("held", flush=True)
            sys.stdin.read()
    else:
        run_killed(store, arguments[0])


if __name__ == "__main__":
    main()
