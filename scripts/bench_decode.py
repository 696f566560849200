"""CPU time to read a clip: 16 pictures of 112 px from 2 seconds, and their sound, at random places of a 10 s film.

    python scripts/bench_decode.py [--side 256] [--gop 12] [--rounds 15]

All readers read the same clip one after the other in each round, so that other load falls on all of them alike; the
ratio to `decode` is taken within rounds and printed as median and quartiles. Other libraries join where installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch

from avssl.data.media import decode

SECONDS, FPS, HZ = 10, 25, 44100
CLIP, FRAMES, SIZE = 2.0, 16, 112

Reader = Callable[[Path, np.ndarray, float], int]


def film(path: Path, side: int, gop: int) -> None:
    """A panning color texture with grain and a moving disc, with a chirp in noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "23", "sc_threshold": "0"})
        video.width = video.height = side
        video.pix_fmt, video.gop_size, video.max_b_frames = "yuv420p", gop, 2
        audio = out.add_stream("aac", rate=HZ, layout="mono")
        for k in range(SECONDS * FPS):
            waves = [np.sin((x + 3 * k) / (5 + 3 * c)) * np.cos((y - 2 * k) / (7 + 2 * c)) for c in range(3)]
            picture = 128 + 90 * np.stack(waves, -1) + rng.normal(0, 4, (side, side, 1))
            disc = (x - side / 2 - side / 3 * np.cos(k / 12)) ** 2 + (y - side / 2) ** 2 < (side / 8) ** 2
            picture[disc] = (240, 40, 60)
            frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), format="rgb24")
            frame.pts = k
            out.mux(video.encode(frame))
            t = np.arange(k * HZ // FPS, (k + 1) * HZ // FPS) / HZ
            sound = (0.3 * np.sin(2 * np.pi * (200 + 150 * t) * t) + rng.normal(0, 0.02, len(t))).astype(np.float32)
            part = av.AudioFrame.from_ndarray(sound[None], format="fltp", layout="mono")
            part.sample_rate, part.pts, part.time_base = HZ, k * HZ // FPS, Fraction(1, HZ)
            out.mux(audio.encode(part))
        out.mux(video.encode(None))
        out.mux(audio.encode(None))


def ours(path: Path, times: np.ndarray, start: float) -> int:
    got = decode(path, times=times, size=(SIZE, SIZE), audio=(start, CLIP))
    return len(got.video) + len(got.audio)


def ours_pictures(path: Path, times: np.ndarray, start: float) -> int:
    return len(decode(path, times=times, size=(SIZE, SIZE)).video)


def ours_sound(path: Path, times: np.ndarray, start: float) -> int:
    return len(decode(path, audio=(start, CLIP)).audio)


def from_the_start(path: Path, times: np.ndarray, start: float) -> int:
    """What tutorials do: decode from 0 at full size, resize with torch, decode the sound apart."""
    pictures, wanted = [], list(times)
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        for frame in container.decode(video=0):
            while wanted and frame.time >= wanted[0] - 0.5 / FPS:
                wanted.pop(0)
                pictures.append(torch.from_numpy(frame.to_ndarray(format="rgb24")))
            if not wanted:
                break
    small = torch.nn.functional.interpolate(
        torch.stack(pictures).permute(0, 3, 1, 2).float(), (SIZE, SIZE), mode="bilinear", antialias=True
    )
    resampler, parts = av.AudioResampler("flt", "mono", 16000), []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            parts += [part.to_ndarray() for part in resampler.resample(frame)]
            if frame.time > start + CLIP:
                break
    return len(small) + sum(part.shape[1] for part in parts)


def torchcodec(path: Path, times: np.ndarray, start: float) -> int:
    from torchcodec.decoders import AudioDecoder, VideoDecoder

    video = VideoDecoder(str(path), seek_mode="approximate", num_ffmpeg_threads=1)
    small = torch.nn.functional.interpolate(
        video.get_frames_played_at(list(times)).data.float(), (SIZE, SIZE), mode="bilinear", antialias=True
    )
    sound = AudioDecoder(str(path), sample_rate=16000, num_channels=1)
    return len(small) + sound.get_samples_played_in_range(start, start + CLIP).data.shape[1]


def decord_pictures(path: Path, times: np.ndarray, start: float) -> int:
    import decord

    reader = decord.VideoReader(str(path), width=SIZE, height=SIZE, num_threads=1)
    return len(reader.get_batch([int(t * FPS + 1e-6) for t in times]).asnumpy())


def opencv_pictures(path: Path, times: np.ndarray, start: float) -> int:
    import cv2

    cv2.setNumThreads(1)
    capture, pictures = cv2.VideoCapture(str(path)), []
    wanted = [int(t * FPS + 1e-6) for t in times]
    capture.set(cv2.CAP_PROP_POS_FRAMES, wanted[0])
    for index in range(wanted[0], wanted[-1] + 1):
        capture.grab()
        if index in wanted:
            picture = cv2.resize(capture.retrieve()[1], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
            pictures.append(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
    return len(pictures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=256, help="height and width of the film")
    parser.add_argument("--gop", type=int, default=12, help="frames from one key frame to the next")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    readers: dict[str, Reader] = {
        "decode": ours,
        "decode, pictures alone": ours_pictures,
        "decode, sound alone": ours_sound,
        "PyAV from the start": from_the_start,
    }
    peers = {"torchcodec": torchcodec, "decord": decord_pictures, "cv2": opencv_pictures}
    for name, reader in peers.items():
        if importlib.util.find_spec(name):
            readers[name if name == "torchcodec" else f"{name}, pictures alone"] = reader
    rng = np.random.default_rng(1)
    spent: dict[str, list[float]] = {name: [] for name in readers}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        film(path, options.side, options.gop)
        for round_ in range(options.rounds + 2):
            start = float(rng.uniform(0, SECONDS - CLIP))
            times = start + np.arange(FRAMES) / FRAMES * CLIP
            for name, reader in readers.items():
                began = time.process_time()
                reader(path, times, start)
                if round_ >= 2:  # the first rounds load libraries and caches
                    spent[name].append(1000 * (time.process_time() - began))
    print(f"{options.side} px, GOP {options.gop}, {options.rounds} rounds")
    for name, taken in spent.items():
        low, middle, high = np.quantile(np.array(taken) / np.array(spent["decode"]), [0.25, 0.5, 0.75])
        print(f"{name:32s} {np.median(taken):8.1f} ms   {middle:5.2f} x decode  ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
