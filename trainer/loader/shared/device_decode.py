"""JPEG files decoded on the device (nvJPEG): workers read them and say which piece is wanted.

What is not a plain JPEG is decoded by the worker, which sends the piece.
"""

from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from io import BytesIO
from itertools import accumulate, pairwise

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from trainer.core.errors import ConfigError
from trainer.dataset.shared.decode import convert
from trainer.dataset.shared.fast_decode import ACROSS, MODES, in_file, is_plain, read_again
from trainer.dataset.shared.split import Images
from trainer.dataset.shared.uncut_files import OPEN_AT_ONCE, Uncut, UncutFiles, naming
from trainer.dataset.shared.windows import Cut, Window, piece, scaled

AT_ONCE = 2**27  # pixels decoded together
UPRIGHT = 0  # instead of one of Pillow's transpositions, from 1 on

Decoder = Callable[[list[Tensor]], list[Tensor]]  # files as bytes → pixels uint8 [C, H, W]


@dataclass(frozen=True)
class Piece:
    """What a worker sends of an image beside its bytes: numbers, as the file has its pixels."""

    size: int  # bytes
    plain: int  # 1: a JPEG file; 0: the piece's pixels
    pixels: int  # of the whole image
    tall: int  # height and width that the whole image is brought to
    wide: int
    turned: int  # how the piece is turned upright
    top: int  # the window
    left: int
    height: int
    width: int
    own_height: int
    own_width: int
    whole: int

    @property
    def window(self) -> Window:
        """Where the piece lies."""
        size = self.own_height, self.own_width
        return Window(self.top, self.left, self.height, self.width, size, whole=bool(self.whole))


def encoded(images: UncutFiles, ids: list[int], cut: Cut | None) -> list[Tensor]:
    """The bytes of B images, one after another, uint8 [N], and their numbers int64 [B, 13].

    Raises DataError naming a damaged file.
    """
    parts: list[tuple[Tensor, Piece]] = []
    for first in range(0, len(ids), OPEN_AT_ONCE):
        part = ids[first : first + OPEN_AT_ONCE]
        parts += images.each_open(part, cut, first, encoded_one)
    data, pieces = zip(*parts, strict=True)
    return [torch.cat(data), torch.tensor([astuple(one) for one in pieces])]


def encoded_one(image: Uncut, window: Window) -> tuple[Tensor, Piece]:
    """The bytes of an image, and its numbers."""
    if not is_plain(image.image):
        data, turned, plain = image.piece(window).reshape(-1), None, 0
    else:
        data = torch.frombuffer(bytearray(read_again(image.image)), dtype=torch.uint8)
        turned, plain = image.turned, 1
    frame = window.size if window.whole else image.size
    box = in_file((window.top, window.left, window.height, window.width), frame, turned)
    across = -1 if turned in ACROSS else 1
    (tall, wide), (own_height, own_width) = image.size[::across], window.size[::across]
    return data, Piece(
        size=len(data),
        plain=plain,
        pixels=image.full[0] * image.full[1],
        tall=tall,
        wide=wide,
        turned=UPRIGHT if turned is None else turned + 1,
        top=box[0],
        left=box[1],
        height=box[2],
        width=box[3],
        own_height=own_height,
        own_width=own_width,
        whole=int(window.whole),
    )


def decoded(
    part: list[Tensor], images: UncutFiles, ids: Tensor, decode: Decoder, device: torch.device
) -> Tensor:
    """The pieces uint8 [B, C, h, w] on a device of what `encoded` has sent of images `ids` [B].

    Raises DataError naming a damaged file.
    """
    data, table = part
    pieces = [Piece(*row) for row in table.tolist()]
    ends = [0, *accumulate(one.size for one in pieces)]
    files = [data[a:b] for a, b in pairwise(ends)]
    paths, channels = images.paths[ids.numpy()].tolist(), images.shape[0]
    made: list[Tensor] = []
    for rows in groups([one.pixels if one.plain else 0 for one in pieces]):
        plain = [i for i in rows if pieces[i].plain]
        if plain:
            found = all_decoded(
                [files[i] for i in plain], [paths[i] for i in plain], channels, decode
            )
            pixels = dict(zip(plain, found, strict=True))
        else:
            pixels = {}
        made += [finished(pixels.get(i), files[i], pieces[i], channels, device) for i in rows]
    return torch.stack(made)


