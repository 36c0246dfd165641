"""What the graphs say to their reader, and the models that they ask for."""

from . import layout
from .layout import Step

CHECKPOINT = "sd_xl_base_1.0.safetensors"
CLIP_VISION = "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors"
REALISID = "realisid_sdxl.safetensors"
INSTANTID_FILES = {
    "identitynet": "diffusion_pytorch_model.safetensors",
    "ip_adapter": "ip-adapter.bin",
    "recogniser": "models/antelopev2/glintr100.onnx",
}

# ComfyUI offers these for download where a file of that name is missing.
MODELS = {
    CHECKPOINT: {
        "name": CHECKPOINT,
        "url": f"https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/resolve/main/{CHECKPOINT}",
        "directory": "checkpoints",
    },
    CLIP_VISION: {
        "name": CLIP_VISION,
        "url": "https://huggingface.co/h94/IP-Adapter/resolve/main/models/image_encoder/model.safetensors",
        "directory": "clip_vision",
    },
}

ABOUT_MODELS = {
    "RealisID_LoadMiniature": """\
The **miniature** ships with the pack: SDXL's parts, small. It draws the people of its own little world. Press \
**Run**.""",
    "RealisID_LoadInstantID": """\
You need SDXL or a fine-tune, and InstantID's files: IdentityNet in `models/controlnet`, `ip-adapter.bin` in \
`models/instantid`, `glintr100.onnx` in `models/insightface/models/antelopev2`. Their terms: research only. Nothing is \
downloaded.""",
    "RealisID_LoadModel": f"""\
You need SDXL or a fine-tune, CLIP ViT-H (its download is called *model.safetensors*: save it in `models/clip_vision` \
as `{CLIP_VISION}`), and a RealisID model in `models/realisid`. None is published for SDXL: train one with \
`python -m realisid_core.training`.""",
    "RealisID_Person": "You need SDXL or a fine-tune. Nothing else.",
}
OWN_PHOTO = "Choose a photo of each person in **Load Image**. *Person from Photo* takes its largest face and shows it."
EXAMPLE_PHOTO = """\
*Person from Photo* takes the largest face and shows it. The miniature knows drawn people only; the templates for SDXL \
take your own photos."""
NEXT_PERSON = "For one more person, copy the last one, connect `persons` of the one before, and draw a box."
WORDS = "Each person has **own words**: clothes, hair, what they do. They act in that person's part of the picture."
DONOR = "The lower photo gives head pose and expression, not likeness."
DRAWING = "Draw and drag squares. The person's `box` says which is theirs, by number or name."
REPLACING = "The face found in this photo gives the box. Face and hair are painted anew."
PROMPTING = "Describe clothes, place and style. Who it is comes from the photo."
SHARED = (
    "*Prompt* says what everybody shares: how many people, place, style. Clothes in this prompt would be read by all."
)
APPLYING = "*Apply RealisID* draws everybody in their boxes. `likeness`: more looks more like the photo. Press **Run**."


def notes(workflow: dict, about: str) -> dict[Step, str]:
    """A text for each step of a workflow; the first begins with what the workflow is about."""
    kinds = {node["class_type"] for node in workflow.values()}
    loading = next(text for kind, text in ABOUT_MODELS.items() if kind in kinds)
    spoken = any(name.startswith("words_") for name in workflow)
    photo = EXAMPLE_PHOTO if "RealisID_ExamplePortrait" in kinds else OWN_PHOTO
    who = {
        photo: "RealisID_PersonFromPhoto" in kinds,
        DONOR: "pose_photo" in workflow,
        NEXT_PERSON: "boxes" in workflow,
    }
    return {
        layout.MODELS: f"**{about}**\n\n{loading}",
        layout.WHERE: DRAWING if "boxes" in workflow else REPLACING,
        layout.WHO: "\n\n".join(text for text, wanted in who.items() if wanted),
        layout.PROMPT: f"{WORDS}\n\n{SHARED}" if spoken else PROMPTING,
        layout.PICTURE: APPLYING,
    }
