"""InstantID's public layout read into this pack's parts, and the usual node's result on the same random weights."""

import comfy.ldm.modules.diffusionmodules.openaimodel as openaimodel
import comfy.ops
import comfy.utils
import numpy as np
import pytest
import torch
from comfy.cldm.cldm import ControlNet as ControlNetwork
from onnx_files import recogniser_file
from pictures import FRAME, LEFT, RIGHT, close, landmarks, miniature, prompt, sample
from safetensors.torch import save_file
from test_identity_attention import computed_by_hand, softmax_attention
from test_instantid_parts import POINTS, faces_of, randomised

import nodes as host_nodes
from realisid_core.attention.decoupled import IdentityAdapter
from realisid_core.attention.unet_layers import cross_attentions
from realisid_core.conditions.five_points import five_points_image
from realisid_core.geometry import FaceBox, from_pixels
from realisid_core.identity.arcface import aligned
from realisid_core.identity.encoder import IDEmbedding
from realisid_core.identity.resampler import Resampler
from realisid_core.perception.landmarks import crop_frame
from realisid_core.persons import Person, embed_person
from realisid_core.public_files import from_diffusers, load_instantid, read_tensors
from realisid_core.sampling.apply import Settings, apply_branch
from realisid_core.sampling.apply_attention import apply_attention
from realisid_core.sampling.apply_persons import apply_persons

WIDTH = 192
SDXL = {
    "image_size": 32, "in_channels": 4, "model_channels": 320, "channel_mult": [1, 2, 4], "num_res_blocks": [2, 2, 2],
    "transformer_depth": [0, 0, 2, 2, 10, 10], "transformer_depth_middle": 10, "context_dim": 2048,
    "num_classes": "sequential", "adm_in_channels": 2816, "num_head_channels": 64, "use_spatial_transformer": True,
    "use_linear_in_transformer": True, "dtype": None, "device": "meta", "operations": comfy.ops.disable_weight_init,
}  # fmt: skip

OUTPUT_DEPTHS = [0, 0, 0, 2, 2, 2, 10, 10, 10]


def resampler_state(context_dim: int = WIDTH, embedding: int = 512) -> dict:
    shape = {"tokens": 16, "dim": 128, "inner": 128, "embedding": embedding, "hidden": 256, "depth": 2}
    return randomised(Resampler(**shape, context_dim=context_dim), 1).state_dict()


def adapter_state(context_dim: int = WIDTH) -> dict:
    widths = [layer.to_k.out_features for layer in cross_attentions(miniature().model.model.diffusion_model).values()]
    return {
        key: value * 0.5
        for key, value in randomised(IdentityAdapter(widths, context_dim), 2).layers.state_dict().items()
    }


def network_state() -> dict:
    return {key: value.float() for key, value in miniature().realisid.parts["local"].control_model.state_dict().items()}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """IdentityNet, ip-adapter and recogniser as their users have them, small and random."""
    folder = tmp_path_factory.mktemp("instantid")
    save_file(network_state(), folder / "identitynet.safetensors")
    torch.save({"image_proj": resampler_state(), "ip_adapter": adapter_state()}, folder / "ip-adapter.bin")
    weights = np.random.default_rng(0).normal(size=(512, 3)).astype(np.float32)
    return folder, recogniser_file(folder / "glintr100.onnx", weights), weights


@pytest.fixture(scope="module")
def instantid(files):
    folder, recogniser, _ = files
    return load_instantid(folder / "identitynet.safetensors", folder / "ip-adapter.bin", recogniser, "miniature")


