"""Overlays are honest: untouched where dark, one scale for all frames, in time, with the sound kept."""

import av
import numpy as np
import pytest

from avssl.localize import overlay
from avssl.localize.boxes import boxes_of
from avssl.localize.calibration import Calibration
from avssl.localize.film import Found, layer_of, render
from avssl.localize.heatmap import Heat
from avssl.localize.overlay import HUES, Layer, overlay_layers
from avssl.localize.stills import sheet
from avssl.localize.strip import legible, strip

GREY = np.full((24, 36, 3), 90, dtype=np.uint8)


def test_colours_are_a_fixed_scale():
    ends = overlay.colorize([[-3.0, 0.0, 1.0, 9.0]])
    assert ends.dtype == np.uint8
    assert ends.shape == (1, 4, 3)
    assert ends[0, 0].tolist() == ends[0, 1].tolist() != ends[0, 2].tolist() == ends[0, 3].tolist()
    brightness = overlay.colorize(np.linspace(0, 1, 32)[None])[0].astype(float) @ [0.299, 0.587, 0.114]
    assert (np.diff(brightness) > 0).all(), "a higher score must look brighter"


def test_below_the_threshold_the_picture_is_bit_equal():
    frame = np.random.default_rng(0).integers(0, 256, GREY.shape, dtype=np.uint8)
    scores = np.zeros((4, 6))
    scores[1, 2] = 0.9
    out = overlay.overlay_frame(frame, scores, 0.3, 1.0)
    enlarged = overlay.upsample(scores, (24, 36))
    assert np.array_equal(out[enlarged < 0.3], frame[enlarged < 0.3])
    assert (out[enlarged >= 0.3] != frame[enlarged >= 0.3]).any(axis=-1).mean() > 0.9
    assert (enlarged >= 0.3).any()
    dark = overlay.overlay_frame(frame, np.full((4, 6), 0.2999), 0.3, 1.0)
    assert np.array_equal(dark, frame)
    assert dark is not frame


def test_the_scale_is_the_score_and_not_the_frame():
    weak, strong = np.full((2, 2), 0.4), np.full((2, 2), 0.9)
    weakly, strongly = (overlay.overlay_frame(GREY, scores, 0.3, 1.0) for scores in (weak, strong))
    assert weakly[0, 0].tolist() != strongly[0, 0].tolist()
    lone = np.zeros((2, 2))
    lone[0, 0] = 0.4
    assert overlay.overlay_frame(GREY, lone, 0.3, 1.0)[0, 0].tolist() == weakly[0, 0].tolist()
    above = overlay.overlay_frame(GREY, np.full((2, 2), 5.0), 0.3, 1.0)
    assert np.array_equal(above, overlay.overlay_frame(GREY, np.ones((2, 2)), 0.3, 1.0))


def test_wrong_scales_and_frames_are_refused():
    with pytest.raises(ValueError, match="not above the threshold"):
        overlay.overlay_frame(GREY, np.zeros((2, 2)), 0.5, 0.5)
    with pytest.raises(ValueError, match="uint8"):
        overlay.overlay_frame(GREY.astype(np.float32), np.zeros((2, 2)), 0.5, 1.0)


def test_maps_between_times_are_interpolated():
    maps = np.array([[[0.0]], [[1.0]], [[5.0]]])
    found = [overlay.at_time(maps, [1.0, 2.0, 4.0], t).item() for t in (0.0, 1.0, 1.25, 2.0, 3.0, 9.0)]
    assert found == [0.0, 0.0, 0.25, 1.0, 3.0, 5.0]
    with pytest.raises(ValueError, match="increase"):
        overlay.at_time(maps, [1.0, 1.0, 4.0], 1.0)
    with pytest.raises(ValueError, match="3 maps but times"):
        overlay.at_time(maps, [1.0, 2.0], 1.0)


