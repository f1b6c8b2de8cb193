"""The console of a command: results on stdout, messages on stderr, and the log of a run.

Either stream may be closed, full or gone at any moment. That stops no command and changes no exit
code, unless a result was asked for on stdout and is lost: then the code is 74 or a worse one.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

from batchgen.core.errors import BatchgenError, LocalIOError, ManifestError
from batchgen.core.events import Event
from batchgen.core.exit_codes import worst
from batchgen.core.lifecycle import JobRecord
from batchgen.core.run_settings import RunSettings
from batchgen.core.units import count_text
from batchgen.reports.event_log import EventLog
from batchgen.reports.progress import Progress, Tally, make_progress
from batchgen.reports.terminal import json_line, tame, visible

if TYPE_CHECKING:
    from batchgen.ports import Clock
    from batchgen.system.run_directory import RunDirectory


class GuardedStream:
    """stdout or stderr; writing to it never raises (protocol `TextStream`).

    Characters that its encoding does not have are replaced.
    """

    def __init__(self, stream: TextIO | None, *, in_one_piece: bool = False) -> None:
        """Guard a stream; None if it was closed before the process began.

        `in_one_piece`: after a loss nothing more is written, so that nothing is missing in between.
        """
        self._stream = stream
        self._in_one_piece = in_one_piece
        self.failure: OSError | None = None
        """The reason why something that was written here is lost."""
        if isinstance(stream, TextIOWrapper):
            with suppress(OSError, ValueError):
                stream.reconfigure(errors="replace")

    @property
    def encoding(self) -> str:
        """The encoding of what is written."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def write(self, text: str, /) -> int:
        """Write a text, if that is possible."""
        if not (self.failure and self._in_one_piece):
            self._try(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Hand over what was written, if that is possible."""
        if not (self.failure and self._in_one_piece):
            self._try(lambda stream: stream.flush())

    def isatty(self) -> bool:
        """Tell whether it is a terminal that is still there."""
        try:
            return self._stream is not None and self._stream.isatty()
        except (OSError, ValueError):
            return False

    def fileno(self) -> int:
        """Return its file descriptor. Raises OSError if there is none."""
        if self._stream is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._stream.fileno()

    def __getattr__(self, name: str) -> Any:
        """Everything else is that of the stream itself."""
        return getattr(self._stream, name)

    def close_broken(self) -> None:
        """Flush, and drop what cannot be written: the interpreter would try once more and fail."""
        if self._stream is None:
            return
        try:
            self._stream.flush()
        except ValueError:  # it is closed
            pass
        except OSError:
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def _try(self, act: Callable[[TextIO], object]) -> None:
        if self._stream is None:
            self.failure = OSError(errno.EBADF, "it is closed")
            return
        try:
            act(self._stream)
        except OSError as error:
            self.failure = error
        except ValueError as error:  # it was closed in this process
            self.failure = OSError(errno.EBADF, str(error))


class Console:
    """Prints results and messages; close it after use if it was given a log (`with`)."""

    def __init__(self, out: GuardedStream | None = None, err: GuardedStream | None = None) -> None:
        """Print to these streams, or to stdout and stderr."""
        self.out = out or GuardedStream(sys.stdout, in_one_piece=True)
        self.err = err or GuardedStream(sys.stderr)
        self.quiet = False
        self.verbosity = 0
        """How often `-v` is given."""
        self.wants_json = False
        """Whether the result is to be JSON, errors included."""
        self._owes_result = False
        self._log_file: EventLog | None = None
        self._json_log: EventLog | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._log_file is not None:
            self._log_file.close()

    def configure(self, settings: RunSettings, clock: Clock) -> None:
        """Print and log as the settings say; again once the manifest that has some is read.

        Raises `LocalIOError` if the log file cannot be opened.
        """
        self.verbosity = settings.verbose
        self.quiet, self.wants_json = settings.quiet, self.wants_json or settings.json
        if settings.log_file:
            if self._log_file is None:
                self._log_file = EventLog.to_file(
                    Path(settings.log_file), clock, on_broken=self._print,
                    max_bytes=settings.log_max_bytes,
                )  # fmt: skip
            self._log_file.as_json = settings.log_json
        elif settings.log_json:
            self._json_log = EventLog(self.err, clock, as_json=True, notes_only=self.quiet)

    def say(self, text: str) -> None:
        """Print a message that is good to know; not with `--quiet`."""
        self.log(text)
        if not self.quiet:
            self._print(text)

    def insist(self, text: str) -> None:
        """Print a message that the user has to know, also with `--quiet`."""
        self.log(text)
        self._print(text)

    def log(self, text: str) -> None:
        """Write a message to the log file only."""
        if self._log_file is not None:
            self._log_file.on_note(text)

    def print_lines(self, *lines: str) -> None:
        """Print the result that the command was asked for on stdout."""
        result = self.begin_result()
        for line in lines:
            result.write(_shown(line))

    def begin_result(self) -> GuardedStream:
        """Return stdout for the result that the command was asked for."""
        self._owes_result = True
        return self.out

    def print_json(self, value: object) -> None:
        """Print the result that the command was asked for, as one line of JSON."""
        self.print_lines(json_line(value, self.out.encoding))

    def confirm(self, *lines: str) -> None:
        """Print on stdout what was done; the work counts, so losing this text is not an error."""
        for line in lines:
            self.out.write(_shown(line))

    def print_error(self, error: BatchgenError, *, for_programs: bool = False) -> None:
        """Print why the command ended: on stderr as text or JSON, and with `--json` on stdout.

        Every problem of a manifest has a line of its own.
        """
        if for_programs or self._json_log is not None:
            self.err.write(json_line({"error": str(error)}, self.err.encoding) + "\n")
        elif isinstance(error, ManifestError):
            for line in str(error).splitlines():
                self.err.write(f"{tame(line)}\n")
            problems = count_text(error.total, "problem")
            self._print(f"{problems}; {error.consequence}{error.way_out}")
        else:
            for number, line in enumerate(str(error).splitlines() or [""]):
                self.err.write(f"{tame(line)}\n" if number else f"batchgen: {tame(line)}\n")
        self.err.flush()
        if self.wants_json:
            self.print_json(error.as_json())

    def is_result_lost(self) -> bool:
        """Tell whether a result was printed that did not reach the other end of stdout."""
        if self._owes_result:
            self.out.flush()
        return self._owes_result and self.out.failure is not None

    def end(self, code: int) -> int:
        """Hand over everything that was printed, and return the exit code of the process.

        A reader that has left, as `head` does, is not told so.
        """
        if self.is_result_lost():
            code = worst((code, LocalIOError.exit_code))
            failure = self.out.failure
            if failure is not None and failure.errno != errno.EPIPE:
                why = failure.strerror or failure
                self.err.write(f"batchgen: the result could not be written to stdout: {why}\n")
        self.out.close_broken()
        self.err.close_broken()
        return code

    def progress(
        self, tally: Tally, clock: Clock, directory: RunDirectory, *, is_dumb: bool = False
    ) -> RunObserver:
        """Return the observer that shows and logs what happens to the jobs of a run.

        `is_dumb`: the terminal cannot draw over a line.
        """
        shown = self._shown_progress(tally, clock, directory, is_dumb=is_dumb)
        return RunObserver(shown, self._log_file)

    def _shown_progress(
        self, tally: Tally, clock: Clock, directory: RunDirectory, *, is_dumb: bool
    ) -> ShownProgress:
        del directory  # a terminal needs no paths; `SilentConsole` hands out some
        return self._json_log or make_progress(
            tally, clock, self.err, quiet=self.quiet, is_dumb=is_dumb,
            names_jobs=self.verbosity > 0,
        )  # fmt: skip

    def _print(self, text: str) -> None:
        if self._json_log is not None:
            self._json_log.on_note(text)
        else:
            self.err.write(f"batchgen: {tame(text)}\n")
            self.err.flush()


def _shown(text: str) -> str:
    """Return one line or several for a stream that may be a terminal."""
    return "".join(f"{visible(line)}\n" for line in text.split("\n"))


class ShownProgress(Protocol):
    """A display of the progress of a run: a bar, lines, a log, or a program that reads jobs."""

    def on_event(self, job: str, event: Event, record: JobRecord) -> None:
        """Take an event."""
        ...

    def on_note(self, text: str) -> None:
        """Take a sentence for the user."""
        ...

    def close(self) -> None:
        """Show the last state."""
        ...


class RunObserver:
    """The progress on stderr and the log file as one (port `Observer`)."""

    def __init__(self, shown: ShownProgress, log: EventLog | None) -> None:
        self._shown = shown
        self._all = (shown,) if log is None else (shown, log)

    def on_event(self, job: str, event: Event, record: JobRecord) -> None:
        """Pass an event on to both."""
        for observer in self._all:
            observer.on_event(job, event, record)

    def on_note(self, text: str) -> None:
        """Pass a sentence on to both."""
        for observer in self._all:
            observer.on_note(text)

    @property
    def moves(self) -> bool:
        """True if `tick` is to be called once a second."""
        return isinstance(self._shown, Progress) and self._shown.moves

    def tick(self) -> None:
        """Show that time passes."""
        if isinstance(self._shown, Progress):
            self._shown.tick()

    def close(self) -> None:
        """Remove the progress; the log goes on to the end of the command."""
        self._shown.close()
