"""The tables and curves of the comparison of audio-visual and narrated methods, from made rows."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import audiovisual_curves
import audiovisual_grounds
import audiovisual_tables
import audiovisual_uses


def made_row(name, seed, found, probe, **more):
    """A row with these figures, each fraction beside an untrained network's 0.1 and chance's 0.05."""

    def figure(value):
        return {"trained": value, "untrained": 0.1, "chance": 0.05, "trivial": 0.2, "judged": 40}

    course = [{"step": k, "seconds": 2.0 * k, "directions": {"video_to_audio": found * k / 4}} for k in range(5)]
    return {
        "config": "audiovisual", "on": "world", "figure": "ndcg10", "name": name, "steps": 9, "seed": seed,
        "data": "abcdef", "train_seconds": 8.0,
        "retrieval": {"video_to_audio": {"ndcg10": figure(found), "r1": figure(found), "n": 40}},
        "probes": {"video": {"kind": figure(probe)}, "audio": {"esc10": figure(probe)}}, "course": course,
        "uses": {}, **more,
    }  # fmt: skip


def test_tables_hold_the_spread_and_who_is_ahead_of_the_flagship():
    rows = [made_row("trimodal", seed, value, 0.5) for seed, value in enumerate((0.4, 0.6))]
    rows += [made_row("avid", seed, value, 0.4) for seed, value in enumerate((0.7, 0.9))]
    rows += [made_row("gdt", seed, 0.6, 0.9) for seed in (0, 1)]
    rows += [made_row("cma", 0, 1.0, 1.0)]
    rows[-1]["probes"]["audio"]["esc10"]["trivial"] = 0.3
    text = "\n".join(audiovisual_tables.section(rows, {"title": "T", "text": "Said."}))
    assert "| trimodal | 50.0 ± 14.1 (10.0) | 9 | 8 | 2 |" in text, "only directions that somebody has are columns"
    assert "| chance | 5.0 |  |" in text
    assert "| without an encoder | 20.0 | 20.0 or 30.0 |" in text, "of one picture, or of more"
    assert "Seeds 0, 1; training 8 to 8 s; data world abcdef; percent (untrained)." in text
    assert "picture kind: gdt (+40.0 ± 0.0); sound ESC-10: gdt (+40.0 ± 0.0). Of these, by more than other" in text
    assert "all seeds): picture kind: gdt; sound ESC-10: gdt. Nothing can be said of cma: one seed" in text
    # avid: 4.303 sqrt(0.02 / 2 + 0.02 / 2); gdt, without a spread of its own: 12.706 sqrt(0.02 / 2)
    assert "within the noise: picture → sound: avid (+30.0 ± 60.8), gdt (+10.0 ± 127.1)." in text
    assert (
        "more than the noise (of seeds: the difference of the means is beyond its 95 % interval by Welch's t, " in text
    )
    alone = "\n".join(audiovisual_tables.section(rows[-1:], {}))
    assert "`trimodal` has no run here" in alone


def test_who_is_ahead_for_certain_is_beyond_what_other_recordings_would_change():
    """95 against 98 of 100 sentences, without any spread of seeds, is not; 50 against 90 of 40 is."""
    few = [made_row(name, seed, 0.5, 0.5, used={"clips": 100}) for name in ("trimodal", "tan") for seed in (0, 1)]
    for row in few:
        row["uses"] = {"sound within a picture": {"trained": 0.98 if row["name"] == "tan" else 0.95, "untrained": 0.0}}
    whole = [made_row(name, seed, value, 0.5) for name, value in (("trimodal", 0.5), ("tan", 0.9)) for seed in (0, 1)]
    (told,) = (one.ahead() for one in audiovisual_tables.tables(few) if "sync" in one.title)
    assert "offset of a sound within a picture: tan (+3.0 ± 0.0)" in told
    assert "Of these, by more than other held-out recordings would change it as well (" in told
    assert "all seeds): none." in told
    assert "all seeds): picture → sound: tan." in next(audiovisual_tables.tables(whole)).ahead()


def test_of_one_seed_nothing_is_said():
    rows = [made_row("trimodal", 0, 0.4, 0.5), made_row("cma", 0, 1.0, 1.0)]
    (line, *_) = [told.ahead() for told in audiovisual_tables.tables(rows)]
    assert "Ahead of" not in line
    assert line == "Nothing can be said of picture → sound: the noise needs two seeds of each."
    more = [*rows, made_row("trimodal", 1, 0.6, 0.5), made_row("avid", 0, 0.8, 0.5), made_row("avid", 1, 0.8, 0.5)]
    told = next(audiovisual_tables.tables(more)).ahead()
    assert "picture → sound: none." in told
    assert "within the noise: picture → sound: avid (+30.0 ± 127.1)." in told
    assert "Nothing can be said of cma: one seed tells no noise. In equal time" in told


def course(quarters, last):
    """Figures that rise evenly to ``last`` in quarters of so many seconds."""
    return [{"step": k, "seconds": quarters * k, "directions": {"video_to_audio": last * k / 4}} for k in range(5)]


def test_who_takes_longer_is_compared_after_equal_time_too():
    rows = [made_row("trimodal", seed, value, 0.5) for seed, value in enumerate((0.5, 0.52))]
    rows += [made_row("gdt", seed, 0.8, 0.5, course=course(8.0, 0.8), train_seconds=32.0) for seed in (0, 1)]
    told = next(audiovisual_tables.tables(rows))
    assert "picture → sound: gdt (+29.0 ± 12.7)." in told.ahead()
    assert "of its course) ahead of it by more than the noise of seeds: picture → sound: none." in told.ahead()
    theirs, own = told.in_time["gdt"]
    assert theirs[0]["picture → sound"]["trained"] == pytest.approx(0.2)
    assert own[0]["picture → sound"]["trained"] == pytest.approx(0.5)


def test_who_takes_less_is_compared_with_the_flagship_after_as_little():
    """Behind it at the end, 30 and 29 of 40 where it has 20 after half of its time: ahead by seeds, and just by
    recordings (24 points asked for 21 of held-out ones), for 400 recordings surely."""
    rows = [made_row("trimodal", seed, 1.0, 0.5) for seed in (0, 1)]
    rows += [made_row("mmv", seed, value, 0.5, course=course(1.0, value), train_seconds=4.0)
             for seed, value in enumerate((0.75, 0.725))]  # fmt: skip
    told = next(audiovisual_tables.tables(rows)).ahead()
    assert "each comparison by itself): picture → sound: none." in told
    assert "more than the noise of seeds: picture → sound: mmv (+23.8 ± 15.9)." in told
    assert "Of these, by other recordings as well: none." in told
    for row in rows:
        row["retrieval"]["video_to_audio"]["n"] = 400
    assert "by other recordings as well: picture → sound: mmv." in next(audiovisual_tables.tables(rows)).ahead()


def test_who_tells_more_than_untrained_is_told_recording_by_recording():
    """The same gain of both seeds is as sure as its recordings make it; one of one seed is not counted."""
    rows = [made_row(name, seed, 0.5, 0.5) for name in ("trimodal", "avid", "cma") for seed in (0, 1)]
    rows += [made_row("gdt", 0, 0.5, 0.5)]
    for row, gain in zip(rows, [(0.2, 0.1, 0.3)] * 2 + [(0.1, -0.1, 0.3)] * 2 + [(-0.2, -0.3, -0.1)] * 2 + [(1, 1, 1)],
                         strict=True):  # fmt: skip
        row["probes"]["video"]["kind"]["gain"] = list(gain)
    told = {one.title.split(": ")[1].split(",")[0]: one.ahead() for one in audiovisual_tables.tables(rows)}
    known = told["what encoders know"]
    assert "compared recording by recording: picture kind: 1 of 3 (trimodal)." in known
    assert known.endswith("Behind themselves untrained, as surely: picture kind: cma.")
    assert "untrained" not in told["finding"]
    alone = next(one for one in audiovisual_tables.tables(rows[2:4]) if "know" in one.title).ahead()
    assert alone.startswith("`trimodal` has no run here to compare with. Ahead of themselves untrained ")
    assert alone.endswith("picture kind: 0 of 1.")


def test_the_flagship_with_other_settings_is_no_method():
    """It has lines of its own, and neither leads, loses nor counts, nor is it drawn; whichever was made first."""
    plain = ["data.batch=2"]
    rows = [made_row("trimodal", 0, 0.9, 0.9, words=[*plain, "method.rivals.bank=8"])]
    rows += [made_row(name, seed, 0.5, 0.5, words=plain) for name in ("trimodal", "avid") for seed in (0, 1)]
    for row in rows:
        row["probes"]["video"]["kind"]["gain"] = [0.2, 0.1, 0.3]
    found, known = list(audiovisual_tables.tables(rows))[:2]
    assert [line[0] for line in found.lines()] == ["trimodal (rivals.bank=8)", "trimodal", "avid", "chance"]
    assert found.ahead().startswith("Ahead of `trimodal` by more than the noise (")
    assert "picture → sound: none" in found.ahead()
    assert "Nothing can be said" not in found.ahead()
    assert "picture kind: 2 of 2 (trimodal, avid)." in known.ahead()
    (axes,) = audiovisual_curves.curves(rows, "T").axes
    assert len(axes.lines) == 4


def test_own_task_spread_and_alarms_are_told():
    def state(spread, alarm):
        return {
            "task": {who: {"loss": 1.0, "accuracy": value} for who, value in (("trained", 0.9), ("untrained", 0.5))},
            "collapse": {
                who: {"image_spread": spread, "image_alarm": alarm, "audio_spread": 0.5, "audio_alarm": 0.0}
                for who in ("trained", "untrained")
            },
        }

    rows = [made_row("l3_net", 0, 0.5, 0.5, **state(0.3, 0.0)), made_row("avid", 1, 0.5, 0.5, **state(0.001, 1.0))]
    uses, apart = list(audiovisual_tables.tables(rows))[-2:]
    assert (uses.columns, next(uses.lines())[1]) == ([audiovisual_tables.TASK], "90.0 (50.0)")
    assert apart.columns == ["picture spread", "sound spread"]
    assert list(apart.lines())[1][1:3] == ["0.1 (0.1)", "50.0 (50.0)"]
    assert apart.note() == "Alarms of collapse after training: `avid` (seed 1: image)."
    text = "\n".join(audiovisual_tables.section(rows, {}))
    assert "Alarms of collapse" in text


def test_what_is_better_when_small_is_ahead_when_it_is_smaller():
    def used(seconds):
        return {audiovisual_uses.ERROR: {"trained": seconds, "untrained": 0.4, "chance": 0.3}}

    rows = [made_row("trimodal", seed, 0.5, 0.5, uses=used(0.2)) for seed in (0, 1)]
    rows += [made_row("tan", seed, 0.5, 0.5, uses=used(0.1)) for seed in (0, 1)]
    rows += [made_row("mmv", seed, 0.5, 0.5, uses=used(0.3)) for seed in (0, 1)]
    told = list(audiovisual_tables.tables(rows))[-1]
    assert "narration off by, 1/100 s: tan (+10.0 ± 0.0)" in told.ahead()
    assert "mmv" not in told.ahead()
    for k, row in enumerate(rows):
        row["uses"] |= {audiovisual_uses.MISSED: {"trained": k / 10, "untrained": 0.1}}
    assert "foreign sentences dropped" not in list(audiovisual_tables.tables(rows))[-1].ahead(), "who drops all has all"
    assert next(told.lines())[:2] == ["trimodal", "20.0 ± 0.0 (40.0)"]


def test_many_labels_are_told_encoder_by_encoder():
    labels = {
        label: {"trained": 0.5, "untrained": 0.1, "chance": 0.1, "trivial": 0.3, "judged": 40}
        for label in audiovisual_grounds.WORDS
    }
    rows = [made_row("trimodal", 0, 0.5, 0.5, on="grid", figure="r1", probes={"video": labels, "text": labels})]
    titles = [told.title for told in audiovisual_tables.tables(rows)]
    whole = "GRID: what encoders know, accuracy of a linear probe"
    assert titles == ["GRID: finding, R@1", f"{whole}, encoder of picture", f"{whole}, encoder of text"]


def test_curves_hold_every_quarter():
    figure = audiovisual_curves.curves([made_row("trimodal", 0, 0.5, 0.5)], "T")
    (line,) = figure.axes[0].lines
    assert line.get_xydata().tolist() == [[0, 0], [2, 12.5], [4, 25], [6, 37.5], [8, 50]]
    assert len(figure.axes) == 1, "no panel for what nobody finds"
