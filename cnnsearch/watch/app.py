"""The full-screen view of a study."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.widgets import Static

from cnnsearch.records import State, Trial
from cnnsearch.render.output import Line
from cnnsearch.render.text import one_line
from cnnsearch.study.following import Points
from cnnsearch.watch import texts
from cnnsearch.watch.ordering import ordered, orders
from cnnsearch.watch.reader import Defect, News, Reader, Seen, Unread
from cnnsearch.watch.standing import Standing
from cnnsearch.watch.stopping import Answer, Sender, Wanted
from cnnsearch.watch.widgets import Curves, Listing, Page, Question, as_text

INTERRUPTED = 130
_PARENT_S = 0.2
_SAID_S = 8.0
# From so many columns on the ranking stands beside the curves.
_WIDE = 110
_CSS = """
Screen { background: ansi_default; color: ansi_default; }
ModalScreen { background: transparent; align: left bottom; }
Page { background: ansi_default; align: left top; }
#head { height: auto; text-wrap: nowrap; text-overflow: ellipsis; }

#running { height: 2; }
#below { height: 1fr; layout: vertical; }
#curves { height: 3fr; min-height: 5; }
#ranking { height: 2fr; }
.-wide #below { layout: horizontal; }
.-wide #curves { width: 2fr; height: 100%; }
.-wide #ranking { width: 3fr; height: 100%; margin-left: 1; }
#message { height: auto; max-height: 3; display: none; }
#keys { height: 1; text-wrap: nowrap; text-overflow: clip; }
Listing { text-wrap: nowrap; text-overflow: ellipsis; }
Curves { text-wrap: nowrap; text-overflow: clip; }
"""


@dataclass(frozen=True, slots=True)
class Source:
    """What is watched.

    Args:
        study: its full name.
        chain: go on with the next stage of its chain when it is over.
        of: the process whose search it is, where that shows the view: Ctrl-C is for it.
    """

    storage: str
    study: str
    chain: bool = False
    of: int | None = None


class Told(Message):
    """News of the reader, or of the sender."""

    def __init__(self, news: News | Answer) -> None:
        super().__init__()
        self.news = news


class Watch(App[int]):
    """The view; its result is the exit code."""

    ENABLE_COMMAND_PALETTE = False
    CSS = _CSS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave(0)"),
        Binding("ctrl+c", "interrupt", priority=True),
        Binding("s", "sort"),
        Binding("r", "reverse"),
        Binding("space,m", "mark"),
        Binding("c", "compare"),
        Binding("x", "stop"),
        Binding("X", "stop_all"),
        Binding("question_mark,h,f1", "help"),
    ]

    def __init__(self, source: Source, utf8: bool) -> None:
        super().__init__(ansi_color=True)  # the terminal's own colours
        self.HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]
        self._source = source
        self._utf8 = utf8
        self._reader = Reader(source.storage, source.study, self._hear, source.chain)
        self._sender = Sender(source.storage, self._hear)
        self._sending: list[Wanted] = []
        self._leaves = False
        self._seen: Seen | None = None
        self._trials: dict[int, Trial] = {}
        self._order, self._backwards = "rank", False
        self._marked: list[int] = []
        self._comparing = False
        self._answer = ""
        self._unread = ""
        self.interrupts = 0
        """How often Ctrl-C was pressed in a view that `run` shows."""

    def compose(self) -> ComposeResult:
        """What is wanted first stands first."""
        yield Static(id="head")
        yield Listing("running")
        with Container(id="below"):
            yield Curves(self._utf8)
            yield Listing("ranking")
        yield Static(id="message")
        yield Static(texts.KEYS, id="keys", markup=False)

    def on_mount(self) -> None:
        """Begin to read."""
        if not self._utf8:  # of which the ellipsis is no part
            for part in (self.query_one("#head"), *self.query(Listing)):
                part.styles.text_overflow = "clip"
        self.query_one("#head", Static).update(f"{self._source.study}: reading ...")
        self.query_one("#running").display = False
        self.query_one("#ranking").focus()
        loop = asyncio.get_running_loop()
        # Signals sent by others: the terminal is given back as it was.
        loop.add_signal_handler(signal.SIGTERM, self._leave, 128 + signal.SIGTERM)
        if self._source.of is None:
            loop.add_signal_handler(signal.SIGINT, self.action_interrupt)
        else:
            self.set_interval(_PARENT_S, self._look_for_parent)
        self._reader.start()
        self._sender.start()

    def on_unmount(self) -> None:
        """Read no more."""
        self._reader.close()

    def on_resize(self) -> None:
        """Fit what is shown to the terminal."""
        self._show()

    def _say(self, text: str) -> None:
        """Show a line for a while."""
        self._answer = text
        if text:
            self.set_timer(_SAID_S, lambda: self._unsay(text))
        self._show()

    def _unsay(self, text: str) -> None:
        if self._answer == text:
            self._say("")

    def _hear(self, news: News | Answer) -> None:
        self.post_message(Told(news))

    def on_told(self, message: Told) -> None:
        """Show what the reader saw, or what became of a request."""
        news = message.news
        if isinstance(news, Defect):
            raise news.error
        if isinstance(news, Answer):
            self._sending.pop(0)
            self._leaves = False
            self._say(news.text)
            self._reader.look_now()
            return
        if isinstance(news, Unread):
            self._unread = f"cannot be read now, tried again: {one_line(news.reason)}"
        else:
            self._unread = ""
            self._take(news)
        self._show()

    def _take(self, seen: Seen) -> None:
        before = self._seen
        self._seen = seen
        if before is None or before.standing.tally is not seen.standing.tally:
            if before is not None and before.snapshot.study != seen.snapshot.study:
                self._marked, self._comparing = [], False
            self._trials = {trial.number: trial for trial in seen.snapshot.trials}
            self._sort()

    def _show(self) -> None:
        """Draw everything anew."""
        said = next(self.query("#message").results(Static), None)
        if said is None:
            return  # news that come while the screen is taken down
        asking = [f"asking to {wanted.what} ..." for wanted in self._sending[:1]]
        lines = [line for line in (self._unread, *asking, self._answer) if line]
        said.display = bool(lines)
        said.update(as_text([[(one_line(line), "bold")] for line in lines]))
        if self._seen is None:
            return
        now = self._seen.standing
        head = texts.head_lines(now, self._utf8, self.size.width)
        self.query_one("#head", Static).update(as_text(head))
        self._show_running(now)
        self._show_curves(self._seen)

    def _show_running(self, now: Standing) -> None:
        listing = self.query_one("#running", Listing)
        rows = {one.trial.number: one for one in now.running}
        listing.display = bool(rows)
        listing.styles.height = 1 + min(len(rows), max(3, self.size.height // 8))
        if not rows and listing.has_focus:
            self.query_one("#ranking").focus()

        def cells(number: int) -> Line:
            return texts.running_cells(rows[number], now, self._utf8)

        listing.fill(list(rows), texts.running_header(now), cells, self._marked)

    def _sort(self) -> None:
        assert self._seen is not None
        now = self._seen.standing
        points = [trial for trial in now.tally.points if trial.state is not State.RUNNING]
        rows = ordered(points, self._order, now.direction, self._backwards)
        header = texts.ranking_header(now)
        names = [name.removeprefix("params.") for name in (self._order, "trial", "value")]
        shown = {"newest": names[1], "rank": names[2], "seconds": "time"}
        arrow = shown.get(self._order, names[0])
        signs = "v^" if self._backwards else "^v"
        down = self._order in ("newest", "rank", "value")
        header = [f"{name} {signs[down]}" if name == arrow else name for name in header]

        def cells(number: int) -> Line:
            return texts.ranking_cells(self._trials[number], now)

        self.query_one("#ranking", Listing).fill(rows, header, cells, self._marked)

    def _show_curves(self, seen: Seen) -> None:
        now = seen.standing
        best = now.tally.best
        self._reader.want(self._marked)
        if self._comparing:
            numbers = list(self._marked)
            hint = texts.compare_hint(now.study, numbers)
        else:
            numbers = [best.number] if best else []
            numbers += [one.trial.number for one in now.running]
            hint = texts.FOLDS_HINT if now.running and now.steps == "fold" else ""
        labels = {best.number: f"best, {best.number}"} if best and not self._comparing else {}
        curves = [(labels.get(n, str(n)), self._points(seen, n)) for n in numbers]
        self.query_one(Curves).draw(now.objective, curves, hint)

    @staticmethod
    def _points(seen: Seen, number: int) -> Points:
        # What is reported after folds is no curve by epoch.
        running = {} if seen.standing.steps == "fold" else seen.snapshot.reports
        return seen.curves.get(number) or running.get(number, ())

    def _listing(self) -> Listing:
        """The list that has the keys."""
        running = self.query_one("#running", Listing)
        # The list itself hears of it later than the next key, where keys come at once.
        return running if self.focused is running else self.query_one("#ranking", Listing)

    def action_sort(self) -> None:
        """Sort by the next column."""
        if self._seen is not None:
            names = orders(self._seen.standing.parameters)
            self._order = names[(names.index(self._order) + 1) % len(names)]
            self._backwards = False
            self._sort()

    def action_reverse(self) -> None:
        """Turn the order round."""
        if self._seen is not None:
            self._backwards = not self._backwards
            self._sort()

    def action_mark(self) -> None:
        """Mark the chosen trial, or take its mark away."""
        chosen = self._listing().window.chosen
        said = ""
        if chosen in self._marked:
            self._marked.remove(chosen)
        elif chosen is not None and len(self._marked) < texts.MOST_CURVES:
            self._marked.append(chosen)
        elif chosen is not None:
            said = f"{texts.MOST_CURVES} trials are marked; the curves of more look alike"
        self._comparing = self._comparing and bool(self._marked)
        self._listing().refresh()
        self._say(said)

    def action_compare(self) -> None:
        """Show the curves of the marked trials, or again those of what runs."""
        self._comparing = bool(self._marked) and not self._comparing
        self._say("" if self._marked else "mark trials with space, then compare them")

    def action_stop(self) -> None:
        """Ask to stop the chosen running trial."""
        number = self._listing().window.chosen
        running = () if self._seen is None else self._seen.standing.running
        if number is not None and any(one.trial.number == number for one in running):
            assert self._seen is not None
            question = f"Stop trial {number} after its current epoch?"
            self._ask(question, Wanted(self._seen.standing.study, (number,)))
        elif running:
            self.query_one("#running").focus()
            self._say("choose a running trial with the arrows, then press x again")
        else:
            self._say("no trial is running")

    def action_stop_all(self) -> None:
        """Ask to end the search."""
        if self._seen is not None and self._seen.snapshot.held:
            question = "End the search when the running trials have ended?"
            self._ask(question, Wanted(self._seen.standing.study))
        elif self._seen is not None and self._seen.standing.next_expected:
            self._say("the next stage has not begun; press X again once it runs")
        else:
            self._say("nobody runs it")

    def _ask(self, question: str, wanted: Wanted) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self._sending.append(wanted)
                self._sender.ask(wanted)
            self._say("")

        self.push_screen(Question(question), answered)

    def action_help(self) -> None:
        """Tell the keys."""
        child = self._source.of is not None
        interrupt = "ends the search in order; twice at once" if child else "quit"
        leave = "close the view; the search goes on" if child else "quit"
        self.push_screen(Page(texts.HELP.format(interrupt=interrupt, leave=leave)))

    def action_interrupt(self) -> None:
        """Of a view that `run` shows, what Ctrl-C does to `run`; else leave."""
        parent = self._source.of
        if parent is None:
            self._leave(INTERRUPTED)
            return
        self.interrupts += 1
        if self.interrupts > 1:  # it ends on the spot: the terminal has to be given back before
            self._leave(INTERRUPTED)
            return
        _send(parent)
        self._say("the search ends in order; Ctrl-C again ends it at once")

    def action_leave(self, code: int) -> None:
        """Close the view; a request that is on its way would be lost."""
        if self._sending and not self._leaves:
            self._leaves = True
            self._say("wait for what is being asked, or press q again to leave without it")
            return
        self._leave(code)

    def _leave(self, code: int) -> None:
        if self.return_code is None:  # what it was left by first counts
            self.exit(code)

    def _look_for_parent(self) -> None:
        if os.getppid() != self._source.of:
            self._leave(0)


def _send(process: int) -> None:
    try:
        os.kill(process, signal.SIGINT)
    except ProcessLookupError:  # it has just ended
        return


def show(source: Source, utf8: bool) -> int:
    """Show the view until it is left; the exit code."""
    # Without its terminal it has no use, also where nohup has SIGHUP ignored: it would look for
    # keys again and again.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    app = Watch(source, utf8)
    code = app.run(mouse=False)
    if source.of is not None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends, and tells how it was left
    if source.of is not None and app.interrupts > 1:
        _send(source.of)
    return app.return_code or 0 if code is None else code