def test_loudness_in_decibels():
    sound = np.concatenate([np.full(100, 0.1), np.zeros(100), np.full(100, 1.0)])
    assert overlay.loudness(sound, 3) == pytest.approx([-20.0, -60.0, 0.0], abs=1e-6)
    assert overlay.loudness(np.stack([sound, sound]), 3) == pytest.approx([-20.0, -60.0, 0.0], abs=1e-6)
    assert overlay.loudness(np.zeros(0), 2).tolist() == [-60.0, -60.0]


def read(path):
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return pictures, None
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    return pictures, sound


def test_video_lights_up_in_place_and_time_and_keeps_the_sound(tmp_path):
    hz, fps, seconds = 16000, 10.0, 2
    frames = [np.full((64, 96, 3), 90, dtype=np.uint8)] * 20
    sound = np.zeros(seconds * hz, dtype=np.float32)
    sound[hz:] = 0.4 * np.sin(2 * np.pi * 440 * np.arange(hz) / hz)
    maps = np.zeros((5, 4, 6))
    maps[3:, 1, 4] = 1.0  # from 1.5 s on; rising from 1 s
    done = []
    layer = Layer(maps, np.arange(5) / 2, 0.3, 1.0, outlined=True)
    render(tmp_path / "o.mp4", iter(frames), fps, [layer], sound, hz, done.append)
    assert done == [k / fps for k in range(20)]
    assert [file.name for file in tmp_path.iterdir()] == ["o.mp4"]
    pictures, heard = read(tmp_path / "o.mp4")
    assert len(pictures) == 20
    assert pictures[0].shape == (64 + 24, 96, 3)
    assert np.abs(pictures[5][:64] - 90).max() <= 6  # dark: only the codec touched it
    touched = np.abs(pictures[18][:64] - 90).max(axis=-1)
    assert touched[24, 72] > 60
    assert touched[:, :32].max() <= 6
    # The cell is 16..32 x 64..80; at 1.4 s it scores 0.8 and is lit where the enlarged map is at least 0.3.
    assert pictures[14][18:30, 62].mean() > 180, "the outline's left side"
    assert np.abs(pictures[12][:64] - 90).max() > 60, "lit before the moment of the first lit map"
    assert np.abs(pictures[11][:64] - 90).max() <= 6, "0.2 is below the threshold"
    strip = pictures[0][64:]
    assert strip[8, 70:90].mean() > strip[8, 10:40].mean() + 60, "loud in the second half only"
    # The mark of the present moment is in column 0 here, and at 18 / 20 of the width in frame 18.
    lit = np.ptp(strip[-4:].mean(axis=0), axis=-1)  # colour against grey, [W]
    assert lit[65:].min() > 40
    assert lit[5:45].max() < 30
    assert int(pictures[18][70, :, :].sum(axis=-1).argmax()) in range(84, 89)
    assert len(heard) >= seconds * hz - 1024
    assert np.abs(heard[: hz - 2000]).max() < 0.02
    assert np.sqrt(np.mean(heard[hz + 2000 : 2 * hz - 2000] ** 2)) == pytest.approx(0.4 / np.sqrt(2), rel=0.05)


def test_video_without_sound_of_an_odd_size(tmp_path):
    frames = [np.full((33, 51, 3), 60, dtype=np.uint8)] * 3
    render(tmp_path / "o.mp4", frames, 5.0, [Layer(np.zeros((1, 2, 2)), [0.0], 0.5, 1.0)], None, 16000)
    pictures, sound = read(tmp_path / "o.mp4")
    assert sound is None
    assert len(pictures) == 3
    assert pictures[0].shape[0] - 24 in (33, 34)


def test_nothing_is_written_for_what_cannot_be_drawn(tmp_path):
    for times, ceiling, words in [([0.0, 1.0], 1.0, "times of shape"), ([0.0], 0.1, "not above")]:
        with pytest.raises(ValueError, match=words):
            Layer(np.zeros((1, 2, 2)), times, 0.5, ceiling)
    layer = Layer(np.zeros((1, 2, 2)), [0.0], 0.5, 1.0)
    with pytest.raises(ValueError, match="uint8"):
        render(tmp_path / "o.mp4", [GREY.astype(np.float32)], 5.0, [layer], None, 1)
    assert list(tmp_path.iterdir()) == []


