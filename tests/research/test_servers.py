"""Evaluations over servers: what is asked for, that nothing is lost or drawn twice, and what the report makes of it."""

import io
import json
import os
import re
import signal
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from realisid_bootstrap import PACK, host_path
from realisid_pack.headless.server import free_port, running_server

from realisid_core.metrics.judges import load_judge
from research.evaluation.servers import pages, protocols
from research.evaluation.servers.drawing import Drawing, journal
from research.evaluation.servers.holes import filled, load_graph, names_in, picture_node
from research.evaluation.servers.reading import Reader, measure, rows_of
from research.world import portrait, render, sample_identity

GRAPHS = PACK / "research" / "evaluation" / "servers" / "graphs"
ONE = GRAPHS / "one_person_miniature.json"
STEPS = "sample.steps=1"


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    for number in range(3):
        drawn = render(portrait(sample_identity((5 << 33) + 8000 + number)), 512)
        Image.fromarray(drawn.image).save(folder / f"p{number}.png")
    return folder


def tasks(people: Path, name: str = "own/one", count: int | None = None) -> list[protocols.Task]:
    return protocols.tasks_of(protocols.load_protocol(name), protocols.people_in(people))[:count]


def test_the_papers_protocols_are_theirs():
    """RealisID: 35 prompts × 40 people × 2 = 2,800 pictures, sizes as its tables say."""
    regular, small = (protocols.load_protocol(f"realisid/{name}") for name in ("regular", "small"))
    everybody = {name: Path(name) for name in regular.identities}
    for protocol, least, most in ((regular, 1 / 4, 1 / 2), (small, 1 / 7, 1 / 6)):
        asked = protocols.tasks_of(protocol, everybody)
        assert len(asked) == 2800 and len(set(protocol.prompts)) == 35 and len(everybody) == 40
        sizes = [task.boxes[0][2] for task in asked]
        assert least - 1e-4 <= min(sizes) < max(sizes) <= most + 1e-4
        assert len({task.seed for task in asked}) > 2790
    assert regular.published["RealisID"]["similarity"] == 0.796
    diff_pc = protocols.load_protocol("diff_pc/id-centric")
    two_hundred = {f"{number}.jpg": Path(f"{number}.jpg") for number in range(200)}
    with_prompts = protocols.Protocol(**{**vars(diff_pc), "prompts": [f"prompt {n}" for n in range(600)]})
    asked = protocols.tasks_of(with_prompts, two_hundred, two_hundred)
    assert len(asked) == 200 * 3 * 3 * 3 and len({task.prompt for task in asked}) == 600


@pytest.mark.parametrize("name", protocols.known_protocols())
def test_faces_lie_in_the_frame_and_side_by_side(name):
    protocol = protocols.load_protocol(name)
    rng = np.random.default_rng(0)
    for _ in range(50):
        boxes = protocols._boxes(protocol, rng)
        assert len(boxes) == protocol.people
        ends = [0.0]
        for x, y, size in boxes:
            assert x >= ends[-1] and x + size <= 1.001 and y >= 0 and y + size <= 1.001
            ends.append(x + size)


def test_holes_are_filled_by_their_kind():
    graph = load_graph(ONE, ["seed=sample.seed"], [STEPS, "negative.text=blurry"])
    assert names_in(graph) == {"prompt", "seed", "boxes", "reference_1", "pose_1"}
    made = filled(graph, {"prompt": "a man", "seed": 5, "boxes": "[]", "reference_1": "a.png", "pose_1": "b.png"})
    assert made["sample"]["inputs"]["seed"] == 5 and made["sample"]["inputs"]["steps"] == 1
    assert made["prompt"]["inputs"]["text"] == "a man" and "{{" not in json.dumps(made)
    assert picture_node(graph) == "save"


@pytest.mark.parametrize("graph", sorted(GRAPHS.glob("*.json")), ids=lambda path: path.stem)
def test_the_shipped_graphs_are_whole(graph):
    loaded = load_graph(graph)
    links = [v for node in loaded.values() for v in node["inputs"].values() if isinstance(v, list)]
    assert all(node in loaded for node, _ in links)