def test_a_photos_embedding_is_the_resampled_mean_of_the_raw_vectors(instantid, files):
    faces = faces_of(POINTS, POINTS + np.array([8, 5]))
    embedding, encoded = embed_person(instantid, None, faces)
    assert embedding.tokens.shape == (1, 16, WIDTH) and encoded.seen.shape == (2, 112, 112, 3)
    pixels = faces.pixels(0)
    vectors = [
        files[2] @ ((aligned(pixels, points).astype(np.float64) - 127.5) / 127.5).mean((0, 1))
        for points in (POINTS, POINTS + np.array([8, 5]))
    ]
    network = instantid.parts["id_projector"].model
    with torch.no_grad():
        expected = network(torch.tensor(np.mean(vectors, axis=0), dtype=torch.float32)[None, None])
        null = network(torch.zeros(1, 1, 512))
    assert close(embedding.tokens, expected, 1e-4)
    assert torch.equal(instantid.null_identity(), null)


def photo_person(instantid, seed: int) -> tuple[Person, np.ndarray]:
    """Somebody whose box is where their photo has it, and their five points in pixels of the picture."""
    face = landmarks(seed)
    face["landmarks_xy"] = face["landmarks_xy"] * 1.2 + 60
    face["bbox_xyxy"] = [*face["landmarks_xy"].min(0), *face["landmarks_xy"].max(0)]
    box = from_pixels(*crop_frame(face), *FRAME)
    tokens = torch.randn(1, 16, WIDTH, generator=torch.Generator().manual_seed(seed))
    return Person(IDEmbedding(tokens, method="instantid"), face, box, FRAME), face["landmarks_xy"][
        [468, 473, 4, 61, 291]
    ]


def test_likeness_is_the_adapters_weight_and_none_is_identity_net_alone(instantid):
    conds = prompt("a person wearing a red sweater"), prompt("blurry")
    someone, _ = photo_person(instantid, 1)

    def picture(model, *applied):
        return sample(*applied, model)

    stock = picture(*apply_persons(miniature().model, *conds, [someone], instantid))
    assert torch.equal(stock, picture(*instantid.method.apply(instantid, [someone], miniature().model, *conds)))
    for likeness in (0.5, 0.0):
        model = miniature().model
        if likeness:
            model = apply_attention(model, [someone], instantid, 0.8 * likeness)
        branch = apply_branch(instantid.branch("global"), *conds, [someone], Settings(0.8))
        ours = picture(*apply_persons(miniature().model, *conds, [someone], instantid, likeness))
        assert close(ours, picture(model, *branch))
        assert not close(ours, stock, 1e-3)


def test_one_person_where_their_photo_has_them_is_the_usual_nodes_picture(instantid):
    """InstantID's formulas: IdentityNet on five points under its tokens at 0.8; out += 0.8 softmax(q Kᵀ/√d) V."""
    positive, negative = prompt("a person wearing a red sweater"), prompt("blurry")
    someone, points = photo_person(instantid, 1)
    model, *conds = instantid.method.apply(instantid, [someone], miniature().model, positive, negative)
    ours = sample(*conds, model)

    null, adapter = instantid.null_identity(), adapter_state()
    with_context = [
        [[text, {**options, "cross_attn_controlnet": context}] for text, options in conditioning]
        for conditioning, context in ((positive, someone.tokens), (negative, null))
    ]
    hint = five_points_image([points], *FRAME)[None]
    apply = host_nodes.ControlNetApplyAdvanced().apply_controlnet
    stock = apply(*with_context, instantid.parts["global"], hint, 0.8, 0.0, 1.0)
    numbers = {place: 2 * n + 1 for n, place in enumerate(cross_attentions(model.model.diffusion_model))}

    def attend(place, layer, x, context, options):
        out = []
        for row, of in enumerate(options["cond_or_uncond"]):
            q, tokens = layer.to_q(x[row]), (someone.tokens, null)[of][0]
            k, v = (tokens @ adapter[f"{numbers[place]}.to_{name}_ip.weight"].T for name in "kv")
            text = softmax_attention(layer, q, layer.to_k(context[row]), layer.to_v(context[row]))
            out.append(text + 0.8 * softmax_attention(layer, q, k, v))
        return torch.stack(out)

    with computed_by_hand(attend):
        usual = sample(*stock)
    assert close(ours, usual, 1e-4)
    assert not close(ours, sample(positive, negative), 1e-2)
    assert not close(ours, sample(*conds), 1e-3)  # the adapter has its part
    assert not close(ours, sample(positive, negative, model), 1e-3)  # and IdentityNet


