"""The pictures of the help pages, made by the nodes: `python -m headless.help_pictures`."""

import io
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import requests
from PIL import Image, ImageOps

from headless.client import Client, Result
from headless.server import PACK, running_server
from realisid_core.bootstrap import host_path

PICTURES = PACK / "web" / "docs" / "images"
HEIGHT = 300
MOST_BYTES = 60_000
GAP, GAP_COLOUR = 8, "#26282e"
BOXES = [{"x": 0.1, "y": 0.22, "size": 0.3, "name": "Eileen"}, {"x": 0.62, "y": 0.3, "size": 0.14, "name": "Grace"}]
TEXT = json.dumps({"version": 1, "boxes": BOXES})

# Pieces of graphs, for nodes that show nothing by themselves: columns of nodes, and links between them, counted from 0.
PIECES = {
    "location_boxes": ([["RealisID_LocationBoxes"]], []),
    "load_miniature": (
        [["RealisID_LoadMiniature"], ["CLIPTextEncode", "RealisID_IDEmbedding"]],
        [(0, "CLIP", 1, "clip"), (0, "CLIP_VISION", 2, "clip_vision"), (0, "REALISID_MODEL", 2, "realisid")],
    ),
    "load_model": (
        [["CheckpointLoaderSimple", "CLIPVisionLoader", "RealisID_LoadModel"], ["RealisID_IDEmbedding"]],
        [(1, "CLIP_VISION", 3, "clip_vision"), (2, "realisid", 3, "realisid")],
    ),
    "apply": (
        [["RealisID_PersonFromPhoto"], ["RealisID_Apply"], ["KSampler"]],
        [(0, "persons", 1, "persons"), (1, "MODEL", 2, "model")]
        + [(1, name, 2, name) for name in ("positive", "negative")],
    ),
    "combine_persons": (
        [["RealisID_Person", "RealisID_Person"], ["RealisID_CombinePersons"]],
        [(0, "persons", 2, "person_1"), (1, "persons", 2, "person_2")],
    ),
    "branches": (
        [["RealisID_ApplyGlobalBranch"], ["RealisID_ApplyLocalBranch"], ["KSampler"]],
        [(a, name, a + 1, name) for a in (0, 1) for name in ("positive", "negative")],
    ),
    "identity_guidance": (
        [["CheckpointLoaderSimple"], ["RealisID_IdentityGuidance"], ["KSampler"]],
        [(0, "MODEL", 1, "model"), (1, "MODEL", 2, "model")],
    ),
}
FILES = {
    "ckpt_name": "sd_xl_base_1.0.safetensors",
    "clip_name": "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors",
    "file": "realisid_sdxl.safetensors",
}
BUILD = """([columns, links, boxes, files]) => {
    app.graph.clear()
    const nodes = []
    let x = 0
    let height = 0
    for (const column of columns) {
        let y = 0
        let width = 0
        for (const type of column) {
            const node = LiteGraph.createNode(type)
            node.pos = [x, y]
            app.graph.add(node)
            const values = {boxes, cfg: 7.5, box: String(nodes.length + 1), ...files}
            for (const widget of node.widgets ?? []) widget.value = values[widget.name] ?? widget.value
            y += node.size[1] + 50
            width = Math.max(width, node.size[0])
            nodes.push(node)
        }
        x += width + 60
        height = Math.max(height, y - 50)
    }
    for (const [from, output, to, input] of links) {
        nodes[from].connect(nodes[from].findOutputSlot(output), nodes[to], nodes[to].findInputSlot(input))
    }
    app.canvas.ds.scale = 1
    app.canvas.ds.offset = [140, 220]
    app.canvas.setDirty(true, true)
    return [x - 60, height]
}"""


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, running_server(host_path(), Path(home), "--cpu") as server:
        client = Client(server.address)
        result = client.run(workflow())
        for name, picture in strips(result):
            save(picture, name)
        for name, picture in graphs(server.address):
            save(picture, name)


def shown_by(result: Result) -> dict[str, Image.Image]:
    """What each node shows."""
    return {node: result.images(node)[0] for node in result.outputs if result.images(node)}


def strips(result: Result) -> Iterator[tuple[str, Image.Image]]:
    """Each page's picture: what its node shows, next to what it was given or what comes out."""
    shown = shown_by(result)
    for name, parts in {
        "example_portrait": ("photo_picture", "photo_grace_picture"),
        "detect_faces": ("found", "found_grace"),
        "parse_faces": ("parsed", "crop"),
        "face_landmarks": ("landmarks", "pose"),
        "retarget_face": ("pose_outlined", "pose_retargeted"),
        "id_embedding": ("found", "embedding"),
        "location_mask": ("layout", "mask"),
        "boxes_from_faces": ("found_group", "boxes_of_group"),
        "person": ("crop", "layout", "pose_grace"),
        "person_from_photo": ("found_both", "from_photo"),
        "id_similarity": ("photo_picture", "similarity"),
        "best_of_batch": ("best_picture", "worst_picture"),
    }.items():
        yield name, side_by_side([shown[part] for part in parts])


