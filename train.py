"""Train a U-Net on pairs of low-light and normal-light photographs.

    python train.py norm=bn batch_size=8
    python train.py data=lol_v1 data.root=DIR model=unet_small
    python train.py resume=runs/RUN                     # data that were moved: data.root=DIR as well
    python train.py norm=bn resume=auto                 # goes on with the run of these settings, or begins it
    torchrun --nproc-per-node=2 train.py norm=sync_bn   # on two cards, or processes
    python train.py -m norm=bn,gn seed=0,1              # every combination; run it again to go on
    python train.py -m experiment=small_batch data.root=DIR

Settings are Hydra's: --help lists and explains them, --cfg job prints those of a command line.
"""

from enhance.commands.train import main

if __name__ == "__main__":
    main()