def test_sheet_of_stills(tmp_path):
    frames = np.stack([GREY] * 3)
    times = [0.0, 0.5, 1.0]
    layer = Layer(np.eye(3)[None].repeat(3, 0), times, 0.5, 1.0)
    sheet(tmp_path / "s.png", frames, times, [layer], "bell", ["", "loudest", ""])
    assert [file.name for file in tmp_path.iterdir()] == ["s.png"]
    with av.open(str(tmp_path / "s.png")) as container:
        sheet_of_one = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert sheet_of_one.shape[1] > sheet_of_one.shape[0] > 300
    two = [Layer(layer.maps, times, 0.5, 1.0, name, hue) for hue, name in enumerate(("bell", "drum"))]
    sheet(tmp_path / "two.png", frames, times, two)
    with av.open(str(tmp_path / "two.png")) as container:
        assert next(container.decode(video=0)).height > sheet_of_one.shape[0] + 150, "a row for each query"
    with pytest.raises(ValueError, match="as many of each"):
        sheet(tmp_path / "t.png", frames, times[:2], [layer])
    with pytest.raises(ValueError, match="at least one query"):
        sheet(tmp_path / "t.png", frames, times, [])


def test_letters_that_the_font_lacks_become_dots(recwarn, tmp_path):
    assert legible("a bell, größer") == "a bell, größer"
    assert legible("鐘 🔔") == "· ·"
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    sheet(tmp_path / "s.png", frames, [0.0, 1.0], [Layer(np.zeros((2, 4, 4)), [0.0, 1.0], 0.5, 1.0)], title="鐘")
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def two_queries():
    """A square each, which overlap, at one moment."""
    maps = np.zeros((2, 1, 6, 6))
    maps[0, :, 0:4, 0:4], maps[1, :, 2:6, 2:6] = 0.8, 0.6
    return [Layer(maps[k], [0.0], 0.5, 1.0, name, k) for k, name in enumerate(("bell", "drum"))]


def test_two_queries_have_a_colour_each_and_mix_in_no_order():
    frame = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    grey, layers = np.full_like(frame, 90), two_queries()
    out = overlay_layers(grey, layers, 0.0).astype(int)
    assert np.array_equal(out, overlay_layers(grey, layers[::-1], 0.0))
    for place, hue in ((4, 0), (44, 1)):
        towards = out[place, place] - 90
        assert np.sign(towards[np.argmax(HUES[hue])]) == 1, "its own colour is added"
    assert np.ptp(out[[4, 24, 44], [4, 24, 44]], axis=0).max() > 30, "the two and where they meet look different"
    alone = overlay_layers(grey, layers[1:], 0.0)[44, 44]
    assert np.array_equal(alone, out[44, 44]), "a query keeps its colour where it is shown alone"
    noisy = overlay_layers(frame, layers, 0.0)
    dark = (overlay.upsample(layers[0].maps[0], (48, 48)) < 0.5) & (overlay.upsample(layers[1].maps[0], (48, 48)) < 0.5)
    assert 0.2 < dark.mean() < 0.8
    assert np.array_equal(noisy[dark], frame[dark])
    unlit = [Layer(np.full((1, 2, 2), 0.4), [0.0], 0.5, 1.0, hue=k, outlined=True) for k in range(2)]
    assert np.array_equal(overlay_layers(frame, unlit, 0.0), frame)


