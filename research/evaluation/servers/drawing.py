"""Pictures by one or many ComfyUI servers. What is lost with a server is drawn again; what is there, never.

On disk: `tasks.json`, `graph.json`, `pictures/00000.png`, and a line for each event in `journal.jsonl` (sent, drawn,
lost, failed), by which a stopped run knows what its servers may still be working at.
"""

import hashlib
import json
import os
import threading
import time
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

import requests
from tqdm import tqdm

from headless.client import Client, WorkflowError

from .holes import filled, names_in
from .protocols import Task

POLL = 0.25  # seconds between two looks at a server
MOST_ATTEMPTS = 2  # of a picture that fails
MOST_LOSSES = 4  # of a picture whose server goes away: it may be what ends them
HOPELESS = 5  # failures without one picture end the run


@dataclass
class Drawing:
    """One evaluation's pictures on disk.

    Attributes:
        picture: the node whose picture counts.
        in_flight: workflows that a server has at once: one runs, the others wait.
        patience: seconds after which others get what a server that does not answer had.
    """

    folder: Path
    graph: dict[str, dict]
    picture: str
    tasks: list[Task]
    in_flight: int = 2
    patience: float = 60.0
    todo: deque = field(default_factory=deque, init=False)
    failed: dict[int, str] = field(default_factory=dict, init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False)
    _attempts: Counter = field(default_factory=Counter, init=False)
    _losses: Counter = field(default_factory=Counter, init=False)
    _drawn: int = field(default=0, init=False)
    _stop: threading.Event = field(default_factory=threading.Event, init=False)

    def path(self, number: int) -> Path:
        return self.folder / "pictures" / f"{number:05d}.png"

    def run(self, addresses: list[str]) -> dict[int, str]:
        """Draw what is missing; returns what failed, task -> why.

        Raises ValueError: an address that does not answer, a folder of another evaluation, or nothing but failures.
        """
        clients = [Client(address.rstrip("/")) for address in addresses]
        for client in clients:
            refuse_silent(client)
        self._open()
        kept = self._still_known(clients)
        missing = [task for task in self.tasks if not self.path(task.number).exists()]
        taken = {number for each in kept for number in each.values()}
        self.todo = deque(task.number for task in missing if task.number not in taken)
        with tqdm(total=len(self.tasks), initial=len(self.tasks) - len(missing), unit="picture") as bar:
            workers = [
                threading.Thread(target=self._serve, args=(client, own, bar), daemon=True)
                for client, own in zip(clients, kept, strict=True)
            ]
            for worker in workers:
                worker.start()
            try:
                for worker in workers:
                    while worker.is_alive():
                        worker.join(0.5)
            except KeyboardInterrupt:
                self._stop.set()
                raise
        if not self._drawn and len(self.failed) >= min(HOPELESS, len(missing)) > 0:
            raise ValueError(f"No picture could be drawn. The first failed with: {next(iter(self.failed.values()))}")
        return self.failed

    def _open(self) -> None:
        """Write what is to be drawn, or see that the folder is of the same evaluation."""
        (self.folder / "pictures").mkdir(parents=True, exist_ok=True)
        for name, value in (("tasks", [task.row() for task in self.tasks]), ("graph", self.graph)):
            path = self.folder / f"{name}.json"
            if not path.exists():
                write_whole(path, json.dumps(value, ensure_ascii=False, indent=1).encode())
            elif json.loads(path.read_text(encoding="utf-8")) != value:
                raise ValueError(f"{self.folder} holds an evaluation with other {name}. Choose another --output.")

    def _still_known(self, clients: list[Client]) -> list[dict[str, int]]:
        """For each server what it was sent by a run that was stopped, and still has: prompt id -> task."""
        sent = {}
        for event in journal(self.folder):
            if event["event"] == "sent":
                sent[event["task"]] = event
            elif sent.get(event["task"], {}).get("id") == event.get("id"):
                sent.pop(event["task"], None)
        kept: list[dict[str, int]] = [{} for _ in clients]
        for number, event in sent.items():
            for client, own in zip(clients, kept, strict=True):
                if client.address == event["server"] and not self.path(number).exists():
                    own[event["id"]] = number
        return kept

    def _serve(self, client: Client, own: dict[str, int], bar: tqdm) -> None:
        """Keep one server busy until nothing is left that it could do."""
        worker = _Worker(self, client, own, bar)
        while not self._stop.is_set():
            if not worker.own and not self.todo:
                with self._lock:
                    if self._drawn_or_failed() >= len(self.tasks):
                        return
                time.sleep(POLL)  # what others have may come back
                continue
            worker.step()

    def _drawn_or_failed(self) -> int:
        return sum(task.number in self.failed or self.path(task.number).exists() for task in self.tasks)

    def take(self) -> int | None:
        with self._lock:
            return self.todo.popleft() if self.todo else None

    def note(self, event: str, number: int, **more: object) -> None:
        line = json.dumps({"event": event, "task": number, "time": round(time.time(), 2), **more}, ensure_ascii=False)
        with self._lock, open(self.folder / "journal.jsonl", "a", encoding="utf-8") as file:
            file.write(line + "\n")

    def keep(self, number: int, data: bytes, client: Client, prompt_id: str, bar: tqdm) -> None:
        """A picture that arrived whole."""
        with self._lock:
            if self.path(number).exists():
                return
            write_whole(self.path(number), data)
            self._drawn += 1
            self.note("drawn", number, server=client.address, id=prompt_id)
            bar.update()

    def lose(self, number: int, client: Client, prompt_id: str) -> None:
        """The server does not know the workflow any more: somebody draws it again, first of all."""
        with self._lock:
            self._losses[number] += 1
            self.note("lost", number, server=client.address, id=prompt_id)
            if self._losses[number] >= MOST_LOSSES:
                self.failed[number] = f"its server went away {MOST_LOSSES} times while it was drawn"
                self.note("failed", number, why=self.failed[number])
            else:
                self.todo.appendleft(number)

    def fail(self, number: int, why: str, client: Client, prompt_id: str, bar: tqdm) -> None:
        """A picture that the server could not draw: once more, later, and then no more."""
        with self._lock:
            self._attempts[number] += 1
            self.note("failed", number, server=client.address, id=prompt_id, why=why)
            if self._attempts[number] < MOST_ATTEMPTS:
                self.todo.append(number)
            else:
                self.failed[number] = why
                bar.set_postfix(failed=len(self.failed))
            if not self._drawn and len(self.failed) >= HOPELESS:
                self._stop.set()


