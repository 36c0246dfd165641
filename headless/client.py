"""A small client of ComfyUI's API: HTTP to ask, the websocket to follow."""

import io
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests
import websocket
from PIL import Image

Workflow = dict[str, dict]  # API format: node id -> {"class_type", "inputs", "_meta"}
Progress = Callable[[str, int, int], None]  # node id, steps done, steps in all (0, 0 as it starts)


class WorkflowError(Exception):
    """A workflow that was refused or that stopped: `errors` maps a node's id to what it said."""

    def __init__(self, errors: dict[str, str]):
        super().__init__("; ".join(f"node {node}: {message}" for node, message in errors.items()))
        self.errors = errors


@dataclass(frozen=True)
class Result:
    client: "Client"
    outputs: dict[str, dict]  # node id -> what it showed, e.g. {"images": [{"filename", "subfolder", "type"}]}

    def images(self, node: str) -> list[Image.Image]:
        """The pictures that a node saved or previewed."""
        return [self.client.image(file) for file in self.outputs.get(node, {}).get("images", [])]


class Client:
    def __init__(self, address: str):
        self.address = address

    def nodes(self) -> dict[str, dict]:
        """ComfyUI's description of every node: /object_info."""
        return self._get("/object_info").json()

    def upload(self, file: Path, name: str | None = None) -> str:
        """Put a picture into the server's input folder, as `name`; returns the name that LoadImage takes."""
        with file.open("rb") as content:
            files = {"image": (name or file.name, content)}
            answer = requests.post(f"{self.address}/upload/image", files=files, data={"overwrite": "true"}, timeout=60)
        answer.raise_for_status()
        return answer.json()["name"]

    def image(self, file: dict) -> Image.Image:
        image = Image.open(io.BytesIO(self._get("/view", file).content))
        image.load()
        return image

    def run(self, workflow: Workflow, progress: Progress = lambda node, done, total: None) -> Result:
        """Queue a workflow and wait for its end.

        Raises WorkflowError with a message for each node that was refused, failed or was interrupted.
        """
        client_id, prompt_id = str(uuid.uuid4()), str(uuid.uuid4())
        connection = websocket.create_connection(
            f"{self.address.replace('http', 'ws', 1)}/ws?clientId={client_id}", timeout=600
        )
        try:
            self.queue(workflow, prompt_id, client_id)
            follow(connection, prompt_id, progress)
        finally:
            connection.close()
        result = self.result(prompt_id)
        if result is None:
            raise WorkflowError({"-": "the server does not know this workflow any more; was it restarted?"})
        return result

    def result(self, prompt_id: str) -> Result | None:
        """Of a queued workflow that has ended; None where the server knows of no end. Raises WorkflowError as `run`."""
        history = self._get(f"/history/{prompt_id}").json().get(prompt_id)
        if history is None:
            return None
        if errors := failures(history["status"]["messages"]):
            raise WorkflowError(errors)
        return Result(self, history["outputs"])

    def waiting(self) -> tuple[set[str], set[str]]:
        """The ids of the workflows that run, and of those that wait."""
        queue = self._get("/queue").json()
        running, pending = ({entry[1] for entry in queue[key]} for key in ("queue_running", "queue_pending"))
        return running, pending

    def drop(self, prompt_ids: set[str]) -> None:
        """Neither wait for nor go on with these workflows."""
        requests.post(f"{self.address}/queue", json={"delete": sorted(prompt_ids)}, timeout=60).raise_for_status()
        if prompt_ids & self.waiting()[0]:
            self.interrupt()

    def interrupt(self) -> None:
        requests.post(f"{self.address}/interrupt", timeout=60).raise_for_status()

    def queue(self, workflow: Workflow, prompt_id: str, client_id: str = "") -> None:
        """Queue a workflow and come back at once. Raises WorkflowError for one that is refused."""
        prompt = {"prompt": workflow, "client_id": client_id, "prompt_id": prompt_id}
        answer = requests.post(f"{self.address}/prompt", json=prompt, timeout=60)
        refusal = answer.json()
        if errors := refusal.get("node_errors"):
            raise WorkflowError({node: refused(error["errors"]) for node, error in errors.items()})
        if not answer.ok:
            raise WorkflowError({"-": refused([refusal["error"]])})

    def _get(self, path: str, query: dict | None = None) -> requests.Response:
        answer = requests.get(self.address + path, params=query, timeout=60)
        answer.raise_for_status()
        return answer


def follow(connection: websocket.WebSocket, prompt_id: str, progress: Progress) -> None:
    """Report what the server tells about a prompt, until it says that nothing of it is running any more."""
    while True:
        message = connection.recv()
        if isinstance(message, bytes):  # a latent preview
            continue
        event = json.loads(message)
        data = event["data"]
        if data.get("prompt_id") != prompt_id:
            continue
        if event["type"] == "executing" and data["node"] is None:
            return
        if event["type"] == "executing":
            progress(data["node"], 0, 0)
        elif event["type"] == "progress":
            progress(data["node"], data["value"], data["max"])


def failures(messages: list) -> dict[str, str]:
    """What the nodes of a finished prompt complained of, from the messages in its history."""
    errors = {}
    for kind, data in messages:
        if kind == "execution_error":
            errors[data["node_id"]] = data["exception_message"].strip()
        elif kind == "execution_interrupted":
            errors[data["node_id"]] = "interrupted"
    return errors


def refused(errors: list[dict]) -> str:
    return "; ".join(f"{error['message']} {error['details']}".strip() for error in errors)
