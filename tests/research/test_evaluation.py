"""The evaluation reads pictures rightly: true pictures of what was asked for score high, wrong ones low."""

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from realisid_core.miniature.loading import WEIGHTS
from realisid_core.miniature.networks import FIRST
from research.evaluation import colours, runs, tasks
from research.evaluation.generation import Painter, Sampling
from research.evaluation.parts import parts, with_inside
from research.evaluation.report import SIZES, changes, report
from research.world import render

COUNT = 6


def asked(name, count=COUNT):
    return [tasks.task(tasks.PROTOCOLS[name], number, 0) for number in range(count)]


def drawn(task, size=FIRST.image_size):
    return render(task.scene, size).image


def measured(task, picture, stranger):
    from research.evaluation.measures import measure

    return measure(picture, 0, task, stranger)


def test_a_number_shows_the_same_people_at_every_size():
    first, last = (asked(name)[0] for name in ("one person, 1/4", "one person, 1/7"))
    assert first.scene.people[0].identity == last.scene.people[0].identity
    assert first.scene.people[0].pose == last.scene.people[0].pose
    assert last.scene.people[0].box[2] == pytest.approx(1 / 7, abs=1e-4)


def test_no_person_is_met_twice_and_donors_are_others():
    everyone = [person.identity for task in asked("three people, 1/5") for person in task.scene.people]
    donors = [donor.people[0].identity for task in asked("three people, 1/5") for donor in task.donors]
    assert len(set(everyone + donors)) == 6 * COUNT


def test_people_for_choosing_settings_are_not_the_held_out_ones():
    protocol = tasks.PROTOCOLS["one person, 1/4"]
    held_out = {tasks.task(protocol, number).scene.people[0].identity for number in range(COUNT)}
    others = {tasks.task(protocol, number, seed=1).scene.people[0].identity for number in range(COUNT)}
    assert not held_out & others


def test_every_second_picture_of_two_has_overlapping_boxes():
    def overlapping(task):
        (x, _, side), (other, _, _) = (person.box for person in task.scene.people)
        return abs(x - other) < side

    assert [overlapping(task) for task in asked("two people, 1/4")] == [False, True] * (COUNT // 2)


def test_true_pictures_have_the_colours_that_were_asked_for():
    shirts, backgrounds = [], []
    for task in asked("one person, 1/5", 40):
        shirts.append(colours.shirt_colour(drawn(task), task.scene, 0))
        backgrounds.append(colours.background_colour(drawn(task), task.scene))
    assert np.nanmean(shirts) >= 0.95
    assert np.nanmean(backgrounds) >= 0.95


def test_a_picture_in_another_colour_is_noticed():
    task = asked("one person, 1/5")[0]
    person = task.scene.people[0]
    other = "red" if person.shirt[0] != "red" else "blue"
    repainted = replace(task.scene, people=(replace(person, shirt=(other, person.shirt[1])),))
    assert colours.shirt_colour(render(repainted, FIRST.image_size).image, task.scene, 0) == 0


def test_a_true_picture_scores_high_in_everything():
    for name in ("one person, 1/4", "two people, 1/4"):
        task, stranger = asked(name)[0], asked(name)[1].references[0]
        for row in measured(task, drawn(task), stranger):
            assert row.similarity > 0.5 > row.stranger
            assert row.overlap > 0.6
            assert row.people == 0
            assert row.yaw < 12 and row.jaw < 0.35
            assert not row.similarity <= row.neighbour


def test_the_picture_of_somebody_else_in_another_pose_and_place_scores_low():
    task, other = asked("one person, 1/4")[:2]
    right = measured(task, drawn(task), other.references[0])[0]
    wrong = measured(task, drawn(other), other.references[0])[0]
    assert wrong.similarity < right.similarity
    assert wrong.overlap < right.overlap


def test_an_evaluation_goes_on_where_it_stopped_and_reports(tmp_path):
    run = runs.Evaluation(tmp_path, 2, 0, ["one person, 1/4"], 1)
    run.draw("true", None, None, Sampling())
    pictures = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    runs.Evaluation(tmp_path, 3, 0, ["one person, 1/4"], 1).draw("true", None, None, Sampling())
    assert len(list(tmp_path.rglob("*.png"))) == 3
    assert all(path.stat().st_mtime_ns == then for path, then in pictures.items())
    for _ in range(2):
        runs.Evaluation(tmp_path, 3, 0, ["one person, 1/4"], 1).measure()
    assert len(runs.read_measures(tmp_path / "true" / runs.MEASURES)) == 3
    report(tmp_path, seed=0)
    assert "Identity similarity" in (tmp_path / "tables.md").read_text(encoding="utf-8")
    assert (tmp_path / "sizes.png").is_file()


def test_the_parts_of_a_likeness_are_told_apart(tmp_path):
    """Pictures with the right hair round somebody else's face: only the inside of the box is wrong."""
    for size in SIZES:
        (wanted,), (_, other) = asked(size, 1), asked(size, 2)
        box = tasks.frame_box(wanted.scene.people[0], FIRST.image_size)
        moved = replace(other.scene.people[0], box=wanted.scene.people[0].box)
        face_of_another = render(replace(wanted.scene, people=(moved,)), FIRST.image_size).image
        path = tmp_path / "other" / runs.folder_name(size) / "00000.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(with_inside(drawn(wanted), face_of_another, box)).save(path)
    cells = re.findall(r"(\S+) / (\S+)", parts(tmp_path, seed=0).split("| other |")[1])
    assert len(cells) == len(SIZES)
    assert all(float(inside) < float(around) - 0.1 for inside, around in cells)


def test_a_change_is_of_the_same_faces_and_in_parts_of_the_shipped_mean():
    def rows(*similarities):
        return np.array([(n, 0, value) for n, value in similarities], [(name, float) for name in fields])

    fields, protocol = ("task", "person", "similarity"), "one person, 1/4"
    measured = {
        "miniature": {protocol: rows((0, 0.4), (1, 0.2))},
        "other": {protocol: rows((1, 0.1), (0, 0.4), (2, 1))},
    }
    assert "| other | -16.7% ± 11.8% |" in changes(measured)


def test_a_painter_draws_the_same_picture_from_the_same_seed():
    painter = Painter(WEIGHTS, None, Sampling(steps=2))
    task = asked("two people, 1/4")[1]
    first, again, other = (painter.draw(task, seed) for seed in (1, 1, 2))
    assert first.shape == (FIRST.image_size, FIRST.image_size, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_autoencoder_alone_all_but_gives_the_true_picture_back():
    task, other = asked("one person, 1/4")[:2]
    coded = Painter(WEIGHTS, None, Sampling()).reconstruct(task).astype(int)
    error, distance = (np.abs(coded - drawn(wanted)).mean() for wanted in (task, other))
    assert 0 < error < 0.2 * distance
