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

LOADING_SDXL = f"""\
SDXL base or a fine-tune, CLIP ViT-H (its download is called *model.safetensors*: save it in `models/clip_vision` as \
`{CLIP_VISION}`), and in `models/realisid` a RealisID model. None is published for SDXL; train one with \
`python -m realisid_core.training` (see the README)."""
LOADING_INSTANTID = """\
SDXL base or a fine-tune, and InstantID's files as its users have them: IdentityNet in `models/controlnet`, \
`ip-adapter.bin` in `models/instantid`, `glintr100.onnx` in `models/insightface/models/antelopev2`. Their terms: \
research only. Nothing is downloaded."""
LOADING_PLAIN = "SDXL base or a fine-tune. Nothing else is needed."
LOADING_MINIATURE = """\
The **miniature** ships with the pack: SDXL's parts, small. It draws the people of its own little world."""
OWN_PHOTO = "Choose a photo of each person in **Load Image**. "
EXAMPLE_PHOTO = "The miniature knows drawn people like this one only; the graphs for SDXL take your own photos. "
IDENTITY = "The photo's largest face, without the background, becomes the *ID embedding*: who it is."
IDENTITY_AS_IT_IS = "The photo's largest face, put upright, becomes the *ID embedding*: who it is."
WORDS = (
    "Each person has **own words**: clothes, hair, what they do. They act in that person's part of the picture only."
)
SHARED = """\
Say here what everybody shares: how many people, the place, the style. Clothes of one person in this prompt would be \
read by all."""
DRAWING = "Draw and drag squares on the stage. The person's `box` says which is theirs, by number or name."
REPLACING = "The face found in this photo gives the box. Face and hair are painted anew."
DONOR = "This face gives head pose and expression, not likeness. Without it, the reference photo's own are used."
PROMPTING = """\
Describe clothes, place and style: who it is comes from the photo. The *global branch* lays out the picture, \
the *local branch* draws each face enlarged."""
PROMPTING_INSTANTID = """\
Describe place and style: who it is comes from the photo. The *global branch* is IdentityNet: it draws each face in \
its box."""
SAMPLING_PLAIN = "*Identity Attention* shows everyone in their own part of the picture. Press **Run**."
SAMPLING = "`identity_guidance` pushes the likeness, the sampler's `cfg` the prompt. Press **Run**."


def notes(workflow: dict, about: str) -> dict[Step, str]:
    """A text for each step of a workflow; the first begins with what the workflow is about."""
    kinds = _kinds(workflow)
    known = "RealisID_IDEmbedding" in kinds
    loading = LOADING_SDXL if known else LOADING_PLAIN
    instantid = "RealisID_LoadInstantID" in kinds
    if instantid:
        loading = LOADING_INSTANTID
    if "RealisID_LoadMiniature" in kinds:
        loading = LOADING_MINIATURE
    photo = EXAMPLE_PHOTO if "RealisID_ExamplePortrait" in kinds else OWN_PHOTO
    spoken = any(name.startswith("words_") for name in workflow)
    read = IDENTITY_AS_IT_IS if instantid else IDENTITY
    who = ([photo + read] if known else []) + ([WORDS] if spoken else [])
    return {
        layout.MODELS: f"**{about}**\n\n{loading}",
        layout.WHO: "\n\n".join(who),
        layout.WHERE: DRAWING if "boxes" in workflow else REPLACING,
        layout.POSE: DONOR,
        layout.PROMPT: "\n\n".join(
            ([PROMPTING_INSTANTID if instantid else PROMPTING] if known else []) + ([SHARED] if spoken else [])
        ),
        layout.SAMPLE: SAMPLING if known and not instantid else SAMPLING_PLAIN,
    }


def _kinds(workflow: dict) -> set[str]:
    return {node["class_type"] for node in workflow.values()}
