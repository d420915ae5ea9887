"""Commands of selfedit in processes of their own, forked from one that has everything imported.

So a command costs what it does itself, not the seconds of its imports, and can be killed at any point
of its work. Nothing is mocked: the child has its own memory, files, limits and signals.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.faults.preloaded"])


@dataclass(frozen=True, slots=True)
class Setting:
    """What a command runs in. env: variables to set (None: to unset). limits: of `resource`. spare:
    bytes of memory (`ulimit -v`) above what it has when it begins.

    stdout: a file in place of the one that is read back. closed: descriptors closed before the start.
    before: a function of a module, called in the child first.
    """

    env: Mapping[str, str | None] = field(default_factory=dict)
    cwd: Path | None = None
    limits: Mapping[int, int] = field(default_factory=dict)
    spare: int | None = None
    stdin: str = os.devnull
    stdout: str | None = None
    closed: Sequence[int] = ()
    before: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """code: exit status; negative: ended by that signal. seconds: from the fork to the end."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def crashed(self) -> bool:
        """Whether it ended with a traceback."""
        return "Traceback (most recent call last)" in self.err


class Running:
    """A command on its way."""

    def __init__(self, args: Sequence[str], setting: Setting | None = None) -> None:
        self.began = time.monotonic()
        handle, name = tempfile.mkstemp(prefix="selfedit-faults-")
        os.close(handle)
        self._out, self._err, self._begun = Path(name), Path(f"{name}.err"), Path(f"{name}.begun")
        self._spent: float | None = None
        self.process: ForkServerProcess = _context.Process(
            target=_child,
            args=(list(args), setting or Setting(), str(self._out), str(self._err), str(self._begun)),
        )
        self.process.start()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def worked(self) -> float | None:
        """Seconds of processor time since its beginning; None: it has not begun or has ended."""
        if self._spent is None and (begun := _text(self._begun)):
            self._spent = float(begun)
        with suppress(OSError):  # ended
            clock = ~self.pid << 3 | 2  # the kernel's number for that process's clock
            return None if self._spent is None else time.clock_gettime(clock) - self._spent
        return None

    def kill(self, number: int, after: float) -> None:
        """Send a signal when it has worked so many seconds, whatever share of a processor it has. One
        that has ended by then gets none."""
        while self.process.is_alive():
            worked = self.worked()
            if worked is not None and worked >= after:
                os.kill(self.pid, number)
                return
            time.sleep(0.001)

    def work(self) -> float:
        """Seconds of processor time to its end."""
        last = 0.0
        while self.process.is_alive():
            last = self.worked() or last
            time.sleep(0.001)
        return last

    def said(self) -> str:
        """Its standard error until now."""
        return _text(self._err)

    def wait(self, seconds: float = 120.0) -> Ended:
        """Its end. A command that is not ended by then is killed, and is a failure."""
        self.process.join(seconds)
        late = self.process.is_alive()
        if late:
            os.kill(self.pid, signal.SIGABRT)  # `faulthandler` says where it was
            self.process.join(10)
            self.process.kill()
            self.process.join()
        code = self.process.exitcode
        out, err, _ = map(_taken, (self._out, self._err, self._begun))
        assert not late, f"still running after {seconds} s:\n{out}\n{err}"
        assert code is not None
        return Ended(code, out, err, time.monotonic() - self.began)


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.exists() else ""


def _taken(path: Path) -> str:
    text = _text(path)
    path.unlink(missing_ok=True)
    return text


def run(*args: str | Path, setting: Setting | None = None, seconds: float = 120.0) -> Ended:
    """One command, to its end."""
    return Running([str(arg) for arg in args], setting).wait(seconds)


def _child(args: Sequence[str], setting: Setting, out: str, err: str, begun: str) -> None:
    """The forked process: as if `selfedit ARGS` had been started in this setting."""
    for number, name, flags in (
        (0, setting.stdin, os.O_RDONLY),
        (1, setting.stdout or out, os.O_WRONLY | os.O_CREAT),
        (2, err, os.O_WRONLY | os.O_CREAT),
    ):
        opened = os.open(name, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    for name, value in setting.env.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if setting.cwd is not None:
        os.chdir(setting.cwd)
    for kind, limit in setting.limits.items():
        resource.setrlimit(kind, (limit, limit))
    for number in setting.closed:
        os.close(number)
    faulthandler.enable(file=2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # `nohup make torture` would have it ignored
    encoding = "ascii" if os.environ.get("LANG") == "C" else "utf-8"
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        stream = None
        if number not in setting.closed:
            mode = "r" if number == 0 else "w"
            errors = "strict" if name != "stderr" else "backslashreplace"
            stream = open(number, mode, encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.argv = ["selfedit", *args]
    Path(f"{begun}.tmp").write_text(str(time.process_time()))
    Path(f"{begun}.tmp").rename(begun)
    if setting.spare is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + setting.spare,) * 2)
    if setting.before is not None:
        setting.before()
    from selfedit.cli import main

    main()
