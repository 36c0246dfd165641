"""The trials that need a server: random graphs, interrupts, many runs of one graph."""

import copy
import io
import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

import numpy as np
import psutil
import requests
from PIL import Image

from ..client import Workflow
from ..server import PACK, Server
from .graphs import QUICK_STEPS, Graphs
from .outcome import GOOD, Kind, Outcome, queue, run, wait

PLAIN_EVERY = 25  # graphs
PLAIN_NODES = ("load", "prompt", "negative", "latent", "sample", "decode", "save")


@dataclass
class Report:
    """What a trial found. `bad` holds every outcome that should not be, with what makes it again."""

    trial: str
    counts: Counter = field(default_factory=Counter)
    bad: list[dict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, outcome: Outcome, **how) -> None:
        self.counts[outcome.kind.value] += 1
        if outcome.kind not in GOOD:
            self.bad.append({"kind": outcome.kind.value, "said": outcome.said[:2000], **how})

    def text(self) -> str:
        return json.dumps({**asdict(self), "counts": dict(self.counts)}, indent=1, ensure_ascii=False)


def random_graphs(server: Server, seed: int, numbers: range) -> Report:
    """Every graph ends in a picture or in a sentence, and a plain graph in between is bit-identical."""
    report = Report("random graphs")
    graphs = Graphs(requests.get(f"{server.address}/object_info", timeout=120).json())
    plain, before = _plain(server)
    for count, number in enumerate(numbers, 1):
        graph, changed = graphs.graph(seed, number)
        outcome = run(server.address, graph)
        report.note(outcome, seed=seed, number=number, changed=changed)
        if outcome.kind is Kind.LOST:
            break
        if count % PLAIN_EVERY == 0 or count == len(numbers):
            _still_plain(server, plain, before, report, after=number)
    return report


def interrupts(server: Server, seed: int, count: int) -> Report:
    """A run is interrupted somewhere; the next plain graph is bit-identical, and nothing is lost."""
    report = Report("interrupts")
    rng = np.random.default_rng(seed)
    plain, before = _plain(server)
    graph = _shipped("two_people_miniature", steps=12)
    for number in range(count):
        graph["sample"]["inputs"]["seed"] = int(rng.integers(1 << 30))
        prompt_id = str(uuid.uuid4())
        refused = queue(server.address, graph, prompt_id)
        time.sleep(float(rng.uniform(0, 3)))
        requests.post(f"{server.address}/interrupt", timeout=60).raise_for_status()
        if rng.random() < 0.2:
            free = {"unload_models": True, "free_memory": True}
            requests.post(f"{server.address}/free", json=free, timeout=60).raise_for_status()
        report.note(Outcome(*(refused or wait(server.address, prompt_id))), number=number)
        if number % 5 == 4:
            _still_plain(server, plain, before, report, after=number)
    return report


def many_runs(server: Server, count: int) -> Report:
    """One graph again and again with other seeds: the server's memory does not grow."""
    report = Report("many runs")
    graph = _shipped("two_people_miniature", steps=QUICK_STEPS)
    process = psutil.Process(server.process.pid)
    sizes = []
    for number in range(count):
        graph["sample"]["inputs"]["seed"] = number
        report.note(run(server.address, graph), number=number)
        sizes.append(process.memory_info().rss / 2**20)
    quarter = max(1, count // 4)
    early, late = (float(np.median(part)) for part in (sizes[quarter : 2 * quarter], sizes[-quarter:]))
    report.notes.append(f"resident memory {early:.0f} MB in the second quarter, {late:.0f} MB in the last")
    return report


def _shipped(name: str, steps: int) -> Workflow:
    graph = json.loads((PACK / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    graph["sample"]["inputs"]["steps"] = steps
    return graph


def _plain(server: Server) -> tuple[Workflow, bytes]:
    """A graph without anything of the pack's between prompt and sampler, and its pixels."""
    graph = _shipped("one_person_miniature", QUICK_STEPS)
    graph["sample"]["inputs"] |= {"model": ["load", 0], "positive": ["prompt", 0], "negative": ["negative", 0]}
    graph["sample"]["inputs"]["latent_image"] = ["latent", 0]
    size = {"width": 256, "height": 256, "batch_size": 1}
    graph["latent"] = {"class_type": "EmptyLatentImage", "inputs": size}
    graph = {name: graph[name] for name in PLAIN_NODES}
    return graph, _pixels(server, graph)


def _pixels(server: Server, graph: Workflow) -> bytes:
    """The picture's pixels, drawn now and not taken from the server's cache."""
    graph = copy.deepcopy(graph)
    graph["save"]["inputs"]["filename_prefix"] = f"plain/{uuid.uuid4()}"
    prompt_id = str(uuid.uuid4())
    requests.post(f"{server.address}/free", json={"free_memory": True}, timeout=60)  # so that it is sampled again
    if refused := queue(server.address, graph, prompt_id):
        raise RuntimeError(f"The plain graph was refused: {refused[1]}")
    kind, said = wait(server.address, prompt_id)
    if kind is not Kind.PICTURE:
        raise RuntimeError(f"The plain graph ended as {kind.value}: {said}")
    history = requests.get(f"{server.address}/history/{prompt_id}", timeout=60).json()[prompt_id]
    file = history["outputs"]["save"]["images"][0]
    picture = requests.get(f"{server.address}/view", params=file, timeout=60).content
    return np.asarray(Image.open(io.BytesIO(picture))).tobytes()


def _still_plain(server: Server, graph: Workflow, before: bytes, report: Report, after: int) -> None:
    same = _pixels(server, graph) == before
    report.counts["plain graphs bit-identical" if same else "plain graphs changed"] += 1
    if not same:
        report.bad.append({"kind": "the plain graph's picture changed", "after": after})


def server_options() -> Iterator[tuple[str, tuple[str, ...]]]:
    """The ways of starting the host that the random graphs are tried under."""
    yield "default", ()
    yield "no cache", ("--cache-none",)
    yield "novram", ("--novram",)
    yield "fast", ("--fast",)
