"""Photographs for benchmarks: made up, about as hard to decode as real ones, and two real ones."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

EDGES = 20  # rectangles laid on each
SIZES = {  # width, height, quality, number
    "photos": (500, 375, 92, 32),  # 110 kB, as ImageNet's on average
    "light photos": (500, 375, 75, 32),
    "large photos": (4000, 3000, 90, 3),
    "large light photos": (4000, 3000, 60, 3),
    "stored photos": (500, 375, 92, 32),
    "real photos": (500, 375, 75, 32),  # 29 kB
    "enlarged photos": (4000, 3000, 75, 2),  # 0.7 MB, of real ones
}
REAL = "real photos", "enlarged photos"


def photo(width: int, height: int, seed: int, noise: float = 3.0) -> Image.Image:
    """Fields with an amplitude of 1/f^1.15, as in nature, rectangles and a camera's noise."""
    rng = np.random.default_rng(seed)
    across, down = np.fft.rfftfreq(width)[None], np.fft.fftfreq(height)[:, None]
    amplitude = np.maximum(np.hypot(down, across), 1 / max(width, height)) ** -1.15

    def field() -> np.ndarray:
        phases = np.exp(2j * np.pi * rng.random(amplitude.shape))
        values = np.fft.irfft2(amplitude * phases, (height, width))
        return (values / values.std()).astype(np.float32)

    light = field() * 50 + 120
    pixels = np.stack([light + field() * 18, light, light + field() * 18], -1)
    for _ in range(EDGES):
        top, left = rng.integers(0, height - 8), rng.integers(0, width - 8)
        rows, columns = rng.integers(8, height // 3), rng.integers(8, width // 3)
        pixels[top : top + rows, left : left + columns] += rng.normal(0, 40, 3)
    pixels += rng.normal(0, noise, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def real_photo(width: int, height: int, number: int) -> Image.Image:
    """One of scikit-learn's two photographs, of 640 x 427 pixels, brought to a size."""
    from sklearn.datasets import load_sample_images

    image = Image.fromarray(load_sample_images().images[number % 2])
    return ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)


def photos(name: str, root: Path) -> Path:
    """Write the photographs of a race as JPEG files in two classes; return their folder."""
    width, height, quality, number = SIZES[name]
    make = real_photo if name in REAL else photo
    for i in range(number):
        path = root / "ab"[i % 2] / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        make(width, height, i).save(path, quality=quality)
    return root
