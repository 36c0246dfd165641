"""How a graph ended, judged by what the server says of it."""

import json
import re
import time
import uuid
from dataclasses import dataclass
from enum import Enum

import requests

from ..client import Workflow

PACK_FRAME = re.compile(r"realisid|RealisID", re.IGNORECASE)
SENTENCE = re.compile(r"\S+ \S+ \S+.*[.!?)\"'…]\s*$", re.DOTALL)
NEAREST = 3  # frames of a traceback
ABORTED = "InterruptProcessingException"


class Kind(Enum):
    PICTURE = "picture"
    REFUSED = "refused before it ran"
    STOPPED = "stopped with a sentence"
    HOST = "an error of the host's own nodes"
    INTERRUPTED = "interrupted"
    BARE = "bare exception"
    LOST = "no answer"


GOOD = {Kind.PICTURE, Kind.REFUSED, Kind.STOPPED, Kind.HOST, Kind.INTERRUPTED}


@dataclass(frozen=True)
class Outcome:
    kind: Kind
    said: str = ""
    seconds: float = 0.0


def run(address: str, graph: Workflow, seconds: float = 180.0) -> Outcome:
    """Queue a graph (JSON with NaN, as Python writes it) and wait for its end."""
    start = time.monotonic()
    prompt_id = str(uuid.uuid4())
    try:
        queued = queue(address, graph, prompt_id)
        if queued is not None:
            return Outcome(*queued, time.monotonic() - start)
        kind, said = wait(address, prompt_id, seconds)
        return Outcome(kind, said, time.monotonic() - start)
    except requests.RequestException as error:
        return Outcome(Kind.LOST, f"the server does not answer: {error}", time.monotonic() - start)


def wait(address: str, prompt_id: str, seconds: float = 180.0) -> tuple[Kind, str]:
    """How a queued prompt ended, once the server's history holds it."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        history = requests.get(f"{address}/history/{prompt_id}", timeout=60).json()
        if prompt_id in history and (history[prompt_id]["status"] or {}).get("messages"):
            return ended(history[prompt_id])
        time.sleep(0.05)
    return Kind.LOST, f"nothing for {seconds:.0f} s"


def queue(address: str, graph: Workflow, prompt_id: str) -> tuple[Kind, str] | None:
    """Put it in the server's queue; what it was refused with, or None."""
    body = json.dumps({"prompt": graph, "client_id": "guard", "prompt_id": prompt_id})
    headers = {"Content-Type": "application/json"}
    answer = requests.post(f"{address}/prompt", data=body.encode(), headers=headers, timeout=120)
    if answer.ok:
        errors = answer.json().get("node_errors") or {}
    elif answer.status_code == 400:
        errors = answer.json().get("node_errors") or {}
        if not errors:
            return Kind.REFUSED, str(answer.json().get("error"))
    else:
        return Kind.BARE, f"status {answer.status_code}: {answer.text[:300]}"
    if not errors:
        return None
    all_errors = [error for entry in errors.values() for error in entry["errors"]]
    said = [f"{error['message']}: {error['details']}" for error in all_errors]
    ours = [error for error in all_errors if "custom_nodes" in str(error.get("extra_info", {}).get("traceback"))]
    if any(error["type"] == "exception_during_validation" for error in ours):
        return Kind.BARE, str(ours[0])
    return Kind.REFUSED, said[0]


def ended(history: dict) -> tuple[Kind, str]:
    """The kind of a finished prompt's end, from its history."""
    for message, data in history["status"]["messages"]:
        if message == "execution_interrupted":
            return Kind.INTERRUPTED, ""
        if message == "execution_error":
            name = data["exception_type"].rpartition(".")[2]
            text = data["exception_message"].strip()
            said = f"{data['node_type']}: {name}: {text}"
            if name == ABORTED:
                return Kind.INTERRUPTED, said
            nearest = data["traceback"][
                -NEAREST:
            ]  # the host's own refusals pass through the pack's wrappers, far above
            ours = any(PACK_FRAME.search(line) for line in nearest if "custom_nodes" in line)
            ours |= data["node_type"].startswith("RealisID_")
            if not ours:
                return Kind.HOST, said
            return (Kind.STOPPED if name == "ValueError" and SENTENCE.match(text) else Kind.BARE), said
    return Kind.PICTURE, ""
