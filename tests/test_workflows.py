"""The shipped workflows and bad input, through the real server: queued over HTTP, followed on the websocket."""

import json
import re
import threading

import numpy as np
import pytest
from conftest import PACK
from realisid_pack.headless.client import WorkflowError

API = PACK / "workflows" / "api"
QUICK = 3  # steps of the sampler; what the tests look at does not depend on them


def shipped(name: str) -> dict:
    workflow = json.loads((API / f"{name}.json").read_text(encoding="utf-8"))
    for node in workflow.values():
        if node["class_type"] == "KSampler":
            node["inputs"]["steps"] = QUICK
    return workflow


def plain() -> dict:
    """One person's workflow without anything of ours between the prompt and the sampler."""
    workflow = shipped("one_person_miniature")
    inputs = workflow["sample"]["inputs"]
    inputs |= {"model": ["load", 0], "positive": ["prompt", 0], "negative": ["negative", 0]}
    sized(workflow, 256, 256)
    needed = ("load", "prompt", "negative", "latent", "sample", "decode", "save")
    return {name: workflow[name] for name in needed}


def sized(workflow: dict, width: int, height: int) -> dict:
    """The workflow with a latent of its own, of that size."""
    size = {"width": width, "height": height, "batch_size": 1}
    workflow["latent"] = {"class_type": "EmptyLatentImage", "inputs": size}
    workflow["sample"]["inputs"]["latent_image"] = ["latent", 0]
    return workflow


def picture(result) -> np.ndarray:
    (image,) = result.images("save")
    return np.asarray(image)


@pytest.fixture(scope="module")
def client(client):
    for file in sorted((PACK / "portraits").iterdir()):
        if file.suffix in (".jpg", ".png"):
            client.upload(file)
    return client


@pytest.mark.parametrize("file", sorted(API.glob("*_miniature.json")), ids=lambda file: file.stem)
def test_a_shipped_workflow_makes_a_picture(client, file):
    assert picture(client.run(shipped(file.stem))).shape == (256, 256, 3)


def test_the_shipped_workflows_are_what_their_builder_writes(client):
    from realisid_pack.workflows import build

    if client.nodes()["SaveImage"]["output"]:
        pytest.skip("Newer hosts give their own nodes other sockets; the graphs are built for the oldest.")
    built = dict(build.shipped(client.nodes()))
    assert {path for path in built if path.startswith("api/")} <= {f"api/{file.name}" for file in API.iterdir()}
    for path, content in built.items():
        assert json.loads((API.parent / path).read_text("utf-8")) == content, path


@pytest.mark.parametrize("file", sorted(API.glob("*.json")), ids=lambda file: file.stem)
def test_a_shipped_workflow_names_only_nodes_and_inputs_that_exist(client, file):
    described = client.nodes()
    for node in json.loads(file.read_text(encoding="utf-8")).values():
        inputs = described[node["class_type"]]["input"]
        known = {*inputs.get("required", {}), *inputs.get("optional", {})}
        assert set(inputs.get("required", {})) <= set(node["inputs"]) <= known


@pytest.mark.parametrize("file", sorted(API.glob("*.json")), ids=lambda file: file.stem)
def test_everyone_in_a_shipped_workflow_is_in_a_box_that_is_drawn(file):
    nodes = json.loads(file.read_text(encoding="utf-8"))
    for inputs in (node["inputs"] for node in nodes.values() if "box" in node["inputs"]):
        drawn = nodes[inputs["boxes"][0]]["inputs"].get("boxes")
        assert 1 <= int(inputs["box"]) <= (len(json.loads(drawn)["boxes"]) if drawn else 1)


def test_who_was_taken_is_shown_on_the_nodes(client):
    workflow = shipped("two_people_miniature")
    workflow["photo_Mara"]["inputs"]["portrait"] = "astronaut"  # what is cached shows nothing again
    result = client.run(workflow)
    assert [len(result.images(node)) for node in ("photo_Mara", "person_Mara", "person_Omar")] == [1, 1, 1]


def test_the_persons_change_the_picture(client):
    assert not np.array_equal(picture(client.run(shipped("one_person_miniature"))), picture(client.run(plain())))