def test_people_share_the_picture_by_region_and_their_order_does_not_matter(instantid):
    positive, negative = prompt("two persons"), prompt("")
    people = [photo_person(instantid, seed)[0] for seed in (1, 2)]
    people = [Person(one.embedding, one.landmarks, box, FRAME) for one, box in zip(people, (LEFT, RIGHT), strict=True)]

    def picture(persons):
        model, *conds = instantid.method.apply(instantid, persons, miniature().model, positive, negative)
        return sample(*conds, model)

    both = picture(people)
    assert close(both, picture(people[::-1]), 1e-4)
    assert not close(both, picture(people[:1]), 1e-3)


def test_the_null_identity_replaces_everyones_where_guidance_says_so(instantid):
    from realisid_core.sampling.guidance import IdentityGuidance
    from realisid_core.sampling.rows import IdentityMode

    positive, negative = prompt("a person"), prompt("")
    someone, _ = photo_person(instantid, 1)
    nobody = Person(IDEmbedding(instantid.null_identity(), method="instantid"), someone.landmarks, someone.box, FRAME)
    guidance = IdentityGuidance(5.0, IdentityMode.NULL, identity_start=1.0)  # withheld to the end
    model, *conds = instantid.method.apply(instantid, [someone], miniature().model, positive, negative)
    with_nobody, *null_conds = instantid.method.apply(instantid, [nobody], miniature().model, positive, negative)
    assert close(sample(*conds, guidance.patch(model)), sample(*null_conds, with_nobody), 1e-4)


def test_the_local_branch_is_refused_in_words(instantid):
    with pytest.raises(ValueError, match=r"method instantid, which has no local branch. Apply what it has: the global"):
        instantid.branch("local", None)


def test_the_adapters_numbers_are_those_of_sdxls_cross_attentions_down_up_middle():
    options = {**SDXL, "out_channels": 4, "transformer_depth_output": OUTPUT_DEPTHS[:]}
    layers = cross_attentions(openaimodel.UNetModel(**options))
    widths = {2 * n + 1: (place, layer.to_k.out_features) for n, (place, layer) in enumerate(layers.items())}
    assert len(widths) == 70
    assert widths[1] == (("input", 4, 0), 640) and widths[7] == (("input", 5, 1), 640)
    assert widths[9] == (("input", 7, 0), 1280) and widths[47] == (("input", 8, 9), 1280)
    assert widths[49] == (("output", 0, 0), 1280) and widths[107] == (("output", 2, 9), 1280)
    assert widths[109] == (("output", 3, 0), 640) and widths[119] == (("output", 5, 1), 640)
    assert widths[121] == (("middle", 0, 0), 1280) and widths[139] == (("middle", 0, 9), 1280)
    assert round(sum(2 * 2048 * width for _, width in widths.values()) / 1e6, 1) == 340.8


def diffusers_state() -> tuple[dict, dict]:
    """An SDXL ControlNet's tensors under diffusers' keys, and the host's key of each; nothing is allocated."""
    network = ControlNetwork(**SDXL, hint_channels=3)
    shapes = {key: value.shape for key, value in network.state_dict().items()}
    config = {**SDXL, "transformer_depth_output": OUTPUT_DEPTHS}
    names = {host: theirs for theirs, host in comfy.utils.unet_to_diffusers(config).items()}
    hint = ["conv_in", *(f"blocks.{i}" for i in range(6)), "conv_out"]
    for suffix in ("weight", "bias"):
        names[f"middle_block_out.0.{suffix}"] = f"controlnet_mid_block.{suffix}"
        names |= {
            f"input_hint_block.{2 * i}.{suffix}": f"controlnet_cond_embedding.{n}.{suffix}" for i, n in enumerate(hint)
        }
        names |= {f"zero_convs.{i}.0.{suffix}": f"controlnet_down_blocks.{i}.{suffix}" for i in range(9)}
    one = torch.zeros(1)
    return {names[key]: one.expand(shape) for key, shape in shapes.items()}, {names[key]: key for key in shapes}