def test_what_is_wrong_is_said_at_the_start(tmp_path, people):
    with pytest.raises(ValueError, match=r"There is no protocol 'realisid/nothing'; realisid.json has regular, small"):
        protocols.load_protocol("realisid/nothing")
    with pytest.raises(ValueError, match=r"people: there is no picture in"):
        protocols.people_in(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"broken.png cannot be read as a picture"):
        protocols.people_in(tmp_path)
    with pytest.raises(ValueError, match=r"lacks 40 of the 40 pictures that the protocol names, first 422.jpg"):
        protocols.people_in(people, protocols.load_protocol("realisid/small").identities)
    with pytest.raises(ValueError, match=r"--hole seed=x.y: the graph has no input 'x.y'"):
        load_graph(ONE, ["seed=x.y"])
    plain = tmp_path / "plain.json"
    plain.write_text('{"1": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}}}', encoding="utf-8")
    with pytest.raises(ValueError, match="there is no hole for a person's photo"):
        load_graph(plain)
    with pytest.raises(ValueError, match=r"not in the API format"):
        plain.write_text('{"nodes": []}', encoding="utf-8")
        load_graph(plain)
    drawing = Drawing(tmp_path / "run", load_graph(ONE), "save", tasks(people))
    with pytest.raises(ValueError, match=r"No ComfyUI answers at http://127.0.0.1:9"):
        drawing.run(["http://127.0.0.1:9"])
    with pytest.raises(ValueError, match=r"follows the pose of other photos.*--poses"):
        protocols.tasks_of(protocols.load_protocol("realisid/pose-1-7"), protocols.people_in(people))


def test_a_server_that_is_killed_and_comes_back_loses_nothing_and_repeats_nothing(tmp_path, people):
    """Two servers, twelve pictures. One is killed with work in hand and starts again, with nothing in its memory."""
    graph, asked, port = load_graph(ONE, settings=[STEPS]), tasks(people, count=12), free_port()
    drawing = Drawing(tmp_path / "run", graph, "save", asked, patience=60)
    result: list = []
    with running_server(host_path(), tmp_path / "a", "--cpu") as first:
        with running_server(host_path(), tmp_path / "b", "--cpu", port=port) as second:
            addresses = [first.address, second.address]
            thread = threading.Thread(target=lambda: result.append(drawing.run(addresses)))
            thread.start()
            wait_for(lambda: any(e["event"] == "drawn" and e["server"] == second.address for e in events(drawing)))
            os.kill(second.process.pid, signal.SIGKILL)
            second.process.wait()
        time.sleep(2)
        with running_server(host_path(), tmp_path / "b", "--cpu", port=port):
            thread.join(300)
    assert result == [{}]
    drawn = Counter(event["task"] for event in events(drawing) if event["event"] == "drawn")
    assert drawn == Counter({task.number: 1 for task in asked}), "each once"
    assert any(event["event"] == "lost" for event in events(drawing)), "it had work in hand"
    pictures = [Image.open(drawing.path(task.number)) for task in asked]
    assert {picture.size for picture in pictures} == {(256, 256)}

    before = {task.number: drawing.path(task.number).stat().st_mtime_ns for task in asked}
    drawing.path(3).unlink()
    with running_server(host_path(), tmp_path / "a", "--cpu") as again:
        Drawing(tmp_path / "run", graph, "save", asked).run([again.address])
        with pytest.raises(ValueError, match=r"holds an evaluation with other tasks.*another --output"):
            Drawing(tmp_path / "run", graph, "save", asked[:2]).run([again.address])
    changed = [number for number, then in before.items() if drawing.path(number).stat().st_mtime_ns != then]
    assert changed == [3], "the command goes on where it stopped"
    measured_and_reported(tmp_path / "run", tmp_path / "report")


def measured_and_reported(folder: Path, to: Path) -> None:
    reader = Reader(load_judge("miniature"))
    for _ in range(2):
        rows = rows_of(measure(folder, reader))
    assert [int(row["task"]) for row in rows] == list(range(12))
    protocol = protocols.load_protocol("realisid/small")
    pages.report([folder], to, protocol.published, protocol.table)
    text, page = ((to / f"report.{kind}").read_text(encoding="utf-8") for kind in ("md", "html"))
    assert "12 of 12 pictures drawn, 0 failed; judge: the miniature's judge" in text
    assert "| RealisID (published) |" in text and "0.767" in text
    assert (
        "<svg" in page
        and 'src="data:image/jpeg;base64,' in page
        and "http" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.S)
    )