def test_only_what_depends_on_the_seed_or_the_prompt_runs_again(client):
    def executed() -> set[str]:
        nodes = set()
        client.run(workflow, lambda node, done, total: nodes.add(node))
        return nodes

    workflow = shipped("two_people_miniature")
    client.run(workflow)
    workflow["sample"]["inputs"]["seed"] += 1
    assert executed() == {"sample", "decode", "save"}
    workflow["prompt"]["inputs"]["text"] = "two persons, watercolor style"
    assert executed() == {"prompt", "apply", "sample", "decode", "save"}


def test_a_graph_from_before_the_savings_gives_what_it_gave(client):
    workflow = shipped("single_steps_miniature")
    with_defaults = picture(client.run(workflow))
    for node in workflow.values():
        for name in ("reuse", "one_pass", "text_only_start", "text_only_end"):
            node["inputs"].pop(name, None)
    assert np.array_equal(picture(client.run(workflow)), with_defaults)


def test_each_chosen_saving_changes_the_picture(client):
    choices = [
        ("sample", {}),
        ("global", {"reuse": 3}),
        ("global", {"one_pass": True}),
        ("local", {"reuse": 3}),
        ("guidance", {"text_only_start": 0.5}),
        ("guidance", {"text_only_end": 0.5}),
    ]
    pictures = set()
    for node, changes in choices:
        workflow = shipped("single_steps_miniature")
        workflow["guidance"]["inputs"]["identity_guidance"] = 12.0
        workflow[node]["inputs"] |= changes
        pictures.add(picture(client.run(workflow)).tobytes())
    assert len(pictures) == len(choices)


@pytest.mark.parametrize(
    ("node", "changes", "says"),
    [
        ("guidance", {"without_identity": "none"}, "without_identity"),
        ("global", {"sharing": "none"}, "sharing"),
        ("photo_Mara", {"portrait": "../portraits/README"}, "portrait"),
        ("boxes", {"boxes": "[{]"}, "The boxes are not JSON"),
        ("boxes", {"boxes": '[{"x": NaN, "y": 0, "size": 0.2}]'}, "Face box 1 has a value that is not a finite number"),
        ("boxes", {"boxes": '[{"x": 0, "y": 0, "size": -1}]'}, "a side must be greater than zero"),
        ("boxes", {"boxes": '[{"x": 0, "y": 0, "width": 0.1, "height": 0.3}]'}, "must be square"),
        ("boxes", {"boxes": '[{"x": 3, "y": 0, "size": 0.1}]'}, "wholly outside the frame"),
        ("person_Mara", {"box": "5"}, "There is no face box '5'. The boxes are 1"),
        ("person_Mara", {"index": 4}, "There is no face box '5'. The boxes are 1"),
        ("person_Mara", {"local_strength": "NaN"}, "local_strength is nan; expected a number from 0 to 2"),
        ("faces_Mara", {"face": 5}, "Face 5 was asked for"),
        ("faces_Mara", {"face": 0, "index": 5}, "Face 6 was asked for"),
        ("faces_Mara", {"threshold": 1.0}, "1.0"),
        ("faces_Mara", {"threshold": "NaN"}, "threshold is nan"),
        ("faces_Mara", {"order": "zz"}, "order"),
        ("parsed_Mara", {"keep": {"face": 1}}, "keep"),
        ("boxes", {"width": 1}, "smaller than min of 16"),
        ("boxes", {"height": 10**6}, "bigger than max of 16384"),
        ("boxes", {"width": "abc"}, "width"),
        ("boxes", {"boxes": "[" * 3000}, "too deep"),
        ("boxes", {"boxes": {"version": 1, "boxes": []}}, "not JSON"),
        ("boxes", {"boxes": '[{"x": 0, "y": 0, "size": 100000}]'}, "times as large as the frame"),
    ],
)
def test_bad_input_is_refused_on_the_node_that_got_it(client, node, changes, says):
    refused(client, shipped("single_steps_miniature"), node, changes, says)