class _Worker:
    """One server's share. `own`: what it has, prompt id -> task."""

    def __init__(self, drawing: Drawing, client: Client, own: dict[str, int], bar: tqdm):
        self.drawing, self.client, self.own, self.bar = drawing, client, dict(own), bar
        self.uploaded: dict[str, str] = {}
        self.given_away: set[str] = set()
        self.silent_since: float | None = None

    def step(self) -> None:
        try:
            if self.given_away:  # it answers again: others have these by now
                self.client.drop(self.given_away)
                self.given_away.clear()
            self._collect()
            self._send()
            self.silent_since = None
        except requests.RequestException:
            self._wait()
        time.sleep(POLL)

    def _wait(self) -> None:
        """It does not answer. Its pictures wait for it a while; then others draw them."""
        now = time.monotonic()
        self.uploaded.clear()  # it may come back as another
        self.silent_since = self.silent_since or now
        if now - self.silent_since > self.drawing.patience and self.own:
            for prompt_id, number in self.own.items():
                self.drawing.lose(number, self.client, prompt_id)
            self.given_away |= set(self.own)
            self.own.clear()

    def _collect(self) -> None:
        running, pending = self.client.waiting()  # before the history: what is in neither is lost
        for prompt_id, number in list(self.own.items()):
            if prompt_id in running | pending:
                continue
            try:
                result = self.client.result(prompt_id)
                if result is None:
                    del self.own[prompt_id]
                    self.drawing.lose(number, self.client, prompt_id)
                    continue
                data = self._picture(result)
            except WorkflowError as error:
                del self.own[prompt_id]
                self.drawing.fail(number, str(error), self.client, prompt_id, self.bar)
            else:
                self.drawing.keep(number, data, self.client, prompt_id, self.bar)
                del self.own[prompt_id]

    def _picture(self, result) -> bytes:
        import io

        try:
            images = result.images(self.drawing.picture)
        except (OSError, SyntaxError) as error:
            if isinstance(error, requests.RequestException) and error.response is None:
                raise  # the server went away while it sent
            raise WorkflowError({self.drawing.picture: "its picture could not be read"}) from error
        if not images:
            raise WorkflowError({self.drawing.picture: "it saved no picture"})
        file = io.BytesIO()
        images[0].convert("RGB").save(file, "PNG")
        return file.getvalue()

    def _send(self) -> None:
        while len(self.own) < self.drawing.in_flight and (number := self.drawing.take()) is not None:
            prompt_id, task = str(uuid.uuid4()), self.drawing.tasks[number]
            try:
                workflow = filled(self.drawing.graph, task.values() | self._files(task))
                self.drawing.note("sent", number, server=self.client.address, id=prompt_id)
                self.own[prompt_id] = number
                self.client.queue(workflow, prompt_id)
            except WorkflowError as error:
                del self.own[prompt_id]
                self.drawing.fail(number, str(error), self.client, prompt_id, self.bar)
            except requests.RequestException:
                if prompt_id not in self.own:  # nothing was sent
                    self.drawing.todo.appendleft(number)
                raise

    def _files(self, task: Task) -> dict[str, str]:
        """The photos as the server's Load Image calls them, uploaded once."""
        holes = names_in(self.drawing.graph)
        named = {}
        for kind, paths in (("reference", task.references), ("pose", task.poses)):
            for place, path in enumerate(paths, 1):
                if f"{kind}_{place}" in holes:
                    if path not in self.uploaded:
                        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
                        self.uploaded[path] = self.client.upload(Path(path), f"{digest}{Path(path).suffix}")
                    named[f"{kind}_{place}"] = self.uploaded[path]
        return named


def refuse_silent(client: Client) -> None:
    """Raises ValueError where no ComfyUI answers at an address."""
    try:
        requests.get(f"{client.address}/system_stats", timeout=10).raise_for_status()
    except (requests.RequestException, ValueError) as error:
        raise ValueError(
            f"No ComfyUI answers at {client.address} ({type(error).__name__}). Start it, or mend --server; expected "
            "something like http://127.0.0.1:8188."
        ) from error


def journal(folder: Path) -> list[dict]:
    """The events so far; a line that was cut off is left out."""
    path, events = folder / "journal.jsonl", []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events


def write_whole(path: Path, data: bytes) -> None:
    """All of it or nothing."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)