def graphs(address: str) -> Iterator[tuple[str, Image.Image]]:
    """Each piece of a graph, photographed in ComfyUI's own page."""
    from playwright.sync_api import sync_playwright

    requests.post(f"{address}/settings/Comfy.TutorialCompleted", json=True, timeout=60).raise_for_status()
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1500, "height": 1100})
        page.goto(address)
        page.wait_for_function("() => Boolean(window.app?.graph && LiteGraph.registered_node_types?.RealisID_Person)")
        time.sleep(5)  # the start-up graph arrives a moment after the app is ready
        for name, (columns, links) in PIECES.items():
            width, height = page.evaluate(BUILD, [columns, links, TEXT, FILES])
            time.sleep(2)  # until the canvas is drawn
            shot = page.screenshot(clip={"x": 120, "y": 170, "width": width + 40, "height": height + 70})
            picture = Image.open(io.BytesIO(shot)).convert("RGB")
            yield name, ImageOps.scale(picture, 0.8, Image.Resampling.LANCZOS)
        browser.close()


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    scaled = [ImageOps.contain(picture.convert("RGB"), (3 * HEIGHT, HEIGHT)) for picture in pictures]
    strip = Image.new("RGB", (sum(p.width for p in scaled) + GAP * (len(scaled) - 1), HEIGHT), GAP_COLOUR)
    x = 0
    for picture in scaled:
        strip.paste(picture, (x, 0))
        x += picture.width + GAP
    return strip


def save(picture: Image.Image, name: str) -> None:
    file = PICTURES / f"{name}.jpg"
    picture.save(file, quality=80, optimize=True)
    if file.stat().st_size > MOST_BYTES:
        raise ValueError(f"{file} has {file.stat().st_size} bytes; a help picture may have {MOST_BYTES}.")


def workflow() -> dict[str, dict]:
    """An API workflow that runs every node which shows something without sampling."""
    nodes = {}

    def add(name: str, class_type: str, **inputs) -> None:
        nodes[name] = {"class_type": class_type, "inputs": inputs}

    def preview(name: str, output: list) -> None:
        add(name, "PreviewImage", images=output)

    detection = {"detector": "yunet", "threshold": 0.6, "order": "left to right"}
    detection |= {"face": 0, "maximum": 0, "margin": 0.0}
    add("photo", "RealisID_ExamplePortrait", portrait="astronaut")
    add("photo_grace", "RealisID_ExamplePortrait", portrait="grace_hopper")
    preview("photo_picture", ["photo", 0])
    preview("photo_grace_picture", ["photo_grace", 0])
    stitched = {"direction": "right", "match_image_size": True, "spacing_width": 0, "spacing_color": "white"}
    add("group", "ImageStitch", image1=["photo", 0], image2=["photo_grace", 0], **stitched)
    add("found", "RealisID_DetectFaces", image=["photo", 0], **detection)
    add("found_grace", "RealisID_DetectFaces", image=["photo_grace", 0], **detection)
    add("found_group", "RealisID_DetectFaces", image=["group", 0], **detection)

    add("parsed", "RealisID_ParseFaces", faces=["found", 0], method="person", keep="face and hair", size=512)
    preview("crop", ["parsed", 2])
    add("landmarks", "RealisID_FaceLandmarks", faces=["found", 0], size=512, outline=False)
    preview("pose", ["landmarks", 1])
    add("landmarks_grace", "RealisID_FaceLandmarks", faces=["found_grace", 0], size=512, outline=False)
    preview("pose_grace", ["landmarks_grace", 1])
    add("outlined", "RealisID_FaceLandmarks", faces=["found_grace", 0], size=512, outline=True)
    preview("pose_outlined", ["outlined", 1])
    add("retargeted", "RealisID_RetargetFace", reference=["found", 0], donor=["landmarks_grace", 0], size=512)
    preview("pose_retargeted", ["retargeted", 1])

    add("models", "RealisID_LoadMiniature")
    add("embedding", "RealisID_IDEmbedding", realisid=["models", 4], clip_vision=["models", 3], faces=["found", 0])
    add("use_embedding", "PreviewAny", source=["embedding", 0])

    add("boxes", "RealisID_LocationBoxes", width=1024, height=1024, boxes=TEXT)
    preview("layout", ["boxes", 2])
    add("mask_picture", "MaskToImage", mask=["boxes", 1])
    preview("mask", ["mask_picture", 0])
    add("found_both", "RealisID_DetectFaces", image=["group", 0], **detection | {"order": "largest first", "face": 1})
    models = {"realisid": ["models", 4], "boxes": ["boxes", 0]}
    add("from_photo", "RealisID_PersonFromPhoto", photo=["group", 0], box="1", face=1, **models)
    add("use_person", "PreviewAny", source=["from_photo", 0])
    add("references", "RealisID_DetectFaces", image=["photo", 0], **detection)
    who = {"references": ["references", 0], "judge": "auto"}
    add("similarity", "RealisID_IDSimilarity", image=["group", 0], **who)
    add("batch", "ImageBatch", image1=["photo_grace", 0], image2=["photo", 0])
    add("best", "RealisID_BestOfBatch", image=["batch", 0], keep=0, **who)
    for name, index in (("best", 0), ("worst", 1)):
        add(f"{name}_one", "ImageFromBatch", image=["best", 0], batch_index=index, length=1)
        add(f"{name}_scored", "RealisID_IDSimilarity", image=[f"{name}_one", 0], **who)
        preview(f"{name}_picture", [f"{name}_scored", 0])
    add("boxes_of_group", "RealisID_BoxesFromFaces", faces=["found_group", 0], width=1216, height=832, scale=1.0)
    add("use_boxes", "PreviewAny", source=["boxes_of_group", 0])
    return nodes


if __name__ == "__main__":
    main()
