"""Redraw the samples in this folder: python samples/draw_samples.py."""

from pathlib import Path

from edge_fm.demo import samples

HERE = Path(__file__).resolve().parent

if __name__ == "__main__":
    samples.draw_pictures(HERE / "wardrobe")
    samples.draw_video(HERE / "wardrobe.mp4")
    print(f"{len(list((HERE / 'wardrobe').glob('*.png')))} pictures and a video in {HERE}")