@pytest.mark.parametrize(
    ("node", "changes", "says"),
    [
        ("person_Mara", {"box": "5"}, "There is no face box '5'. The boxes are 1"),
        ("person_Mara", {"face": 5}, "photo: Face 5 was asked for, but picture 1 has 1 face"),
        ("apply", {"likeness": "NaN"}, "likeness is nan"),
        ("apply", {"likeness": 3}, "bigger than max of 2"),
    ],
)
def test_bad_input_of_the_short_way_is_refused_too(client, node, changes, says):
    refused(client, shipped("one_person_miniature"), node, changes, says)


def refused(client, workflow: dict, node: str, changes: dict, says: str) -> None:
    workflow[node]["inputs"] |= changes
    with pytest.raises(WorkflowError) as refusal:
        client.run(workflow)
    assert says in refusal.value.errors[node]
    assert refusal.value.errors[node].count("Face box 1") <= 1  # the host repeats it for each input that is named


def test_two_persons_in_one_box_are_refused_and_a_box_without_a_person_is_named(client):
    workflow = shipped("three_people_miniature")
    workflow["person_Omar"]["inputs"]["box"] = "1"
    with pytest.raises(WorkflowError) as refusal:
        client.run(workflow)
    assert "Persons 1 and 3 are both in face box 1" in refusal.value.errors["person_Omar"]

    workflow = shipped("three_people_miniature")
    workflow["person_Omar"]["inputs"]["persons"] = ["person_Mara", 0]
    assert "Nobody is in face box 2" in client.run(workflow).outputs["apply"]["text"][0]

    workflow = shipped("single_steps_miniature")
    workflow["person_Omar"]["inputs"]["box"] = "1"
    with pytest.raises(WorkflowError) as refusal:
        client.run(workflow)
    assert "Persons 1 and 2 are both in face box 1" in refusal.value.errors["persons"]

    workflow = shipped("single_steps_miniature")
    del workflow["persons"]["inputs"]["person_2"]
    assert "Nobody is in face box 2" in client.run(workflow).outputs["persons"]["text"][0]


def test_a_crop_made_otherwise_than_in_training_is_named_on_the_node(client):
    workflow = shipped("single_steps_miniature")
    workflow["parsed_Mara"]["inputs"]["keep"] = "everything"
    said = client.run(workflow).outputs["id_Mara"]["text"][0]
    assert said.startswith("The crops keep everything; the model was trained with")
    assert "text" not in client.run(shipped("single_steps_miniature")).outputs["id_Mara"]


@pytest.mark.parametrize("file", [None, "somebody.safetensors", {}])
def test_a_model_file_that_is_not_there_is_refused_in_a_sentence(client, file):
    workflow = {
        "load": {"class_type": "RealisID_LoadModel", "inputs": {"file": file}},
        "seen": {"class_type": "PreviewAny", "inputs": {"source": ["load", 0]}},
    }
    with pytest.raises(WorkflowError) as refusal:
        client.run(workflow)
    assert re.search(r"in models/realisid\. Put|Value not in list|expected one of", refusal.value.errors["load"])


def test_boxes_of_another_aspect_ratio_are_refused_with_what_to_connect(client):
    workflow = sized(shipped("one_person_miniature"), 320, 192)
    with pytest.raises(WorkflowError) as refusal:
        client.run(workflow)
    assert "Connect the width and height" in refusal.value.errors["sample"]


def test_after_an_error_and_an_interrupt_a_plain_graph_gives_what_it_always_gave(client):
    before = picture(client.run(plain()))

    broken = sized(shipped("two_people_miniature"), 320, 192)
    with pytest.raises(WorkflowError):
        client.run(broken)

    endless = shipped("two_people_miniature")
    endless["sample"]["inputs"]["steps"] = 1000
    stopped = threading.Event()

    def stop_once_sampling(node: str, done: int, total: int) -> None:
        if node == "sample" and done >= 1 and not stopped.is_set():
            stopped.set()
            client.interrupt()

    with pytest.raises(WorkflowError, match="interrupted"):
        client.run(endless, stop_once_sampling)

    again = plain()
    again["sample"]["inputs"]["seed"] = 8
    client.run(again)  # so that the next run samples anew
    assert np.array_equal(picture(client.run(plain())), before)