def all_decoded(
    files: list[Tensor], paths: list[str], channels: int, decode: Decoder
) -> list[Tensor]:
    """Files decoded together; where one is refused, one by one, and that one by Pillow."""
    try:
        return decode(files)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        if len(files) == 1:
            return [naming(paths[0], lambda: by_pillow(files[0], channels))]
    one_by_one = zip(files, paths, strict=True)
    return [all_decoded([file], [path], channels, decode)[0] for file, path in one_by_one]


def by_pillow(file: Tensor, channels: int) -> Tensor:
    """The pixels uint8 [C, H, W] of a file, not turned upright, on the CPU."""
    with Image.open(BytesIO(file.cpu().numpy().tobytes()), formats=["JPEG"]) as image:
        image.load()
        pixels = np.array(convert(image, channels))
    return torch.from_numpy(pixels).view(image.height, image.width, channels).permute(2, 0, 1)


def groups(pixels: list[int]) -> Iterator[list[int]]:
    """Yield the rows in groups of at most AT_ONCE pixels, or of one row."""
    group, total = [], 0
    for i, number in enumerate(pixels):
        if group and total + number > AT_ONCE:
            yield group
            group, total = [], 0
        group.append(i)
        total += number
    yield group


def finished(
    pixels: Tensor | None, data: Tensor, one: Piece, channels: int, device: torch.device
) -> Tensor:
    """The piece of a decoded image, turned upright, or the one that a worker has cut out."""
    window = one.window
    if pixels is None:
        return data.view(channels, *window.size).to(device)
    got = piece(scaled(pixels.to(device), (one.tall, one.wide)), window)
    return got if one.turned == UPRIGHT else turned_upright(got, one.turned - 1)


def turned_upright(pixels: Tensor, how: int) -> Tensor:
    """Pixels [C, H, W] after one of Pillow's transpositions."""
    match Image.Transpose(how):
        case Image.Transpose.FLIP_LEFT_RIGHT:
            return pixels.flip(2)
        case Image.Transpose.FLIP_TOP_BOTTOM:
            return pixels.flip(1)
        case Image.Transpose.ROTATE_180:
            return pixels.flip(1, 2)
        case Image.Transpose.ROTATE_90:
            return pixels.rot90(1, (1, 2))
        case Image.Transpose.ROTATE_270:
            return pixels.rot90(-1, (1, 2))
        case Image.Transpose.TRANSPOSE:
            return pixels.mT
        case _:
            return pixels.flip(1, 2).mT


def device_decoder(channels: int, device: torch.device) -> Decoder:
    """Torchvision's decoder on a CUDA device. Raises ConfigError where there is none."""
    import torchvision  # noqa: F401  (registers its operations)

    if device.type != "cuda":
        raise ConfigError(
            f"loader.decode=device decodes on a CUDA device, and this run's is {device}; take "
            "loader.decode=host"
        )
    mode = MODES["L" if channels == 1 else "RGB"]

    def decode(files: list[Tensor]) -> list[Tensor]:
        return torch.ops.image.decode_jpegs_cuda(files, mode, device)

    try:
        decode([trial_file()])
    except (AttributeError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"loader.decode=device: torchvision cannot decode on {device} ({reason}); take "
            "loader.decode=host"
        ) from error
    return decode


def trial_file() -> Tensor:
    """The bytes of a grey JPEG file."""
    file = BytesIO()
    Image.new("RGB", (16, 16), "grey").save(file, "JPEG")
    return torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)


def check_files(images: Images) -> UncutFiles:
    """The images, if they are files of their own size. Raises ConfigError for others."""
    if isinstance(images, UncutFiles):
        return images
    raise ConfigError(
        "loader.decode=device cuts pieces out of image files, and needs dataset.fit=uncut; set "
        "it, or take loader.decode=host"
    )
