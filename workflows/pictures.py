"""The steps of a workflow from persons to a saved picture."""

from .graph import MINIATURE, Graph, models

NEGATIVE = "blurry, deformed, low quality"


def finish(
    graph: Graph, name: str, prompt: str, persons: list, latent: list | None = None, denoise: float = 1.0
) -> None:
    """Prompt, Apply RealisID, sampling and saving; the same in every workflow."""
    parts = models(graph)
    prompts(graph, prompt)
    inputs = {"model": parts["model"], "positive": graph["prompt"], "negative": graph["negative"], "persons": persons}
    if "realisid" in parts:
        inputs["realisid"] = parts["realisid"]
    graph.add("apply", "RealisID_Apply", "Apply RealisID", **inputs, likeness=1.0)
    model, positive, negative = (graph["apply", slot] for slot in range(3))
    save(graph, name, model, positive, negative, latent or graph["boxes", 5], denoise)


def prompts(graph: Graph, prompt: str) -> None:
    for name, title, text in (("prompt", "Prompt", prompt), ("negative", "Negative prompt", NEGATIVE)):
        graph.add(name, "CLIPTextEncode", title, text=text, clip=models(graph)["clip"])


def save(
    graph: Graph, name: str, model: list, positive: list, negative: list, latent: list, denoise: float = 1.0
) -> None:
    """Sampling, decoding and saving."""
    graph.add(
        "sample",
        "KSampler",
        "Sample",
        model=model,
        positive=positive,
        negative=negative,
        latent_image=latent,
        seed=7,
        steps=graph.base.steps,
        cfg=graph.base.cfg,
        sampler_name="ddim",
        scheduler="ddim_uniform",
        denoise=denoise,
    )
    graph.add("decode", "VAEDecode", "Decode", samples=graph["sample"], vae=models(graph)["vae"])
    graph.add("save", "SaveImage", "Save", images=graph["decode"], filename_prefix=f"RealisID/{name}")


def step_by_step(graph: Graph, persons: list, prompt: str, name: str) -> None:
    """What Apply RealisID does, by the node of each step."""
    parts = models(graph)
    prompts(graph, prompt)
    conditioning = graph["prompt"], graph["negative"]
    every = (("global", "Global", {"one_pass": False, "sharing": "own region"}), ("local", "Local", {}))
    for branch, title, options in every:
        graph.add(
            branch,
            f"RealisID_Apply{title}Branch",
            f"{title} branch",
            positive=conditioning[0],
            negative=conditioning[1],
            realisid=parts["realisid"],
            persons=persons,
            **{"strength": 1.0, "start": 0.0, "end": 1.0, "reuse": 1, **options},
        )
        conditioning = graph[branch, 0], graph[branch, 1]
    weights = (3.0, "off") if graph.base is MINIATURE else (5.0, "null identity")
    graph.add(
        "guidance",
        "RealisID_IdentityGuidance",
        "Identity guidance",
        model=parts["model"],
        identity_guidance=weights[0],
        without_identity=weights[1],
        identity_start=0.0,
        text_only_start=0.0,
        text_only_end=1.0,
    )
    size = {"width": graph["boxes", 3], "height": graph["boxes", 4]}
    graph.add("latent", "EmptyLatentImage", "Size", **size, batch_size=1)
    save(graph, name, graph["guidance"], *conditioning, graph["latent"])