def test_diffusers_keys_become_the_hosts_one_by_one():
    state, expected = diffusers_state()
    found = from_diffusers(state)
    assert set(found) == set(expected.values())
    assert all(found[host].shape == state[theirs].shape for theirs, host in expected.items())
    key = "down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_k.weight"
    assert expected[key] == "input_blocks.4.1.transformer_blocks.1.attn2.to_k.weight"
    assert "mid_block.attentions.0.transformer_blocks.9.attn2.to_v.weight" in state
    with pytest.raises(ValueError, match='the key "task_embedding" has no place'):
        from_diffusers({**state, "task_embedding": torch.zeros(6, 320)})


def written(path, values) -> object:
    save_file(values, path) if path.suffix == ".safetensors" else torch.save(values, path)
    return path


class Harm:
    """A pickle that would make a file when it is read."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def flat(**parts) -> dict:
    return {f"{name}.{key}": value for name, state in parts.items() for key, value in state.items()}


WRONG = {
    "SD1.5": (
        lambda: {"image_proj": resampler_state(), "ip_adapter": adapter_state(768)},
        r"made for context 768 \(SD1.5",
    ),
    "FaceID": (
        lambda: {"image_proj": {"proj.0.weight": torch.zeros(4, 512)}, "ip_adapter": adapter_state()},
        "FaceID file.*image_proj.proj.0",
    ),
    "plain": (
        lambda: {"image_proj": {"proj.weight": torch.zeros(4, 512)}, "ip_adapter": adapter_state()},
        "IP-Adapter without InstantID's resampler",
    ),
    "PuLID": (lambda: {"id_adapter": {"a": torch.zeros(2)}, "id_adapter_attn_layers": {}}, "this is PuLID's"),
    "Plus": (
        lambda: {"image_proj": resampler_state(embedding=1280), "ip_adapter": adapter_state()},
        "reads vectors of 1280; a face recogniser gives 512",
    ),
    "no adapter": (lambda: {"image_proj": resampler_state()}, r"it has no ip_adapter\.\*"),
    "no resampler": (lambda: {"ip_adapter": adapter_state()}, r"it has no image_proj\.\*"),
    "a layer missing": (
        lambda: {
            "image_proj": resampler_state(),
            "ip_adapter": {k: v for k, v in adapter_state().items() if k != "5.to_v_ip.weight"},
        },
        "adapter.5.to_v_ip.weight is missing",
    ),
    "fewer layers": (
        lambda: {
            "image_proj": resampler_state(),
            "ip_adapter": {k: v for k, v in adapter_state().items() if not k.startswith("17.")},
        },
        "",
    ),
    "NaN": (
        lambda: {
            "image_proj": resampler_state() | {"proj_in.bias": torch.full((128,), torch.nan)},
            "ip_adapter": adapter_state(),
        },
        "id_projector.proj_in.bias has values that are NaN",
    ),
    "no tensors": (lambda: {"image_proj": 5}, "it holds a int at image_proj"),
    "a list": (lambda: [1, 2], "it holds a list at its top"),
}


@pytest.mark.parametrize("name", [name for name in WRONG if WRONG[name][1]])
def test_other_files_than_instantids_adapter_are_refused_by_name(files, tmp_path, name):
    make, says = WRONG[name]
    path = written(tmp_path / "ip-adapter.bin", make())
    with pytest.raises(ValueError, match=f"(?s)ip-adapter.bin.*{says}"):
        load_instantid(files[0] / "identitynet.safetensors", path, None, "miniature")


def test_an_adapter_with_fewer_layers_than_the_model_is_refused_when_applied(files, tmp_path):
    path = written(tmp_path / "ip-adapter.bin", WRONG["fewer layers"][0]())
    model = load_instantid(files[0] / "identitynet.safetensors", path, None, "miniature")
    someone, _ = photo_person(model, 1)
    with pytest.raises(ValueError, match=r"has nothing for the cross-attention middle 0.0"):
        model.method.apply(model, [someone], miniature().model, prompt("a"), prompt("b"))


def test_a_pickle_runs_no_code(files, tmp_path):
    path = written(tmp_path / "ip-adapter.bin", {"image_proj": Harm(tmp_path / "harm"), "ip_adapter": adapter_state()})
    with pytest.raises(ValueError, match=r"hold more than weights, which is refused"):
        load_instantid(files[0] / "identitynet.safetensors", path, None, "miniature")
    assert not (tmp_path / "harm").exists()


def test_the_adapter_may_be_a_safetensors_file_or_an_old_pickle(files, tmp_path, instantid):
    parts = {"image_proj": resampler_state(), "ip_adapter": adapter_state()}
    network = files[0] / "identitynet.safetensors"
    as_safetensors = written(tmp_path / "ip-adapter.safetensors", flat(**parts))
    torch.save(parts, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    for path in (as_safetensors, tmp_path / "old.bin"):
        found = load_instantid(network, path, None, "miniature")
        for part in ("id_projector", "adapter"):
            ours, theirs = (one.parts[part].model.state_dict() for one in (found, instantid))
            assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: {k: v for k, v in state.items() if "hint" not in k}, "this is not a ControlNet"),
        (lambda state: {"conditioner.x": torch.zeros(2)}, "this is not a ControlNet.*conditioner.x"),
        (
            lambda state: state | {"input_hint_block.0.weight": torch.zeros(16, 1, 3, 3)},
            "input_hint_block takes 1 channels; expected 3",
        ),
        (
            lambda state: {k: v for k, v in state.items() if k != "time_embed.0.weight"},
            "time_embed.0.weight is missing",
        ),
    ],
    ids=["no hint", "another model", "1-channel hint", "a key missing"],
)
def test_other_files_than_identitynet_are_refused_by_name(files, tmp_path, change, says):
    path = written(tmp_path / "net.safetensors", change(network_state()))
    with pytest.raises(ValueError, match=f"(?s)net.safetensors.*{says}"):
        load_instantid(path, files[0] / "ip-adapter.bin", None, "miniature")


def test_files_cut_short_and_of_other_kinds_are_refused_by_name(files, tmp_path):
    (tmp_path / "cut.bin").write_bytes((files[0] / "ip-adapter.bin").read_bytes()[:1000])
    (tmp_path / "cut.safetensors").write_bytes((files[0] / "identitynet.safetensors").read_bytes()[:1000])
    for name in ("cut.bin", "cut.safetensors"):
        with pytest.raises(ValueError, match="cannot be read as weights"):
            read_tensors(tmp_path / name)
    (tmp_path / "a.txt").write_text("no")
    with pytest.raises(ValueError, match="not a file of weights"):
        read_tensors(tmp_path / "a.txt")


def test_a_photo_without_a_recogniser_is_refused(files):
    folder, *_ = files
    model = load_instantid(folder / "identitynet.safetensors", folder / "ip-adapter.bin", None, "miniature")
    with pytest.raises(ValueError, match="reads the vectors of a face recogniser, and none is loaded"):
        embed_person(model, None, faces_of(POINTS))


def test_the_size_of_a_file_that_is_not_the_published_one_is_said(files, caplog):
    folder, *_ = files
    load_instantid(folder / "identitynet.safetensors", folder / "ip-adapter.bin", None, "miniature")
    assert "ip-adapter.bin has" in caplog.text and "as published has 1691134141" in caplog.text


def test_eight_people_fit(instantid):
    boxes = [FaceBox(0.02 + 0.12 * i, 0.3, 0.1, 0.1) for i in range(8)]
    people = [
        Person(one.embedding, one.landmarks, box, FRAME)
        for box, one in ((box, photo_person(instantid, i)[0]) for i, box in enumerate(boxes))
    ]
    model, *conds = instantid.method.apply(instantid, people, miniature().model, prompt("people"), prompt(""))
    assert torch.isfinite(sample(*conds, model, steps=1)).all()