@pytest.mark.parametrize("hues", [(None,), (0, 1)])
def test_outlines_are_those_of_what_the_frame_itself_lights(hues):
    maps = np.zeros((2, 8, 8))
    maps[0, 2:6, 2:6] = 1.0
    found = Found("bell", Heat(maps, np.array([0.0, 0.08]), np.zeros(2)), Calibration(0.9, 2.0, "abc", "by hand"))
    layers = [layer_of(found, hue, boxes=True) for hue in hues]
    frame = np.random.default_rng(0).integers(0, 200, (64, 64, 3), dtype=np.uint8)
    for seconds in (0.009, 0.02, 0.039, 0.041, 0.08, 1.0):  # below 0.9 from 0.008 s on, nearer to the lit map at first
        assert np.array_equal(overlay_layers(frame, layers, seconds), frame), seconds
    for seconds in (0.0, 0.007):
        (box,) = boxes_of(layers[0].at(seconds), 0.9)
        left, row = int(64 * box.box[0]), 32
        drawn = overlay_layers(frame, layers, seconds)
        assert drawn[row, left].tolist() == list(layers[-1].line), "the outline begins where the frame's own map is lit"
        plain = [layer_of(found, hue, boxes=False) for hue in hues]
        assert overlay_layers(frame, plain, seconds)[row, left].tolist() != list(layers[-1].line), "none was asked for"


def test_outlines_move_with_what_is_lit_between_maps():
    maps = np.zeros((2, 8, 8))
    maps[0, :, :4], maps[1, :, 4:] = 1.0, 1.0
    layer = Layer(maps, [0.0, 1.0], 0.6, 2.0, outlined=True)
    halves = [overlay_layers(np.zeros((64, 64, 3), np.uint8), [layer], at).max(axis=(0, 2)) for at in (0.0, 0.5, 1.0)]
    assert [(half[:28].max() > 0, half[36:].max() > 0) for half in halves] == [(1, 0), (0, 0), (0, 1)]


def test_strip_has_a_row_for_each_query_and_their_names():
    layers = two_queries()
    one, two = strip(200, 2.0, None, 1, [layers[0]]), strip(200, 2.0, None, 1, layers)
    assert one.shape == (24, 200, 3)
    assert two.shape[0] % 2 == 0
    assert two.shape[0] > 24 + 7 + 12
    rows = [two[18 + 3], two[25 + 3]]
    assert [tuple(row[100].tolist()) for row in rows] == [tuple(one_.lit(one_.maps.max()).tolist()) for one_ in layers]
    names = two[-18:].astype(int)
    for half, hue in ((names[:, :100], 0), (names[:, 100:], 1)):
        written = half[np.ptp(half, axis=-1) > 60]
        assert len(written) > 10
        assert np.argmax(written.sum(0)) == np.argmax(HUES[hue])


def test_only_the_part_that_is_lit_is_drawn_and_comes_out_as_the_whole():
    rng = np.random.default_rng(3)
    for height, width, h, w in [(24, 36, 4, 6), (33, 51, 5, 3), (48, 40, 1, 2), (7, 9, 8, 11)]:
        frame = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        for share in (0.02, 0.2, 0.9):
            cells = rng.random((h, w))
            threshold = float(np.quantile(cells, 1 - share))
            enlarged = overlay.upsample(cells, (height, width))
            out = overlay.overlay_frame(frame, cells, threshold, threshold + 0.5)
            lit = enlarged >= threshold
            assert np.array_equal(out[~lit], frame[~lit])
            levels = np.clip((enlarged - threshold) / 0.5, 0, 1)[..., None]
            opacity = overlay.FAINTEST + (overlay.STRONGEST - overlay.FAINTEST) * levels
            whole = (1 - opacity) * frame + opacity * overlay.colorize(levels[..., 0])
            assert np.abs(out.astype(int) - whole)[lit].max(initial=0) <= 3
            two = [Layer(cells[None], [0.0], threshold, threshold + 0.5, hue=k) for k in (0, 1)]
            assert np.array_equal(overlay_layers(frame, two, 0.0)[~lit], frame[~lit])


def test_drawing_ahead_keeps_order_and_tells_failures():
    from avssl.localize.film import ahead

    def failing():
        yield from range(20)
        raise ValueError("no picture 20")

    assert list(ahead(iter(range(50)), 3)) == list(range(50))
    taken = ahead(failing(), 4)
    assert [next(taken) for _ in range(20)] == list(range(20))
    with pytest.raises(ValueError, match="no picture 20"):
        next(taken)
    made = []
    endless = ahead((made.append(k) or k for k in range(10**9)), 4)
    assert next(endless) == 0
    endless.close()
    assert len(made) < 10, "who stops taking stops the making"
