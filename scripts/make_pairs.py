"""Make pairs of dark and normal images from photographs, with the dim-light camera, as a LOL-v1 folder.

OUT holds our485/{low,high} and eval15/{low,high}, PNG; data=lol_v1 data.root=OUT trains and tests on it.
"""

import argparse
import dataclasses
from pathlib import Path

from tqdm import tqdm

from enhance.data.cache import open_images
from enhance.data.images import new_folder, write_image
from enhance.data.matching import by_stem
from enhance.data.pairs import CameraPairs
from enhance.data.scenes import group_scenes, hold_out
from enhance.errors import exit_on_user_error
from enhance.settings.checks import check
from enhance.settings.schema import CameraSettings, DataSettings, Settings

CAMERA = [field for field in dataclasses.fields(CameraSettings) if field.name != "shrink_most"]  # that of crops


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("photos", metavar="PHOTOS", type=Path, help="folder of normally lit photographs")
    parser.add_argument("out", metavar="OUT", type=Path, help="a new folder")
    parser.add_argument("--val-share", type=float, default=0.1, help="part for eval15, whole scenes at a time")
    for field in CAMERA:
        option = "--" + field.name.replace("_", "-")
        parser.add_argument(
            option,
            type=float if field.default is None else type(field.default),
            default=field.default,
            help=field.metadata["meaning"],
        )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    camera = CameraSettings(**{field.name: getattr(arguments, field.name) for field in CAMERA})
    data = DataSettings(validation_share=arguments.val_share, camera=camera)
    check(Settings(data=data))
    photos = by_stem(arguments.photos)
    with new_folder(arguments.out) as folder:
        images = list(open_images(list(photos.values()), data.cache_gib).values())
        scenes = group_scenes([image.hash for image in images])
        train, test = hold_out(list(photos), scenes, data.validation_share)
        source = CameraPairs(list(photos), images, camera)
        for split, part in (("our485", train), ("eval15", test)):
            for side in ("low", "high"):
                for index in part:
                    (folder / split / side / source.names[index]).parent.mkdir(parents=True, exist_ok=True)
            for index in tqdm(part, split, unit="pair", disable=None):
                for side, image in zip(("low", "high"), source.whole(index), strict=True):
                    write_image(folder / split / side / f"{source.names[index]}.png", image)
    print(f"{arguments.out}: {len(train)} pairs to train on, {len(test)} to test on")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