def events(drawing: Drawing) -> list[dict]:
    return journal(drawing.folder)


def wait_for(there, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class Faulty(BaseHTTPRequestHandler):
    """A server that speaks ComfyUI's protocol and fails in ways that a real one cannot be made to on demand."""

    fault = ""
    prompts: dict[str, str]

    def log_message(self, *_):
        pass

    def answer(self, value: object, kind: str = "application/json") -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/upload/image":
            return self.answer({"name": "uploaded.png"})
        if self.path == "/prompt":
            self.prompts[json.loads(body)["prompt_id"]] = ""
        return self.answer({"node_errors": {}})

    def do_GET(self):
        if self.path.startswith("/history/"):
            said = {"prompt_id": "x", "node_id": "sample", "exception_message": "out of memory"}
            messages = [["execution_error", said]] if self.fault == "error" else []
            images = [] if self.fault == "empty" else [{"filename": "a.png", "subfolder": "", "type": "output"}]
            history = {"status": {"messages": messages}, "outputs": {"save": {"images": images}}}
            return self.answer({self.path.rsplit("/", 1)[1]: history})
        if self.path.startswith("/view"):
            file = io.BytesIO()
            Image.new("RGB", (256, 256)).save(file, "PNG")
            data = file.getvalue()
            return self.answer(data[: len(data) // 2] if self.fault == "cut" else data, "image/png")
        if self.path == "/queue":
            return self.answer({"queue_running": [], "queue_pending": []})
        return self.answer({})


@pytest.mark.parametrize(
    "fault, why", [("error", "out of memory"), ("empty", "it saved no picture"), ("cut", "could not be read"), ("", "")]
)
def test_a_failed_picture_is_never_counted(tmp_path, people, fault, why):
    handler = type("Handler", (Faulty,), {"fault": fault, "prompts": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    drawing = Drawing(tmp_path, load_graph(ONE), "save", tasks(people, count=2))
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        if fault:
            with pytest.raises(ValueError, match=f"No picture could be drawn.*{why}"):
                drawing.run([address])
            assert not list(tmp_path.rglob("*.png")) and len(handler.prompts) == 4, "each was tried twice"
        else:
            assert drawing.run([address]) == {} and len(list(tmp_path.rglob("*.png"))) == 2
    finally:
        server.shutdown()
        server.server_close()


def test_the_bootstrap_draws_people_not_pictures():
    """Ten pictures of each of two people: the interval is between the two people's means, whatever the pictures."""
    values = np.array([0.2] * 10 + [0.6] * 10)
    found = pages.bootstrap(values, np.array(["a"] * 10 + ["b"] * 10))
    assert (found.mean, found.low, found.high, found.count) == pytest.approx((0.4, 0.2, 0.6, 20))
    alone = pages.bootstrap(values, np.arange(20))
    error = 1.96 * values.std() / 20**0.5
    assert (alone.low, alone.high) == pytest.approx((0.4 - error, 0.4 + error), abs=0.02)


def test_a_face_that_was_not_found_counts_as_nothing(tmp_path):
    lines = ["task,person,name,found,similarity", "0,0,a,1,0.8", "1,0,b,0,"]
    other = ",".join(pages.METRICS.keys() - {"found", "similarity"})
    commas = "," * (len(pages.METRICS) - 2)
    text = "\n".join([f"{lines[0]},{other}", *(line + commas for line in lines[1:])])
    (tmp_path / "measures.csv").write_text(text + "\n", encoding="utf-8")
    assert pages.figures(tmp_path)["similarity"].mean == pytest.approx(0.4)
    assert pages.figures(tmp_path)["found"].mean == 0.5
    with pytest.raises(ValueError, match=r"has no measures yet. Run `measure`"):
        (tmp_path / "empty").mkdir()
        pages.report([tmp_path / "empty"], tmp_path, {})
