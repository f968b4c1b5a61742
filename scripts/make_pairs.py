"""Make pairs of dark and normal images from photographs, with the dim-light camera, as a LOL-v1 folder.

OUT holds our485/{low,high} and eval15/{low,high}, PNG; data=lol_v1 data.root=OUT trains and tests on it.
"""

import argparse
import dataclasses
from pathlib import Path

from tqdm import tqdm

from enhance.data.cache import Cache, open_images
from enhance.data.images import write_image
from enhance.data.layouts import by_stem
from enhance.data.output import new_folder
from enhance.data.pairs import CameraPairs
from enhance.data.scenes import group_scenes, hold_out
from enhance.errors import told_to_the_user
from enhance.settings import CameraSettings, DataSettings, Settings
from enhance.settings.checks import check_ranges

CAMERA = dataclasses.fields(CameraSettings)
HELP = {
    "ev": "stops",
    "drift": "sd of the log gain of red and of blue",
    "gain": "relative to green",
    "electrons": "electrons",
    "seed": "fixes exposures and noise",
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("photos", metavar="PHOTOS", type=Path, help="folder of normally lit photographs")
    parser.add_argument("out", metavar="OUT", type=Path, help="a new folder")
    parser.add_argument("--val-share", type=float, default=0.1, help="part for eval15, whole scenes at a time")
    for field in CAMERA:
        words = field.name.split("_")
        option, kind = "--" + "-".join(words), type(field.default)
        parser.add_argument(option, type=kind, default=field.default, help=HELP[words[-1]])
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    camera = CameraSettings(**{field.name: getattr(arguments, field.name) for field in CAMERA})
    data = DataSettings(validation_share=arguments.val_share, camera=camera)
    check_ranges(Settings(data=data))
    photos = by_stem(arguments.photos)
    with new_folder(arguments.out) as folder:
        images = list(open_images(list(photos.values()), Cache(data.cache_gib)).values())
        scenes = group_scenes([image.hash for image in images])
        train, held = hold_out(list(photos), scenes, data.validation_share)
        source = CameraPairs(list(photos), images, camera)
        for split, part in (("our485", train), ("eval15", held)):
            for side in ("low", "high"):
                (folder / split / side).mkdir(parents=True)
            for index in tqdm(part, split, unit="pair", disable=None):
                for side, image in zip(("low", "high"), source.whole(index), strict=True):
                    write_image(folder / split / side / f"{source.names[index]}.png", image)
    print(f"{arguments.out}: {len(train)} pairs to train on, {len(held)} to test on")


if __name__ == "__main__":
    with told_to_the_user():
        main()
