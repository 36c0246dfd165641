"""The steps of a workflow from persons to a saved picture."""

from .graph import Graph, models

NEGATIVE = "blurry, deformed, low quality"


def finish(
    graph: Graph,
    name: str,
    prompt: str,
    persons: list,
    latent: list | None = None,
    denoise: float = 1.0,
) -> None:
    """Prompt, branches, guidance, sampling and saving; the same in every workflow but for what its persons need."""
    parts, base = models(graph), graph.base
    graph.add("prompt", "CLIPTextEncode", "Prompt", text=prompt, clip=parts["clip"])
    graph.add("negative", "CLIPTextEncode", "Negative prompt", text=NEGATIVE, clip=parts["clip"])
    conditioning, model = (graph["prompt"], graph["negative"]), parts["model"]
    known = any(node["class_type"] == "RealisID_IDEmbedding" for node in graph.nodes.values())
    if known:
        conditioning = branches(graph, persons, *conditioning)
    if base.instantid or any(name.startswith("words_") for name in graph.nodes):
        options = {"weight": 0.8, "start": 0.0, "end": 1.0} | (
            {"realisid": parts["realisid"]} if base.instantid else {}
        )
        title = "Identities in the prompt's place" if base.instantid else "Everyone reads their own words"
        graph.add("attention", "RealisID_IdentityAttention", title, model=model, persons=persons, **options)
        model = graph["attention"]
    if known and not base.instantid:
        graph.add(
            "guidance",
            "RealisID_IdentityGuidance",
            "Identity guidance",
            model=model,
            identity_guidance=base.identity_guidance,
            without_identity=base.without_identity,
            identity_start=0.0,
            text_only_start=0.0,
            text_only_end=1.0,
        )
        model = graph["guidance"]
    if latent is None:
        size = {"width": graph["boxes", 3], "height": graph["boxes", 4]}
        graph.add("latent", "EmptyLatentImage", "Size", **size, batch_size=1)
        latent = graph["latent"]
    graph.add(
        "sample",
        "KSampler",
        "Sample",
        model=model,
        positive=conditioning[0],
        negative=conditioning[1],
        latent_image=latent,
        seed=7,
        steps=base.steps,
        cfg=base.cfg,
        sampler_name="ddim",
        scheduler="ddim_uniform",
        denoise=denoise,
    )
    graph.add("decode", "VAEDecode", "Decode", samples=graph["sample"], vae=parts["vae"])
    graph.add("save", "SaveImage", "Save", images=graph["decode"], filename_prefix=f"RealisID/{name}")


def branches(graph: Graph, persons: list, positive: list, negative: list) -> tuple[list, list]:
    """Both branches on a pair of conditionings; InstantID has the global one."""
    every = [("Global", {"reuse": 1, "one_pass": False, "sharing": "own region"}), ("Local", {"reuse": 1})]
    for branch, options in every[:1] if graph.base.instantid else every:
        graph.add(
            branch.lower(),
            f"RealisID_Apply{branch}Branch",
            f"{branch} branch",
            positive=positive,
            negative=negative,
            realisid=models(graph)["realisid"],
            persons=persons,
            strength=0.8 if graph.base.instantid else 1.0,
            start=0.0,
            end=1.0,
            **options,
        )
        positive, negative = graph[branch.lower(), 0], graph[branch.lower(), 1]
    return positive, negative
